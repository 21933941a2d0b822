"""Item-to-item weights held dense: the weighted sum of the rows of a history's items, for many users or a long list."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from verticals.recommend.histories import Float32, Ints

DENSE_ITEMS = 4096  # of so many items the weights take 64 MB
DENSE_SHARE = 1 / 50  # of weights that are not 0, from which on adding whole rows is quicker than adding what is there


@dataclass(frozen=True)
class DenseWeights:
    """``weights`` [a, a] between the items ``active`` [a] of n; all others weigh nothing and score 0."""

    weights: Float32
    active: Ints
    n_items: int

    def sums(self, history: Any, candidates: Ints | None = None) -> Float32:
        """The rows of ``weights`` added up by the sparse ``history`` [m, n], float32 [m, n] or [m, c]."""
        at = self._places[history.indices]
        data = np.where(at >= 0, history.data, np.float32(0.0))
        known = csr_array(
            (data, np.maximum(at, 0), history.indptr), shape=(history.shape[0], len(self.active)), dtype=np.float32
        )
        among = np.asarray(known @ self.weights)
        if candidates is not None:
            wanted = self._places[candidates]
            scores = among[:, np.maximum(wanted, 0)]
            scores[:, wanted < 0] = 0.0
            return scores
        if len(self.active) == self.n_items:
            return among
        scores = np.zeros((len(among), self.n_items), dtype=np.float32)
        scores[:, self.active] = among
        return scores

    @cached_property
    def _places(self) -> Ints:
        places = np.full(self.n_items, -1, dtype=np.int64)
        places[self.active] = np.arange(len(self.active))
        return places


def dense_where_small(weights: Any) -> DenseWeights | None:
    """The sparse ``weights`` [n, n] as a dense matrix of the items that occur; None where sparse is the better form."""
    weights = csr_array(weights)
    used = np.union1d(np.flatnonzero(np.diff(weights.indptr)), np.unique(weights.indices)).astype(np.int64)
    if not used.size or used.size > DENSE_ITEMS or weights.nnz < DENSE_SHARE * used.size**2:
        return None
    return DenseWeights(weights[used][:, used].toarray().astype(np.float32), used, weights.shape[0])
