"""Judge a classifier that may give a row several labels or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InputError
from core.evaluation import weighted
from core.evaluation.intervals import Floats, Interval, bootstrap_many, weighted_mean


@dataclass(frozen=True)
class LabelScore:
    """Scores of one label; ``average_precision`` is NaN when no row carries it."""

    label: str
    precision: float
    recall: float
    f1: float
    average_precision: float
    support: int
    predicted: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        unmeasured = np.isnan(self.average_precision)
        return {**vars(self), "average_precision": None if unmeasured else self.average_precision}


@dataclass(frozen=True)
class MultilabelResult:
    """What a multi-label classifier is worth on n rows, at one probability threshold."""

    metrics: Mapping[str, Interval]
    per_class: tuple[LabelScore, ...]
    labels: tuple[str, ...]
    threshold: float
    n: int

    @property
    def absent(self) -> tuple[str, ...]:
        """Labels that no row carries: their recall was not measured."""
        return tuple(score.label for score in self.per_class if score.support == 0)

    def metrics_dict(self) -> dict[str, dict[str, float | None]]:
        """``{"f1_micro": {"value", "low", "high"}, …}``."""
        return {name: interval.to_dict() for name, interval in self.metrics.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "n": self.n,
            "threshold": self.threshold,
            "metrics": self.metrics_dict(),
            "labels": list(self.labels),
            "absent": list(self.absent),
            "per_class": [score.to_dict() for score in self.per_class],
        }


def evaluate_multilabel(
    truth: ArrayLike,
    probabilities: ArrayLike,
    labels: Sequence[str],
    threshold: float = 0.5,
    resamples: int = 1000,
    seed: int = 0,
    bins: int = 15,
) -> MultilabelResult:
    """F1 (micro, macro, by row), subset accuracy, average precision, log-loss and ECE with 95 % intervals.

    ``truth`` [n, c] is 0/1, ``probabilities`` [n, c]; a label is given where its probability is at least
    ``threshold``. ``f1_macro`` averages over labels that occur in truth or prediction, ``average_precision``
    (macro) over labels with a true row. A row that rightly gets no label has a by-row F1 of 1. ``log_loss``
    (nats) and ``ece`` are means over all n x c decisions; ECE bins the probability of the label itself.
    """
    truth, probabilities = _check(np.asarray(truth), np.asarray(probabilities), len(labels))
    called = (probabilities >= threshold).astype(np.float64)
    hits = truth * called
    row_f1 = weighted.divide(2 * hits.sum(axis=1), truth.sum(axis=1) + called.sum(axis=1), otherwise=1.0)
    exact = (truth == called).all(axis=1)
    loss = -(truth * np.log(probabilities) + (1 - truth) * np.log1p(-probabilities)).mean(axis=1)
    gap = _calibration_gap(truth, probabilities, bins)

    def metrics(t: Any, p: Any, c: Any, h: Any, row_f1: Any, exact: Any, loss: Any, gap: Any, weights: Floats) -> Any:
        counts = tuple(weighted.column_sums(weights, matrix) for matrix in (h, t, c))
        precisions = [weighted.average_precision(p[:, j], t[:, j], weights) for j in range(t.shape[1])]
        return {
            "f1_micro": weighted.f1_from_counts(*(x.sum(axis=1) for x in counts)),
            "f1_macro": weighted.macro_from_counts(*counts),
            "f1_samples": weighted_mean(row_f1, weights),
            "subset_accuracy": weighted_mean(exact, weights),
            "average_precision": _mean_of_defined(np.stack(precisions, axis=1)),
            "log_loss": weighted_mean(loss, weights),
            "ece": np.abs(weights @ gap).sum(axis=1) / weights.sum(axis=1),
        }

    rows = [truth, probabilities, called, hits, row_f1, exact, loss, gap]
    return MultilabelResult(
        metrics=bootstrap_many(metrics, rows, resamples, seed),
        per_class=_per_label(truth, probabilities, called, labels),
        labels=tuple(labels),
        threshold=threshold,
        n=len(truth),
    )


def _check(truth: NDArray[Any], probabilities: NDArray[Any], classes: int) -> tuple[Floats, Floats]:
    if truth.shape != probabilities.shape or truth.ndim != 2 or truth.shape[1] != classes:
        raise ValueError(f"truth {truth.shape} and probabilities {probabilities.shape} must both be [n, {classes}]")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("truth of a multi-label task must hold only 0 and 1")
    smallest = np.finfo(np.float64 if probabilities.dtype == np.float64 else np.float32).eps
    values = probabilities.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("The model gives probabilities that are not numbers; tune it with a lower learning rate.")
    if values.size and (values.min() < -1e-6 or values.max() > 1 + 1e-6):
        raise ValueError("probabilities must lie between 0 and 1; pass a sigmoid")
    return truth.astype(np.float64), np.clip(values, smallest, 1 - smallest)


def _calibration_gap(truth: Floats, probabilities: Floats, bins: int) -> Floats:
    """Per row and bin [n, bins]: sum of (probability - truth) over the labels in the bin, divided by c."""
    n, classes = truth.shape
    cells = weighted.bin_index(probabilities, bins) + np.arange(n)[:, None] * bins
    sums = np.bincount(cells.ravel(), weights=(probabilities - truth).ravel(), minlength=n * bins)
    return np.asarray(sums.reshape(n, bins) / classes)


def _mean_of_defined(values: Floats) -> Floats:
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=1)
    return weighted.divide(total, defined.sum(axis=1), otherwise=np.nan)


def _per_label(truth: Floats, probabilities: Floats, called: Floats, labels: Sequence[str]) -> tuple[LabelScore, ...]:
    hits, actual, given = (truth * called).sum(axis=0), truth.sum(axis=0), called.sum(axis=0)
    precision, recall = weighted.divide(hits, given), weighted.divide(hits, actual)
    f1 = weighted.f1_from_counts(hits, actual, given)
    once = np.ones((1, len(truth)))
    return tuple(
        LabelScore(
            label,
            float(precision[j]),
            float(recall[j]),
            float(f1[j]),
            float(weighted.average_precision(probabilities[:, j], truth[:, j], once)[0]),
            int(actual[j]),
            int(given[j]),
        )
        for j, label in enumerate(labels)
    )
