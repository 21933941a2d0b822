"""Candidates: a short list for the ranker, drawn from several sources, each telling what it brought."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from verticals.recommend.histories import Float32, Histories, Ints


class Source(Protocol):
    """Scores every item for every history; more is better, 0 or less means nothing speaks for it."""

    @property
    def name(self) -> str:
        """What the source is called in reports and explanations."""

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """float32 [m, n], or [m, c] for the item numbers ``candidates``."""


@runtime_checkable
class Factored(Source, Protocol):
    """A source whose scores are the products of a vector for each user with a vector for each item."""

    def factors(self, histories: Histories) -> tuple[Float32, Float32]:
        """Vectors of the users [m, k] and of the items [n, k]."""


def products(users: Float32, items: Float32, candidates: Ints | None = None) -> Float32:
    """``users`` [m, k] times ``items`` [n, k], float32 [m, n], or [m, c] for the item numbers ``candidates``."""
    if candidates is None:
        return np.asarray(users @ items.T, dtype=np.float32)
    if 4 * len(candidates) < len(items):
        return np.asarray(users @ items[candidates].T, dtype=np.float32)
    return np.asarray((users @ items.T)[:, candidates], dtype=np.float32)  # quicker than a copy of most items


@dataclass(frozen=True)
class Editorial:
    """Items picked by people, best first; the same for everybody."""

    picks: Ints
    n_items: int
    name: str = "editorial"

    def __post_init__(self) -> None:
        if len(np.unique(self.picks)) != len(self.picks):
            raise InputError("The editorial list names an item twice; remove one of them.")

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """1 for the first pick, falling evenly to just above 0 for the last one, 0 for all others."""
        row = np.zeros(self.n_items, dtype=np.float32)
        row[self.picks] = 1 - np.arange(len(self.picks)) / max(len(self.picks), 1)
        row = row if candidates is None else row[candidates]
        return np.broadcast_to(row, (len(histories), len(row)))


@dataclass(frozen=True)
class Candidates:
    """The short list of one user: ``items`` [c] and, for each, the sources that brought it."""

    items: Ints
    sources: tuple[tuple[str, ...], ...]


def top_k(scores: Float32, k: int, excluded: NDArray[np.bool_] | None = None) -> tuple[Ints, Float32]:
    """The k best of each row [m, n], best first, equal scores by item number; -inf marks an excluded one.

    Returns item numbers and scores, both [m, min(k, n)].
    """
    values = np.asarray(scores, dtype=np.float32)
    if excluded is not None:
        values = np.where(excluded, -np.inf, values)
    k = min(k, values.shape[1])
    if k < 1:
        empty = np.empty((len(values), 0), dtype=np.int64)
        return empty, empty.astype(np.float32)
    if k == values.shape[1]:
        part = np.broadcast_to(np.arange(k), values.shape)
    else:
        part = np.argpartition(-values, k - 1, axis=1)[:, :k]
        # argpartition leaves ties at the border to chance: take the first of them instead.
        edge = np.take_along_axis(values, part, axis=1).min(axis=1)
        ties = np.flatnonzero((values == edge[:, None]).sum(axis=1) > 1)
        part[ties] = np.argsort(-values[ties], axis=1, kind="stable")[:, :k]
    chosen = np.take_along_axis(values, part, axis=1)
    order = np.lexsort((part, -chosen))
    return np.take_along_axis(part, order, axis=1).astype(np.int64), np.take_along_axis(chosen, order, axis=1)


def seen_mask(histories: Histories) -> NDArray[np.bool_]:
    """What each user already engaged with, bool [m, n]."""
    mask = np.zeros((len(histories), histories.n_items), dtype=bool)
    mask[histories.rows, histories.items] = True
    return mask


def gather(
    histories: Histories, sources: Sequence[Source], per_source: int = 100, exclude_seen: bool = True
) -> list[Candidates]:
    """The best ``per_source`` unseen items of each source together, for each user.

    A source brings only items for which something speaks (a score above 0).
    """
    if per_source < 1:
        raise InputError(f"per_source = {per_source}; each source must bring at least one item.")
    seen = seen_mask(histories) if exclude_seen else None
    brought: list[dict[int, list[str]]] = [{} for _ in range(len(histories))]
    for source in sources:
        items, scores = top_k(source.score(histories), per_source, seen)
        for user in range(len(histories)):
            for item in items[user][scores[user] > 0].tolist():
                brought[user].setdefault(item, []).append(source.name)
    return [
        Candidates(np.fromiter(found, dtype=np.int64, count=len(found)), tuple(map(tuple, found.values())))
        for found in brought
    ]
