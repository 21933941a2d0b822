"""What goes with what, told by text alone: EASE seen through the items' vectors, in closed form.

EASE (Steck 2019) learns from behaviour which items go together but knows nothing of a new one. Here its weights B are
approximated by ``U M U'`` with U an orthonormal basis of the texts' vectors: the ridge solution of
``min || X B - X U M U' ||^2 + l2 ||M||^2`` over the items with events, X being users by items. Two texts then go
together as far as their vectors say so, and an item gets its score from its text the minute it exists.
"""

from dataclasses import dataclass

import numpy as np

from core.errors import InputError
from verticals.recommend.ease import Ease
from verticals.recommend.histories import Float32, Histories, Ints, Recency


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
    histories: Histories, vectors: Float32, ease: Ease, l2: float = 10.0, recency: Recency | None = None
) -> TextEase:
    """Fit to the ``ease`` of the same histories; ``vectors`` [n, d] are the items' unit vectors.

    Raises InputError when nothing was engaged with.
    """
    active = ease.active
    if not active.size:
        raise InputError("There are no events to learn from; load behaviour first.")
    x = histories.matrix()[:, active]
    known = vectors[active].astype(np.float64)
    # An orthonormal basis of the known texts; directions that hardly occur would only carry noise.
    _, sizes, directions = np.linalg.svd(known, full_matrices=False)
    kept = sizes > 1e-3 * sizes[0]
    to_basis = directions[kept].T / sizes[kept]
    basis = known @ to_basis
    seen = np.asarray(x @ basis)
    gram = seen.T @ seen
    target = seen.T @ np.asarray(x @ (ease.weights.astype(np.float64) @ basis))
    middle = np.linalg.solve(gram + l2 * np.eye(len(gram)), target)
    to_left = (to_basis @ middle).astype(np.float32)
    to_right = to_basis.astype(np.float32)
    return TextEase(vectors @ to_left, vectors @ to_right, to_left, to_right, recency)
