"""What goes with what, told by text alone: EASE seen through the items' vectors, in closed form.

EASE (Steck 2019) learns from behaviour which items go together but knows nothing of a new one. Here its weights B are
approximated by ``Z M Z'`` with Z the texts' vectors along their main directions: the solution of
``min || X B - X Z M Z' ||^2`` over the items with events, X being users by items, with a ridge on either side. Two
texts go together as far as their vectors say so, and an item gets its score from its text the minute it exists.
"""

from dataclasses import dataclass

import numpy as np

from core.errors import InputError
from verticals.recommend.ease import Ease
from verticals.recommend.histories import Float32, Histories, Ints, Recency

ITEM_RIDGE = 1.0  # as much as one more item along every direction


@dataclass(frozen=True)
class TextEase:
    """``left`` and ``right`` [n, d]: what an item says as part of a history, and as a candidate."""

    left: Float32
    right: Float32
    to_left: Float32
    to_right: Float32
    recency: Recency | None = None
    name: str = "text ease"

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """How well each item's text goes with each history, float32 [m, n] or [m, c]."""
        users = np.asarray(histories.matrix(self.recency) @ self.left)
        items = self.right if candidates is None else self.right[candidates]
        return np.asarray(users @ items.T, dtype=np.float32)

    def over(self, vectors: Float32) -> "TextEase":
        """The same weights for another catalogue: unit ``vectors`` [n, d] by the same encoder."""
        left, right = vectors @ self.to_left, vectors @ self.to_right
        return TextEase(left, right, self.to_left, self.to_right, self.recency, self.name)


def fit_text_ease(
    histories: Histories,
    vectors: Float32,
    ease: Ease,
    l2: float = 10.0,
    recency: Recency | None = None,
    rank: int = 128,
) -> TextEase:
    """Fit to the ``ease`` of the same histories; ``vectors`` [n, d] are the items' unit vectors.

    ``rank`` is the most directions kept: fewer read less memory for each candidate. Raises InputError when nothing
    was engaged with.
    """
    active = ease.active
    if not active.size:
        raise InputError("There are no events to learn from; load behaviour first.")
    x = histories.matrix()[:, active]
    known = vectors[active].astype(np.float64)
    _, _, directions = np.linalg.svd(known, full_matrices=False)
    to_basis = directions[:rank].T
    basis = known @ to_basis
    seen = np.asarray(x @ basis)
    target = seen.T @ np.asarray(x @ (ease.weights.astype(np.float64) @ basis))
    # A ridge on both sides: rare directions are not trusted, or a new item that has one would be thrown far off.
    middle = np.linalg.solve(seen.T @ seen + l2 * np.eye(basis.shape[1]), target)
    middle = np.linalg.solve(basis.T @ basis + ITEM_RIDGE * np.eye(basis.shape[1]), middle.T).T
    to_left = (to_basis @ middle).astype(np.float32)
    to_right = to_basis.astype(np.float32)
    return TextEase(vectors @ to_left, vectors @ to_right, to_left, to_right, recency)
