"""The hybrid: every source's view as features, a blend for everything, and LambdaMART for the short list."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from verticals.recommend.candidates import Source, seen_mask, top_k
from verticals.recommend.ease import fit_ease
from verticals.recommend.features import Columns, Features, make_features
from verticals.recommend.histories import Float32, Histories, Ints, Recency, hold_out
from verticals.recommend.item_knn import fit_item_knn
from verticals.recommend.items import Items
from verticals.recommend.popularity import fit_popular, fit_trending
from verticals.recommend.ranking import (
    EXTRA_ROWS,
    Blend,
    LambdaMart,
    fit_blend,
    fit_lambdamart,
    has_lightgbm,
    rows_for_trees,
)
from verticals.recommend.taste import TextTaste, centred, check_vectors, main_directions
from verticals.recommend.text_ease import fit_text_ease
from verticals.recommend.transitions import fit_transitions

_USERS_AT_ONCE = 128  # features of so many users over the whole catalogue are held at a time


class HybridConfig(BaseModel):
    """How the hybrid is fitted; the inner split takes the end of each user's *training* history."""

    model_config = ConfigDict(extra="forbid")

    ranker: Literal["auto", "lambdamart", "blend"] = "auto"
    inner_fraction: float = 0.2
    shortlist: int = 100
    trees: int = 150
    negatives: int = 500
    ease_l2: float = 100.0
    without: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Hybrid:
    """Scores any items for any histories; built by ``fit_hybrid``."""

    features: Features
    blend: Blend
    ranker: LambdaMart | None
    shortlist: int
    name: str = "hybrid"

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """Scores float32 [m, c] of the candidates (default: all items); more is better.

        LambdaMART orders the ``shortlist`` best of the blend, all others stay below them in the blend's order.
        """
        parts = []
        for start in range(0, len(histories), _USERS_AT_ONCE):
            users = np.arange(start, min(start + _USERS_AT_ONCE, len(histories)))
            few = histories if len(users) == len(histories) else histories.take(users)
            parts.append(self.parts(few, self.features.columns(few, candidates), candidates)[0])
        return np.concatenate(parts)

    def parts(
        self, histories: Histories, columns: Columns, candidates: Ints | None = None
    ) -> tuple[Float32, Float32, NDArray[np.bool_]]:
        """The scores, the blend's scores, and where LambdaMART gave the score; all [m, c]."""
        blended = self.blend.score(columns)
        treed = np.zeros(blended.shape, dtype=bool)
        if self.ranker is None:
            return blended, blended, treed
        items = np.arange(histories.n_items) if candidates is None else candidates
        seen = seen_mask(histories) if candidates is None else seen_mask(histories)[:, candidates]
        chosen, _ = top_k(blended, self.shortlist, seen)
        scores = self._trees(self.ranker, histories, columns, blended, chosen, items)
        # The short list comes first; beyond it the blend decides, in one scale without a gap that means something.
        below = blended - blended.max(axis=1, keepdims=True) + scores.min(axis=1, keepdims=True) - 1
        np.put_along_axis(below, chosen, scores, axis=1)
        np.put_along_axis(treed, chosen, True, axis=1)
        return below, blended, treed

    def recommend(self, histories: Histories, k: int = 50, exclude_seen: bool = True) -> tuple[Ints, Float32]:
        """The k best items of each user, best first: item numbers and scores [m, k]; -inf where none is left."""
        parts = []
        for start in range(0, len(histories), _USERS_AT_ONCE):
            few = histories.take(np.arange(start, min(start + _USERS_AT_ONCE, len(histories))))
            if self.ranker is not None and exclude_seen and k <= self.shortlist:
                parts.append(self._top(self.ranker, few, k))
            else:
                parts.append(top_k(self.score(few), k, seen_mask(few) if exclude_seen else None))
        return np.concatenate([items for items, _ in parts]), np.concatenate([scores for _, scores in parts])

    def _top(self, ranker: LambdaMart, histories: Histories, k: int) -> tuple[Ints, Float32]:
        """The k best unseen items, which are all on the short list: nothing below it is put in order."""
        columns = self.features.columns(histories)
        blended = self.blend.score(columns)
        chosen, kept = top_k(blended, self.shortlist, seen_mask(histories))
        scores = self._trees(ranker, histories, columns, blended, chosen, np.arange(histories.n_items))
        scores[kept == -np.inf] = -np.inf  # seen: the list is longer than what is left
        by_number = np.argsort(chosen, axis=1)
        places, best = top_k(np.take_along_axis(scores, by_number, axis=1), k)
        return np.take_along_axis(np.take_along_axis(chosen, by_number, axis=1), places, axis=1), best

    def with_weights(self, changed: dict[str, float]) -> "Hybrid":
        """The transparent blend alone with some weights set by hand: the trees were fitted to other weights."""
        return replace(self, blend=self.blend.with_weights(changed), ranker=None)

    def contributions(self, histories: Histories, candidates: Ints) -> tuple[tuple[str, ...], Float32]:
        """What each feature adds to each score, [m, c, f], with the names of the features."""
        columns = self.features.columns(histories, candidates)
        if self.ranker is None:
            return self.blend.names, self.blend.contributions(columns.picked())
        blended = self.blend.score(columns)
        every = np.broadcast_to(np.arange(len(candidates)), blended.shape)
        rows = self._rows(histories, columns, blended, every, candidates)
        shares = self.ranker.contributions(rows)
        return self.ranker.names, shares.reshape(*blended.shape, -1).astype(np.float32)

    def _rows(self, histories: Histories, columns: Columns, blended: Float32, chosen: Ints, items: Ints) -> Float32:
        popularity = self.features.popularity[items[chosen]]
        return rows_for_trees(
            columns.picked(chosen), np.take_along_axis(blended, chosen, axis=1), popularity, histories
        )

    def _trees(self, ranker: LambdaMart, *given: Any) -> Float32:
        rows = self._rows(*given)
        return ranker.score(rows).reshape(given[3].shape).astype(np.float32)


