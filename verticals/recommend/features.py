"""Features of a user and an item: what each source says, and how the item fits what the user had lately."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from verticals.recommend.candidates import Factored, Source, products
from verticals.recommend.histories import Float32, Floats, Histories, Ints, Recency
from verticals.recommend.items import Items

REFERENCE = 2048  # items on which a feature is standardised for a user; more would not change mean and deviation
MAX_TAGS = 256
_YEAR = 365.25 * 86_400


Maker = Callable[[Ints | None], Float32]  # item numbers (None: all) -> [m, c]


@dataclass(frozen=True)
class Columns:
    """Features of a list for m users, each made only when and as far as it is asked for.

    A weight of zero, and a short list for one user, then cost next to nothing however long the list is.
    ``items`` are the list's item numbers, None for all; each is standardised by its values for ``reference``.
    ``factors`` are the vectors of users [m, k] and items [n, k] of the features that are their products.
    """

    shape: tuple[int, int]
    makers: tuple[Maker, ...]
    items: Ints | None
    reference: Ints | None
    factors: dict[int, tuple[Float32, Float32]] = field(default_factory=dict, repr=False)
    _made: dict[int, Float32] = field(default_factory=dict, repr=False, compare=False)
    _standards: dict[int, tuple[Float32, Float32]] = field(default_factory=dict, repr=False, compare=False)

    def weighted(self, weights: Sequence[float]) -> Float32:
        """The weighted sum of the standardised features, float32 [m, c]."""
        total = np.zeros(self.shape, dtype=np.float32)
        part, shift = np.empty_like(total), np.zeros((self.shape[0], 1), dtype=np.float32)
        joint: dict[int, tuple[Float32, Float32]] = {}
        for number, weight in enumerate(weights):
            if weight == 0:
                continue
            together = self.shape[0] == 1 and number in self.factors
            whole = None if together else self._whole(number)
            mean, scale = self._standard(number)
            scale = np.float32(weight) * scale
            shift += mean * scale
            if whole is None:  # one reading of the items' vectors does for all features made of the same ones
                user, vectors = self.factors[number]
                before = joint.get(id(vectors), (np.zeros_like(user), vectors))[0]
                joint[id(vectors)] = before + user * scale, vectors
            else:
                total += np.multiply(whole, scale, out=part)
        for user, vectors in joint.values():
            total += products(user, vectors, self.items)
        total -= shift
        return total

    def picked(self, chosen: Ints | None = None) -> Float32:
        """Standardised features float32 [m, k, f] of the places ``chosen`` [m, k] (default: all) in the list."""
        made = np.empty((*(self.shape if chosen is None else chosen.shape), len(self.makers)), dtype=np.float32)
        for number in range(len(self.makers)):
            mean, scale = self._standard(number)
            if chosen is None:
                part = self._whole(number)
            elif self.shape[0] == 1 and number not in self._made:
                part = self.makers[number](chosen[0] if self.items is None else self.items[chosen[0]])
            else:
                part = np.take_along_axis(self._whole(number), chosen, axis=1)
            np.multiply(part - mean, scale, out=made[:, :, number])
        return made

    def _whole(self, number: int) -> Float32:
        if number not in self._made:
            self._made[number] = self.makers[number](self.items)
        return self._made[number]

    def _standard(self, number: int) -> tuple[Float32, Float32]:
        """Mean and scale, both [m, 1]."""
        if number in self._standards:
            return self._standards[number]
        if self.items is None and self.reference is None:
            values = self._whole(number)
        elif self.items is None and number in self._made:
            values = self._made[number][:, self.reference]
        else:
            values = self.makers[number](self.reference)
        mean = values.mean(axis=1, keepdims=True)
        gaps = values - mean
        deviation = np.sqrt(np.einsum("mc,mc->m", gaps, gaps)[:, None] / max(values.shape[1], 1))
        scale = np.where(deviation > 1e-9, 1 / np.maximum(deviation, 1e-9), 0.0).astype(np.float32)
        self._standards[number] = mean, scale
        return self._standards[number]


@dataclass(frozen=True)
class Features:
    """Makes features; all are standardised for each user over the ``reference`` items, so that a score means the
    same whatever else is in the list. ``tags`` is sparse [n, g]."""

    sources: tuple[Source, ...]
    tags: Any
    published: Floats
    popularity: Floats
    numeric: dict[str, Floats]
    reference: Ints
    recency: Recency = Recency(10, "events")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of the last axis."""
        dated = ("freshness", "date fit") if self._dates else ()
        own = ("popularity fit", *(("category fit",) if self.tags.shape[1] else ()), *dated, *self.numeric)
        return (*(source.name for source in self.sources), *own)

    def make(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """Standardised features float32 [m, c, f] of the candidates (default: all n items)."""
        return self.columns(histories, candidates).picked()

    def columns(self, histories: Histories, candidates: Ints | None = None) -> Columns:
        """The same, each made when it is asked for."""
        n = histories.n_items
        if candidates is not None and len(candidates) == n and bool((candidates == np.arange(n)).all()):
            candidates = None
        split = ((number, s) for number, s in enumerate(self.sources) if isinstance(s, Factored))
        factors = {number: source.factors(histories) for number, source in split}
        return Columns(
            shape=(len(histories), n if candidates is None else len(candidates)),
            makers=self._makers(histories, factors),
            items=candidates,
            reference=None if len(self.reference) == n else self.reference,
            factors=factors,
        )

    def _profile(self, histories: Histories) -> tuple[Float32, Float32, Floats]:
        """What the user had lately: tags [m, g], mean date [m] and mean log popularity [m]."""
        weights = histories.matrix(self.recency)
        total = np.maximum(np.asarray(weights.sum(axis=1)).reshape(-1, 1), 1e-9)
        popularity = np.asarray(weights @ self._level) / total[:, 0]
        return (weights @ self.tags).toarray() / total.astype(np.float32), self._usual_date(weights), popularity

    def _usual_date(self, weights: Any) -> Float32:
        """The mean date of what was weighed, [m], in years before the newest item; the middle one where unknown."""
        if self._dates is None:
            return np.zeros(weights.shape[0], dtype=np.float32)
        dated = weights @ self._dates.known
        mean = (weights @ (self._dates.years * self._dates.known)) / np.maximum(dated, 1e-9)
        return np.where(dated > 0, mean, self._dates.middle).astype(np.float32)

    @cached_property
    def _level(self) -> Float32:
        return np.log1p(self.popularity).astype(np.float32)

    @cached_property
    def _dates(self) -> "_Dates | None":
        known = np.isfinite(self.published)
        if not known.any():
            return None
        newest, middle = float(self.published[known].max()), float(np.median(self.published[known]))
        years = (np.where(known, self.published, middle) - newest) / _YEAR
        return _Dates(years.astype(np.float32), known.astype(np.float32), (middle - newest) / _YEAR, newest)

    def _makers(self, histories: Histories, factors: dict[int, tuple[Float32, Float32]]) -> tuple[Maker, ...]:
        tags, date, level = self._profile(histories)

        def popularity_fit(items: Ints | None) -> Float32:
            # A user without events has no level of popularity to be near to.
            return _nearness(_of(self._level, items), level) * (histories.lengths[:, None] > 0)

        def category_fit(items: Ints | None) -> Float32:
            return np.ascontiguousarray((_of(self.tags, items) @ tags.T).T)

        found: list[Maker] = [
            partial(products, *factors[number]) if number in factors else partial(source.score, histories)
            for number, source in enumerate(self.sources)
        ]
        found.append(popularity_fit)
        if self.tags.shape[1]:
            found.append(category_fit)
        if self._dates is not None:
            years = self._dates.years
            now = (np.nan_to_num(histories.last_times, nan=self._dates.newest) - self._dates.newest) / _YEAR

            def freshness(items: Ints | None) -> Float32:
                age = now[:, None].astype(np.float32) - _of(years, items)
                return np.asarray(-np.log1p(np.maximum(age, 0.0, out=age)))

            def date_fit(items: Ints | None) -> Float32:
                return _nearness(_of(years, items), date)

            found += [freshness, date_fit]
        return (*found, *(partial(_same, len(histories), values) for values in self.numeric.values()))


@dataclass(frozen=True)
class _Dates:
    """``years`` [n] before the ``newest`` item (seconds since 1970), ``middle`` where a date is not ``known`` [n]."""

    years: Float32
    known: Float32
    middle: float
    newest: float


def _of(values: Any, items: Ints | None) -> Any:
    return values if items is None else values[items]


def _nearness(values: Float32, points: NDArray[Any]) -> Float32:
    """Minus the distance of each value [c] to each user's point [m], float32 [m, c]."""
    gap = values - points[:, None].astype(np.float32)
    np.abs(gap, out=gap)
    return np.asarray(np.negative(gap, out=gap))


def _same(users: int, values: Floats, items: Ints | None) -> Float32:
    row = np.nan_to_num(_of(values, items), nan=float(np.nanmean(values))).astype(np.float32)
    return np.broadcast_to(row, (users, len(row)))


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


def tag_vectors(items: Items, limit: int = MAX_TAGS) -> Any:
    """Category and tags as unit vectors, sparse [n, g], over the ``limit`` most frequent ones; zeros without any."""
    pairs = zip(items.frame["category"], items.frame["tags"], strict=True)
    words = [dict.fromkeys(word.casefold() for word in (category, *tags) if word) for category, tags in pairs]
    counts = Counter(word for row in words for word in row)
    names = {word: number for number, (word, _) in enumerate(counts.most_common(limit))}
    found = [[names[word] for word in row if word in names] for row in words]
    counts_of = np.array([len(row) for row in found], dtype=np.int64)
    values = np.repeat(1 / np.sqrt(np.maximum(counts_of, 1)), counts_of).astype(np.float32)
    columns = np.fromiter((number for row in found for number in row), dtype=np.int64, count=int(counts_of.sum()))
    return csr_array((values, columns, np.concatenate([[0], np.cumsum(counts_of)])), shape=(len(items), len(names)))
