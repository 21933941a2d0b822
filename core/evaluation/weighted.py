"""Classification metrics as functions of row weights [r, n], for ``core.evaluation.intervals``.

Each returns one value a resample. With all weights 1 they equal scikit-learn's metrics of the same names.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from core.evaluation.intervals import Floats, weighted_mean

Ints = NDArray[np.int64]


def accuracy(truth: Any, predicted: Any, weights: Floats) -> Floats:
    """Share of rows whose predicted class is the true one."""
    return weighted_mean(np.asarray(truth) == np.asarray(predicted), weights)


def f1_macro(truth: Any, predicted: Any, weights: Floats) -> Floats:
    """Mean F1 of the classes that occur in truth or prediction of the resample."""
    return macro_from_counts(*class_counts(truth, predicted, weights))


def f1_weighted(truth: Any, predicted: Any, weights: Floats) -> Floats:
    """Mean F1 of the classes, each weighted by its true rows."""
    return weighted_from_counts(*class_counts(truth, predicted, weights))


def mcc(truth: Any, predicted: Any, weights: Floats) -> Floats:
    """Matthews correlation for any number of classes (Gorodkin 2004); 0 where it is undefined."""
    return mcc_from_counts(*class_counts(truth, predicted, weights))


def class_counts(truth: Any, predicted: Any, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Weighted true positives, true rows and predicted rows of each class, three arrays [r, c]."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    classes = int(max(truth.max(), predicted.max())) + 1
    hit = truth == predicted
    return (
        column_sums(weights, indicator(truth, classes, hit)),
        column_sums(weights, indicator(truth, classes)),
        column_sums(weights, indicator(predicted, classes)),
    )


def f1_from_counts(hits: Any, actual: Any, called: Any) -> Floats:
    """F1 = 2 TP / (true + predicted), 0 where a class has neither."""
    return divide(2 * hits, actual + called)


def macro_from_counts(hits: Floats, actual: Floats, called: Floats) -> Floats:
    """Mean F1 over the classes with a true or predicted row, in each resample."""
    present = (actual + called) > 0
    return divide(f1_from_counts(hits, actual, called).sum(axis=1), present.sum(axis=1))


def weighted_from_counts(hits: Floats, actual: Floats, called: Floats) -> Floats:
    """F1 of the classes weighted by their true rows, in each resample."""
    return divide((f1_from_counts(hits, actual, called) * actual).sum(axis=1), actual.sum(axis=1))


def mcc_from_counts(hits: Floats, actual: Floats, called: Floats) -> Floats:
    """Matthews correlation in each resample, 0 where truth or prediction is a single class."""
    total = actual.sum(axis=1)
    covariance = hits.sum(axis=1) * total - (actual * called).sum(axis=1)
    spread = np.sqrt(total**2 - (actual**2).sum(axis=1)) * np.sqrt(total**2 - (called**2).sum(axis=1))
    return divide(covariance, spread)


def ece(confidence: Any, correct: Any, weights: Floats, bins: int = 15) -> Floats:
    """Expected calibration error over equal-width bins (Guo et al. 2017, eq. 3)."""
    gap = np.asarray(confidence, dtype=np.float64) - np.asarray(correct, dtype=np.float64)
    each_bin = column_sums(weights, indicator(bin_index(confidence, bins), bins, gap))
    return np.asarray(np.abs(each_bin).sum(axis=1) / weights.sum(axis=1))


def ece_adaptive(confidence: Any, correct: Any, weights: Floats, bins: int = 15) -> Floats:
    """Expected calibration error over equal-mass bins (Nguyen & O'Connor 2015), cut anew in each resample."""
    confidence = np.asarray(confidence, dtype=np.float64)
    order = np.argsort(confidence, kind="stable")
    gap = (confidence - np.asarray(correct, dtype=np.float64))[order]
    mass = weights[:, order]
    total = mass.sum(axis=1, keepdims=True)
    middle = (np.cumsum(mass, axis=1) - mass / 2) / total
    index = np.minimum((middle * bins).astype(np.int64), bins - 1) + np.arange(len(mass))[:, None] * bins
    sums = np.bincount(index.ravel(), weights=(mass * gap).ravel(), minlength=len(mass) * bins)
    return np.asarray(np.abs(sums.reshape(-1, bins)).sum(axis=1) / total[:, 0])


def bin_index(confidence: Any, bins: int) -> Ints:
    """Equal-width bin of each confidence; bins are (low, high], the first one takes 0 as well."""
    return np.clip(np.ceil(np.asarray(confidence, dtype=np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)


def average_precision(scores: Any, positive: Any, weights: Floats) -> Floats:
    """Area under precision-recall as a step sum; equal scores are one threshold; NaN without positives."""
    _, group = np.unique(-np.asarray(scores, dtype=np.float64), return_inverse=True)
    groups = int(group.max()) + 1
    hits = column_sums(weights, indicator(group, groups, positive))
    retrieved = np.cumsum(column_sums(weights, indicator(group, groups)), axis=1)
    area = (hits * divide(np.cumsum(hits, axis=1), retrieved)).sum(axis=1)
    return divide(area, hits.sum(axis=1), otherwise=np.nan)


def auroc(scores: Any, positive: Any, weights: Floats) -> Floats:
    """Probability that a positive outscores a negative, ties half; NaN unless a resample has both."""
    _, group = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    groups = int(group.max()) + 1
    positives = column_sums(weights, indicator(group, groups, positive))
    negatives = column_sums(weights, indicator(group, groups)) - positives
    below = np.cumsum(negatives, axis=1) - negatives
    wins = (positives * (below + negatives / 2)).sum(axis=1)
    return divide(wins, positives.sum(axis=1) * negatives.sum(axis=1), otherwise=np.nan)


def indicator(index: Any, columns: int, values: Any = None) -> Any:
    """Sparse [n, columns] with ``values`` (default 1) at each row's column."""
    n = len(index)
    data = np.ones(n) if values is None else np.asarray(values, dtype=np.float64)
    return csr_array((data, np.asarray(index, dtype=np.int64), np.arange(n + 1)), shape=(n, columns))


def column_sums(weights: Floats, matrix: Any) -> Floats:
    """Weighted column sums [r, columns] of a sparse or dense matrix [n, columns]."""
    return np.asarray(weights @ matrix, dtype=np.float64)


def divide(top: Any, bottom: Any, otherwise: float = 0.0) -> Floats:
    """``top / bottom``, with a stated value where ``bottom`` is 0."""
    bottom = np.asarray(bottom, dtype=np.float64)
    return np.where(bottom != 0, top / np.where(bottom != 0, bottom, 1.0), otherwise)
