"""Which unlabelled texts to label next: those the model is unsure of, spread over different kinds of doubt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InputError


@dataclass(frozen=True)
class Question:
    """A text worth labelling; ``guess`` and ``probability`` are what the model would say."""

    row: int
    text: str
    guess: str
    probability: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


def next_labels(
    texts: Sequence[str], probabilities: ArrayLike, vectors: ArrayLike, labels: Sequence[str], k: int, seed: int = 0
) -> list[Question]:
    """The k texts to ask about, most telling first. Raises InputError when there are fewer than k texts."""
    probabilities, vectors = np.asarray(probabilities, np.float64), np.asarray(vectors, np.float64)
    if not 0 < k <= len(texts):
        raise InputError(f"k = {k}, but there are {len(texts)} unlabelled texts; ask for 1 to {len(texts)}.")
    chosen = gradient_spread(probabilities, vectors, k, seed)
    best = probabilities.argmax(1)
    return [Question(int(i), texts[i], labels[best[i]], float(probabilities[i, best[i]])) for i in chosen]


def gradient_spread(
    probabilities: NDArray[np.float64], vectors: NDArray[np.float64], k: int, seed: int = 0
) -> NDArray[np.int64]:
    """BADGE (Ash et al. 2020, https://arxiv.org/abs/1906.03671): k-means++ over the last layer's gradients.

    The gradient of row i is the outer product of (p_i - onehot(argmax p_i)) and its vector; long where the model is
    unsure, pointing elsewhere where the doubt is of another kind. Products of the two factors replace the [n, c·d]
    matrix. The first row is the one with the longest gradient.
    """
    errors = probabilities.copy()
    errors[np.arange(len(errors)), probabilities.argmax(1)] -= 1
    lengths = (errors**2).sum(1) * (vectors**2).sum(1)
    chance = np.random.default_rng(seed)
    chosen = [int(lengths.argmax())]
    nearest = np.full(len(errors), np.inf)
    while len(chosen) < k:
        last = chosen[-1]
        products = (errors @ errors[last]) * (vectors @ vectors[last])
        nearest = np.minimum(nearest, np.maximum(lengths + lengths[last] - 2 * products, 0))
        nearest[chosen] = 0
        total = nearest.sum()
        free = np.setdiff1d(np.arange(len(errors)), chosen)
        # Copies of chosen texts have no distance left; then any free one is as good as another.
        chosen.append(int(chance.choice(len(errors), p=nearest / total)) if total > 0 else int(free[0]))
    return np.array(chosen)