def standard_sources(
    items: Items, vectors: Float32 | None, histories: Histories, ease_l2: float = 100.0
) -> list[Source]:
    """The sources of the hybrid, fitted on these histories; ``vectors`` are the items' texts encoded [n, d]."""
    ease, knn = fit_ease(histories, ease_l2), fit_item_knn(histories, k=200, shrink=5.0)
    short = Recency(0.5, "share")
    found: list[Source] = [
        ease,
        replace(ease, recency=short, name="recent ease"),
        replace(ease, recency=Recency(10, "events"), name="latest ease"),
        replace(knn, recency=short),
        fit_transitions(histories),
        fit_transitions(histories, both_ways=True),
        fit_popular(histories),
        fit_trending(histories),
    ]
    if vectors is not None:
        unit = centred(check_vectors(vectors, len(items)))
        directions = main_directions(unit)
        along = unit @ directions  # one array for both, and a third of what the vectors take
        found += [TextTaste(along, directions), fit_text_ease(histories, along, ease, recency=short)]
    return found


def fit_hybrid(
    items: Items,
    histories: Histories,
    vectors: Float32 | None = None,
    config: HybridConfig | None = None,
    sources: Callable[[Histories], Sequence[Source]] | None = None,
) -> Hybrid:
    """Fit the ranker on the end of each training history with sources that know only what came before it.

    The sources are then fitted again on everything. ``sources`` replaces the standard ones.
    """
    config = config or HybridConfig()

    def fitted(part: Histories) -> Features:
        made = sources(part) if sources else standard_sources(items, vectors, part, config.ease_l2)
        return make_features(items, part, [one for one in made if one.name not in config.without])

    earlier, later = hold_out(histories, config.inner_fraction)
    inner = fitted(earlier)
    learning = np.flatnonzero([new.size > 0 for new in later])
    blend = _fit_blend(inner, earlier, later, learning, config)
    ranker = None
    if config.ranker == "lambdamart" or (config.ranker == "auto" and has_lightgbm()):
        ranker = _fit_trees(Hybrid(inner, blend, None, config.shortlist), earlier, later, learning, config)
    return Hybrid(fitted(histories), blend, ranker, config.shortlist)


def fit_newcomers(
    items: Items, histories: Histories, vectors: Float32 | None, config: HybridConfig, known: int = 2
) -> Blend:
    """A blend for users of whom little is known, by the names of the hybrid's features.

    Fitted as the blend, but of each training history only the last ``known`` events are shown to the features, so that
    weights move to what still says something: text, popularity, freshness.
    """
    earlier, later = hold_out(histories, config.inner_fraction)
    made = standard_sources(items, vectors, earlier, config.ease_l2)
    inner = make_features(items, earlier, [one for one in made if one.name not in config.without])
    learning = np.flatnonzero([new.size > 0 for new in later])
    return _fit_blend(inner, last_events(earlier, known), later, learning, config)


def last_events(given: Histories, count: int) -> Histories:
    """Only the last ``count`` events of each history."""
    kept = given.ages < count
    starts = np.concatenate([[0], np.cumsum(np.minimum(given.lengths, count))]).astype(np.int64)
    return Histories(starts, given.items[kept], given.times[kept], given.strengths[kept], given.n_items)


def _fit_blend(inner: Features, earlier: Histories, later: list[Ints], users: Ints, config: HybridConfig) -> Blend:
    random = np.random.default_rng(config.seed)
    rows, relevant = [], []
    for part in _batches(users):
        histories = earlier.take(part)
        features = inner.make(histories)
        seen = seen_mask(histories)
        for row, user in enumerate(part):
            free = np.setdiff1d(np.flatnonzero(~seen[row]), later[user])
            some = random.choice(free, min(config.negatives, len(free)), replace=False)
            rows.append(features[row, np.concatenate([later[user], some])])
            relevant.append(np.concatenate([np.ones(len(later[user])), np.zeros(len(some))]))
    return fit_blend(rows, relevant, inner.names)


def _fit_trees(
    hybrid: Hybrid, earlier: Histories, later: list[Ints], users: Ints, config: HybridConfig
) -> LambdaMart | None:
    rows, relevant, groups = [], [], []
    everything = np.arange(earlier.n_items)
    for part in _batches(users):
        histories = earlier.take(part)
        columns = hybrid.features.columns(histories)
        blended = hybrid.blend.score(columns)
        chosen, scores = top_k(blended, config.shortlist, seen_mask(histories))
        made = hybrid._rows(histories, columns, blended, chosen, everything).reshape(*chosen.shape, -1)
        for row, user in enumerate(part):
            there = scores[row] > -np.inf
            hits = np.isin(chosen[row, there], later[user])
            if not hits.any():
                continue  # a list without a right answer teaches nothing
            rows.append(made[row, there])
            relevant.append(hits.astype(np.int64))
            groups.append(len(hits))
    if not rows:
        return None
    names = (*hybrid.features.names, *EXTRA_ROWS)
    stacked, labels = np.concatenate(rows), np.concatenate(relevant)
    return fit_lambdamart(stacked, labels, np.array(groups), names, config.trees, config.seed)


def _batches(users: Ints) -> list[Ints]:
    return [users[start : start + _USERS_AT_ONCE] for start in range(0, len(users), _USERS_AT_ONCE)]
