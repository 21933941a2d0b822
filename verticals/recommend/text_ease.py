"""What goes with what, told by text alone: EASE seen through the items' vectors, in closed form.

EASE (Steck 2019) learns from behaviour which items go together but knows nothing of a new one. Here its weights B are
approximated by ``Z M Z'`` with Z the texts' vectors: the solution of
``min || X B - X Z M Z' ||^2`` over the items with events, X being users by items, with a ridge on either side. Two
texts go together as far as their vectors say so, and an item gets its score from its text the minute it exists.
"""

from dataclasses import dataclass, replace

import numpy as np

from core.errors import InputError
from verticals.recommend.candidates import products
from verticals.recommend.ease import Ease
from verticals.recommend.histories import Float32, Histories, Ints, Recency

ITEM_RIDGE = 1.0  # as much as one more item along every direction


@dataclass(frozen=True)
class TextEase:
    """``middle`` [k, k]: how what a history's texts say, by ``vectors`` [n, k], goes with what a candidate's says."""

    vectors: Float32
    middle: Float32
    recency: Recency | None = None
    name: str = "text ease"

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """How well each item's text goes with each history, float32 [m, n] or [m, c]."""
        return products(*self.factors(histories), candidates)

    def factors(self, histories: Histories) -> tuple[Float32, Float32]:
        """What the histories ask of a text, and the texts."""
        return np.asarray(histories.matrix(self.recency) @ self.vectors) @ self.middle, self.vectors

    def over(self, vectors: Float32) -> "TextEase":
        """The same weights for another catalogue: ``vectors`` [n, k] by the same encoder, along the same directions."""
        return replace(self, vectors=vectors)


def fit_text_ease(
    histories: Histories,
    vectors: Float32,
    ease: Ease,
    l2: float = 10.0,
    recency: Recency | None = None,
) -> TextEase:
    """Fit to the ``ease`` of the same histories; ``vectors`` [n, k] are those of ``TextTaste``.

    Raises InputError when nothing was engaged with.
    """
    active = ease.active
    if not active.size:
        raise InputError("There are no events to learn from; load behaviour first.")
    x = histories.matrix()[:, active]
    known = vectors[active].astype(np.float64)
    seen = np.asarray(x @ known)
    target = seen.T @ np.asarray(x @ (ease.weights.astype(np.float64) @ known))
    # A ridge on both sides: rare directions are not trusted, or a new item that has one would be thrown far off.
    middle = np.linalg.solve(seen.T @ seen + l2 * np.eye(known.shape[1]), target)
    middle = np.linalg.solve(known.T @ known + ITEM_RIDGE * np.eye(known.shape[1]), middle.T).T
    return TextEase(vectors, middle.astype(np.float32), recency)
