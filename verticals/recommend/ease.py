"""EASE: which items go together, in closed form (Steck 2019, Embarrassingly Shallow Autoencoders)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.errors import InputError
from verticals.recommend.histories import Float32, Histories, Ints, Recency
from verticals.recommend.weights import DenseWeights

MAX_ITEMS = 20_000  # the inverse of a matrix of this size takes 3.2 GB


@dataclass(frozen=True)
class Ease:
    """``weights`` [a, a] of the items ``active`` [a] that have events; all others score 0.

    ``recency`` weighs the history when scoring; what was learnt is the same with and without.
    """

    weights: Float32
    active: Ints
    n_items: int
    recency: Recency | None = None
    name: str = "ease"

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """How well each item goes with each history, float32 [m, n] or [m, c]."""
        return self._dense.sums(histories.matrix(self.recency), candidates)

    @cached_property
    def _dense(self) -> DenseWeights:
        # By rows: the closed form leaves them by columns, and a product would copy them all each time.
        return DenseWeights(np.ascontiguousarray(self.weights), self.active, self.n_items)


def fit_ease(histories: Histories, l2: float = 100.0, max_items: int = MAX_ITEMS) -> Ease:
    """Weights B = I - P / diag(P) with P = (X'X + l2 I)^-1, their diagonal 0 (Steck 2019, eq. 8).

    Only the ``max_items`` most used items take part. Raises InputError when there is no event.
    """
    import scipy.linalg

    if not l2 > 0:
        raise InputError(f"l2 = {l2}; it must be above 0.")
    x = histories.matrix(equal=False)
    used = np.bincount(histories.items, minlength=histories.n_items)
    active = np.flatnonzero(used)
    if not active.size:
        raise InputError("There are no events to learn from; load behaviour first.")
    if active.size > max_items:
        active = np.sort(np.argsort(-used, kind="stable")[:max_items])
    x = x[:, active]
    gram = (x.T @ x).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += l2
    factor = scipy.linalg.cho_factor(gram, overwrite_a=True, check_finite=False)
    inverse = scipy.linalg.cho_solve(factor, np.eye(len(active)), overwrite_b=True, check_finite=False)
    weights = inverse / -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0.0
    return Ease(np.ascontiguousarray(weights, dtype=np.float32), active, histories.n_items)
