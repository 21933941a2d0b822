"""Transitions: what users turn to soon after an item; the order of events, which co-occurrence forgets."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import coo_array

from core.errors import InputError
from verticals.recommend.histories import Float32, Histories, Ints, Recency
from verticals.recommend.weights import DenseWeights, dense_where_small


@dataclass(frozen=True)
class Transitions:
    """``weights``: sparse [n, n], from the item of the history to the item that followed."""

    weights: Any
    recency: Recency = Recency(5, "events")
    name: str = "transitions"

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """How often what followed the last items of the history was this item, float32 [m, n] or [m, c]."""
        history = histories.matrix(self.recency)
        if self._dense is not None:
            return self._dense.sums(history, candidates)
        scores = (history @ self.weights).toarray().astype(np.float32)
        return scores if candidates is None else scores[:, candidates]

    @cached_property
    def _dense(self) -> DenseWeights | None:
        return dense_where_small(self.weights)


def fit_transitions(
    histories: Histories, window: int = 20, both_ways: bool = False, popularity: float = 0.3, shrink: float = 10.0
) -> Transitions:
    """Count pairs up to ``window`` events apart, each 1 / distance; in both directions if asked.

    A count is divided by ``(row sum + shrink) * (column sum + shrink) ** popularity``: shares of what follows an
    item, less for what follows everything.
    """
    if window < 1:
        raise InputError(f"window = {window}; it must be at least 1.")
    n = histories.n_items
    rows = histories.rows
    sources, targets, weights = [], [], []
    for distance in range(1, min(window, len(histories.items) - 1) + 1):
        same = rows[distance:] == rows[:-distance]
        sources.append(histories.items[:-distance][same])
        targets.append(histories.items[distance:][same])
        weights.append(np.full(int(same.sum()), 1 / distance))
    if not sources:
        raise InputError("There are no sequences of events to learn from; load behaviour first.")
    entries = (np.concatenate(weights), (np.concatenate(sources), np.concatenate(targets)))
    counts = coo_array(entries, shape=(n, n)).tocsr()
    if both_ways:
        counts = counts + counts.T
    counts = counts.tocoo()
    out = np.bincount(counts.row, weights=counts.data, minlength=n) + shrink
    into = np.bincount(counts.col, weights=counts.data, minlength=n) + shrink
    counts.data = counts.data / out[counts.row] / into[counts.col] ** popularity
    name = "neighbours in time" if both_ways else "transitions"
    return Transitions(counts.tocsr().astype(np.float32), name=name)
