"""What a system would have earned on logged impressions: the shown re-ranked, or first places drawn by its scores."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from verticals.recommend.candidates import Source
from verticals.recommend.histories import Floats, Ints
from verticals.recommend.off_policy import estimate, position_propensities

if TYPE_CHECKING:
    from verticals.recommend.judging import Ground

DRAWN_ITEMS = 20_000  # a softmax over more items would need a sample of them


def off_policy(
    system: Source,
    given: "Ground",
    lists: Sequence[Any],
    users: Ints,
    numbers: Sequence[Ints],
    scores: Sequence[Floats],
    resamples: int,
) -> dict[str, Any]:
    """``{"reranked": …, "drawn": …}``: clicks per shown item, with intervals; parts whose logs are there.

    "reranked" (positions logged): the same items of each list in the system's order, a click counting by how
    likely the new place is looked at over the old one (Joachims et al. 2017). "drawn" (propensities logged): the
    first place drawn with the softmax of the system's standardised scores over the catalogue, over the logged
    chance. ``lists`` are impressions of the users' numbers ``users``, with item ``numbers`` and ``scores`` each.
    """
    found: dict[str, Any] = {}
    places = np.concatenate([part["position"].to_numpy(dtype=np.float64) for part in lists])
    hits = np.concatenate([part["clicked"].to_numpy(dtype=np.float64) for part in lists])
    if np.isfinite(places).all() and (places >= 1).all():
        looks = position_propensities(places, hits)
        target = np.empty(len(looks))
        at = 0
        for score in scores:
            part = slice(at, at + len(score))
            by_place = np.sort(looks[part])[::-1]
            target[part][np.argsort(-score, kind="stable")] = by_place
            at += len(score)
        found["reranked"] = estimate(hits, np.clip(looks, 1e-3, 1.0), target, resamples=resamples).to_dict()
    drawn = _drawn(system, given, lists, users, numbers)
    if drawn is not None:
        found["drawn"] = estimate(*drawn, resamples=resamples).to_dict()
    return found


def _drawn(
    system: Source, given: "Ground", lists: Sequence[Any], users: Ints, numbers: Sequence[Ints]
) -> tuple[Floats, Floats, Floats] | None:
    """Reward, logged chance and the system's chance of the first item of each list; None without propensities."""
    first = [int(np.argmin(part["position"].fillna(1).to_numpy())) for part in lists]
    shown = np.array([part["propensity"].iloc[at] for part, at in zip(lists, first, strict=True)], dtype=np.float64)
    if not np.isfinite(shown).all() or len(given.items) > DRAWN_ITEMS:
        return None
    reward = np.array([bool(part["clicked"].iloc[at]) for part, at in zip(lists, first, strict=True)], dtype=np.float64)
    item = np.array([part[at] for part, at in zip(numbers, first, strict=True)])
    chance = np.empty(len(lists))
    every = np.unique(users)
    for start in range(0, len(every), 128):
        some = every[start : start + 128]
        table = system.score(given.train.take(some)).astype(np.float64)
        spread = table.std(axis=1, keepdims=True)
        z = (table - table.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
        z = np.exp(z - z.max(axis=1, keepdims=True))
        z /= z.sum(axis=1, keepdims=True)
        rows = np.flatnonzero(np.isin(users, some))
        chance[rows] = z[np.searchsorted(some, users[rows]), item[rows]]
    return reward, np.clip(shown, 1e-6, 1.0), chance
