"""Which intent a question has, and what its scores say about whether it has any."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import logsumexp, softmax


@dataclass(frozen=True)
class IntentGuess:
    """The best intent with its calibrated probability, the runners-up, and the free energy of the scores.

    ``energy`` is minus the log of the sum of exponentials (Liu et al. 2020): the higher, the less the question looks
    like any intent.
    """

    intent: str
    probability: float
    ranked: tuple[tuple[str, float], ...]
    energy: float

    @property
    def margin(self) -> float:
        """Between the best and the second."""
        return self.probability - (self.ranked[1][1] if len(self.ranked) > 1 else 0.0)


class Classifier(Protocol):
    """What a tuned classification model offers (``core.serving.predictor.Predictor``)."""

    labels: list[str]
    temperature: float

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Uncalibrated logits [n, classes]."""


class Intents:
    """Guesses intents with a tuned model."""

    def __init__(self, model: Classifier | Any) -> None:
        self.model = model

    def guess(self, texts: Sequence[str], top: int = 5) -> list[IntentGuess]:
        """One guess a text, with its ``top`` intents ranked."""
        if not texts:
            return []
        model = getattr(self.model, "current", self.model)  # a promoted version must not come between the questions
        logits = np.asarray(model.logits(texts), dtype=np.float64) / model.temperature
        probabilities = softmax(logits, axis=1)
        energies = -logsumexp(logits, axis=1)
        return [self._guess(model.labels, row, float(e), top) for row, e in zip(probabilities, energies, strict=True)]

    def _guess(self, labels: Sequence[str], row: np.ndarray, energy: float, top: int) -> IntentGuess:
        best = np.argsort(-row, kind="stable")[:top]
        ranked = tuple((labels[i], float(row[i])) for i in best)
        return IntentGuess(ranked[0][0], ranked[0][1], ranked, energy)
