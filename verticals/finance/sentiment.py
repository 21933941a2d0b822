"""Good, bad or neither: of a text, and toward a company that it names; calibrated probabilities."""

from collections.abc import Mapping, Sequence
from typing import Any

SENTIMENTS = ("negative", "neutral", "positive")


def score_of(probabilities: Mapping[str, float]) -> float:
    """P(positive) - P(negative), between -1 and 1."""
    return probabilities["positive"] - probabilities["negative"]


def of_texts(predictor: Any, texts: Sequence[str]) -> list[dict[str, float]]:
    """Probabilities of the three sentiments for each text, in input order."""
    return of_predictions(predictor.predict(list(texts)))


def of_predictions(predictions: Sequence[Any]) -> list[dict[str, float]]:
    """The same of predictions that have been made already."""
    return [_three(prediction.probabilities) for prediction in predictions]


def toward(predictor: Any, texts: Sequence[str], names: Sequence[str]) -> list[dict[str, float]]:
    """Probabilities of the three sentiments toward ``names[i]`` in ``texts[i]``: the pair is classified."""
    if not texts:
        return []
    return [_three(prediction.probabilities) for prediction in predictor.predict(list(texts), list(names))]


def best(probabilities: Mapping[str, float]) -> str:
    """The most probable sentiment."""
    return max(SENTIMENTS, key=lambda name: probabilities[name])


def _three(probabilities: Mapping[str, float]) -> dict[str, float]:
    return {name: float(probabilities[name]) for name in SENTIMENTS}
