"""Features of a user and an item: what each source says, and how the item fits what the user had lately."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verticals.recommend.candidates import Source
from verticals.recommend.histories import Float32, Floats, Histories, Ints, Recency
from verticals.recommend.items import Items

REFERENCE = 2048  # items on which a feature is standardised for a user; more would not change mean and deviation
MAX_TAGS = 256
_YEAR = 365.25 * 86_400


@dataclass(frozen=True)
class Features:
    """Makes features; all are standardised for each user over the ``reference`` items, so that a score means the
    same whatever else is in the list."""

    sources: tuple[Source, ...]
    tags: Float32
    published: Floats
    popularity: Floats
    numeric: dict[str, Floats]
    reference: Ints
    recency: Recency = Recency(10, "events")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of the last axis."""
        dated = ("freshness", "date fit") if np.isfinite(self.published).any() else ()
        own = ("popularity fit", *(("category fit",) if self.tags.shape[1] else ()), *dated, *self.numeric)
        return (*(source.name for source in self.sources), *own)

    def make(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """Standardised features float32 [m, c, f] of the candidates (default: all n items)."""
        n = histories.n_items
        every = candidates is None or (len(candidates) == n and bool((candidates == np.arange(n)).all()))
        profile = self._profile(histories)
        if every:
            columns = self._columns(histories, None, profile)
            references = [column if len(self.reference) == n else column[:, self.reference] for column in columns]
        else:
            columns = self._columns(histories, candidates, profile)
            references = self._columns(histories, self.reference, profile)
        made = np.empty((*columns[0].shape, len(columns)), dtype=np.float32)
        for number, (column, reference) in enumerate(zip(columns, references, strict=True)):
            mean = reference.mean(axis=1, keepdims=True)
            deviation = reference.std(axis=1, keepdims=True)
            scale = np.where(deviation > 1e-9, 1 / np.maximum(deviation, 1e-9), 0.0).astype(np.float32)
            np.multiply(column - mean, scale, out=made[:, :, number])
        return made

    def _profile(self, histories: Histories) -> tuple[Float32, Floats, Floats]:
        """What the user had lately: tags [m, g], mean date [m] and mean log popularity [m]."""
        weights = histories.matrix(self.recency)
        total = np.maximum(np.asarray(weights.sum(axis=1)).reshape(-1, 1), 1e-9)
        dates, known = np.nan_to_num(self.published), np.isfinite(self.published).astype(np.float64)
        dated = weights @ known
        date = np.where(dated > 0, (weights @ dates) / np.maximum(dated, 1e-9), np.nan)
        popularity = np.asarray(weights @ np.log1p(self.popularity)) / total[:, 0]
        return np.asarray(weights @ self.tags, dtype=np.float32) / total.astype(np.float32), date, popularity

    def _columns(
        self, histories: Histories, items: Ints | None, profile: tuple[Float32, Floats, Floats]
    ) -> list[Float32]:
        tags, date, popularity = profile
        pick: Ints | slice = slice(None) if items is None else items
        logs = np.log1p(self.popularity[pick])
        gap = np.abs(logs[None] - popularity[:, None])
        found = [source.score(histories, items) for source in self.sources]
        # A user without events has no level of popularity to be near to.
        found.append(np.where(histories.lengths[:, None] > 0, -gap, 0.0).astype(np.float32))
        if self.tags.shape[1]:
            found.append(tags @ self.tags[pick].T)
        if np.isfinite(self.published).any():
            middle = np.nanmedian(self.published)
            published = np.where(np.isnan(self.published[pick]), middle, self.published[pick])
            now = np.where(np.isnan(histories.last_times), np.nanmax(self.published), histories.last_times)
            age = np.maximum(now[:, None] - published[None], 0.0) / _YEAR
            found.append((-np.log1p(age)).astype(np.float32))
            fit = -np.abs(published[None] - np.where(np.isnan(date), middle, date)[:, None]) / _YEAR
            found.append(fit.astype(np.float32))
        rows = (np.nan_to_num(values[pick], nan=float(np.nanmean(values))) for values in self.numeric.values())
        found += [np.broadcast_to(row.astype(np.float32), (len(histories), len(row))) for row in rows]
        return found


def make_features(
    items: Items, histories: Histories, sources: Sequence[Source], numeric: Sequence[str] | None = None, seed: int = 0
) -> Features:
    """Features for these items; ``histories`` are those the sources were fitted on, for popularity.

    ``numeric`` names the further columns to use (default: all that hold only numbers).
    """
    n = len(items)
    seen = histories.matrix(equal=True)
    reference = np.arange(n)
    if n > REFERENCE:
        reference = np.sort(np.random.default_rng(seed).choice(n, REFERENCE, replace=False))
    return Features(
        sources=tuple(sources),
        tags=tag_vectors(items),
        published=items.published,
        popularity=np.bincount(seen.indices, minlength=n).astype(np.float64),
        numeric={name: items.numeric[name] for name in (items.numeric if numeric is None else numeric)},
        reference=reference.astype(np.int64),
    )


def tag_vectors(items: Items, limit: int = MAX_TAGS) -> Float32:
    """Category and tags as unit vectors [n, g] over the ``limit`` most frequent ones; zeros without any."""
    pairs = zip(items.frame["category"], items.frame["tags"], strict=True)
    words = [dict.fromkeys(word.casefold() for word in (category, *tags) if word) for category, tags in pairs]
    counts = Counter(word for row in words for word in row)
    names = {word: number for number, (word, _) in enumerate(counts.most_common(limit))}
    made = np.zeros((len(items), len(names)), dtype=np.float32)
    for number, row in enumerate(words):
        made[number, [names[word] for word in row if word in names]] = 1.0
    return np.asarray(made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1.0), dtype=np.float32)
