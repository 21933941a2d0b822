"""Judge a single-label classifier from its probabilities; several labels a row are in ``multilabel``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InputError
from core.evaluation import weighted
from core.evaluation.intervals import Floats, Interval, bootstrap_many, weighted_mean
from core.evaluation.multilabel import MultilabelResult, evaluate_multilabel

__all__ = [
    "ClassScore",
    "ClassificationResult",
    "MultilabelResult",
    "check_probabilities",
    "confusion_matrix",
    "evaluate_classification",
    "evaluate_multilabel",
    "top_class",
]


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class; ``support`` is its number of true rows, ``predicted`` how often it was called."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class ClassificationResult:
    """What a classifier is worth on n rows. ``confusion[i, j]``: rows of class i that were called j."""

    metrics: Mapping[str, Interval]
    per_class: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]
    labels: tuple[str, ...]
    n: int

    @property
    def absent(self) -> tuple[str, ...]:
        """Labels without a true row: their recall was not measured."""
        return tuple(score.label for score in self.per_class if score.support == 0)

    def metrics_dict(self) -> dict[str, dict[str, float | None]]:
        """``{"accuracy": {"value", "low", "high"}, …}``."""
        return {name: interval.to_dict() for name, interval in self.metrics.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "n": self.n,
            "metrics": self.metrics_dict(),
            "labels": list(self.labels),
            "absent": list(self.absent),
            "per_class": [score.to_dict() for score in self.per_class],
            "confusion": self.confusion.tolist(),
        }


def evaluate_classification(
    truth: ArrayLike,
    probabilities: ArrayLike,
    labels: Sequence[str],
    resamples: int = 1000,
    seed: int = 0,
    bins: int = 15,
) -> ClassificationResult:
    """Accuracy, F1, MCC, log-loss, calibration error and Brier score with 95 % bootstrap intervals.

    ``truth`` [n] holds class numbers, ``probabilities`` [n, c] rows that sum to 1. The predicted class is
    the most probable one, the first of equals. Macro-F1 averages over the labels that occur in truth or
    prediction, as scikit-learn does: a label absent from both counts neither for nor against. ``ece`` uses
    equal-width bins of the top probability (Guo et al. 2017), ``ece_adaptive`` bins of equal mass; both are
    biased upwards on few rows. ``brier`` sums the squared error over classes (Brier 1950), so it runs from 0
    to 2; ``log_loss`` is in nats.
    """
    truth = np.asarray(truth)
    # A float32 softmax rounds to exactly 0; the log-loss then says what float32 can say, as in scikit-learn.
    smallest = np.finfo(np.float64 if np.asarray(probabilities).dtype == np.float64 else np.float32).eps
    probabilities = check_probabilities(probabilities, len(labels), len(truth))
    truth = _check_truth(truth, len(labels))
    predicted = top_class(probabilities)
    confidence = probabilities.max(axis=1)
    log_loss = -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], smallest))
    brier = ((probabilities - np.eye(len(labels))[truth]) ** 2).sum(axis=1)

    def metrics(truth: Any, called: Any, confidence: Any, loss: Any, brier: Any, weights: Floats) -> dict[str, Floats]:
        correct = truth == called
        counts = weighted.class_counts(truth, called, weights)
        return {
            "accuracy": weighted_mean(correct, weights),
            "f1_macro": weighted.macro_from_counts(*counts),
            "f1_weighted": weighted.weighted_from_counts(*counts),
            "mcc": weighted.mcc_from_counts(*counts),
            "log_loss": weighted_mean(loss, weights),
            "ece": weighted.ece(confidence, correct, weights, bins),
            "ece_adaptive": weighted.ece_adaptive(confidence, correct, weights, bins),
            "brier": weighted_mean(brier, weights),
        }

    rows = [truth, predicted, confidence, log_loss, brier]
    confusion = confusion_matrix(truth, predicted, len(labels))
    return ClassificationResult(
        metrics=bootstrap_many(metrics, rows, resamples, seed),
        per_class=_per_class(confusion, labels),
        confusion=confusion,
        labels=tuple(labels),
        n=len(truth),
    )


def top_class(probabilities: NDArray[Any]) -> NDArray[np.int64]:
    """The most probable class of each row, the first of equals."""
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts [c, c]: true class down, predicted class across."""
    cells = np.asarray(truth, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def check_probabilities(probabilities: ArrayLike, classes: int, rows: int) -> Floats:
    """Probabilities as float64 [n, c] whose rows sum to 1.

    Raises InputError when they are not finite (a diverged model), ValueError when the shape or the sums are
    wrong.
    """
    given = np.asarray(probabilities)
    if given.shape != (rows, classes):
        raise ValueError(f"probabilities have shape {given.shape}; {(rows, classes)} is expected")
    values = given.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("The model gives probabilities that are not numbers; tune it with a lower learning rate.")
    if rows and (values.min() < -1e-6 or np.abs(values.sum(axis=1) - 1).max() > 1e-2):
        raise ValueError("each row of probabilities must lie between 0 and 1 and sum to 1; pass a softmax")
    values = np.clip(values, 0.0, None)
    return np.asarray(values / values.sum(axis=1, keepdims=True))


def _check_truth(truth: NDArray[Any], classes: int) -> NDArray[np.int64]:
    if truth.ndim != 1 or (truth.size and not np.issubdtype(truth.dtype, np.integer)):
        raise ValueError(f"truth must be class numbers [n]; it is {truth.dtype} of shape {truth.shape}")
    if truth.size and (truth.min() < 0 or truth.max() >= classes):
        raise ValueError(f"truth has class {truth.max() if truth.min() >= 0 else truth.min()}, labels has {classes}")
    return truth.astype(np.int64)


def _per_class(confusion: NDArray[np.int64], labels: Sequence[str]) -> tuple[ClassScore, ...]:
    hits, actual, called = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = weighted.divide(hits, called), weighted.divide(hits, actual)
    f1 = weighted.f1_from_counts(hits, actual, called)
    return tuple(
        ClassScore(label, float(precision[i]), float(recall[i]), float(f1[i]), int(actual[i]), int(called[i]))
        for i, label in enumerate(labels)
    )
