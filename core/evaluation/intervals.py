"""Bootstrap intervals: how far a metric could move if other rows of the same kind had been drawn.

A metric here is a function of the rows and of *row weights*: ``metric(*arrays, weights=w)`` with ``w`` of
shape [r, n] (how often each of n rows occurs in each of r resamples) returns r values. One call then scores
hundreds of resamples at once. ``from_plain`` wraps any ordinary ``f(*arrays) -> float``.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InputError

Floats = NDArray[np.float64]
WeightedMetric = Callable[..., Floats]
WeightedMetrics = Callable[..., Mapping[str, Floats]]

# Cells of one weight matrix: 2 million float64 are 16 MB, which stays near the cache and far from the
# memory limit.
_CELLS = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval; ends are NaN when no resampling was asked for."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """``{"value", "low", "high"}``; what is not a finite number becomes None."""
        pairs = (("value", self.value), ("low", self.low), ("high", self.high))
        return {name: number if math.isfinite(number) else None for name, number in pairs}


@dataclass(frozen=True)
class PairedResult:
    """Two models on the same n rows: ``difference`` is metric(a) - metric(b).

    ``p_value`` is two-sided; ``better_probability`` is the share of resamples in which a scores higher (ties
    half).
    """

    difference: Interval
    p_value: float
    better_probability: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "difference": self.difference.to_dict(),
            "p_value": self.p_value,
            "better_probability": self.better_probability,
            "n": self.n,
        }


def bootstrap(
    metric: WeightedMetric,
    arrays: Sequence[ArrayLike],
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Percentile bootstrap of one metric over rows (Efron & Tibshirani 1993, ch. 13).

    ``arrays`` share their first axis. Raises InputError when there are no rows.
    """

    def named(*rows: Any, weights: Floats) -> Mapping[str, Floats]:
        return {"metric": metric(*rows, weights=weights)}

    return bootstrap_many(named, arrays, resamples, seed, confidence)["metric"]


def bootstrap_many(
    metrics: WeightedMetrics,
    arrays: Sequence[ArrayLike],
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Intervals for several metrics from the same resamples; ``metrics`` returns name -> [r] values.

    Metrics with a resampling bias (ECE, macro-F1 with rare classes) can leave the percentile interval beside
    the value; the interval is then widened to reach it. Resamples in which a metric is undefined (NaN) are
    left out.
    """
    rows = [np.asarray(a) for a in arrays]
    n = _common_length(rows)
    _check(resamples, confidence)
    values = {k: float(v[0]) for k, v in metrics(*rows, weights=np.ones((1, n))).items()}
    draws: dict[str, list[Floats]] = {name: [] for name in values}
    for weights in _weights(n, resamples, seed):
        for name, drawn in metrics(*rows, weights=weights).items():
            draws[name].append(drawn)
    return {name: _interval(values[name], draws[name], confidence) for name in values}


def paired_bootstrap(
    metric: WeightedMetric,
    truth: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> PairedResult:
    """Compare two models by resampling rows, both models on the same rows each time (Koehn 2004).

    The p-value inverts the percentile interval: twice the smaller share of resamples on one side of zero,
    counting the observed sample once so that it is never 0. For a metric where less is better, read the
    signs reversed.
    """
    rows = [np.asarray(x) for x in (truth, a, b)]
    n = _common_length(rows)
    _check(resamples, confidence)
    if resamples < 1:
        raise ValueError("a paired bootstrap needs at least one resample")

    def difference(weights: Floats) -> Floats:
        gap = metric(rows[0], rows[1], weights=weights) - metric(rows[0], rows[2], weights=weights)
        # Sums taken in another order differ in the last bits; such a difference is a tie.
        return np.round(gap, 12)

    value = float(difference(np.ones((1, n)))[0])
    drawn = [difference(weights) for weights in _weights(n, resamples, seed)]
    gaps = np.concatenate(drawn)
    gaps = gaps[np.isfinite(gaps)]
    below, above = int((gaps <= 0).sum()), int((gaps >= 0).sum())
    p_value = min(1.0, 2 * (1 + min(below, above)) / (1 + gaps.size))
    better = float(((gaps > 0) + 0.5 * (gaps == 0)).mean()) if gaps.size else math.nan
    return PairedResult(_interval(value, drawn, confidence), p_value, better, n)


def from_plain(metric: Callable[..., float]) -> WeightedMetric:
    """Make an ordinary ``metric(*arrays) -> float`` fit for ``bootstrap``; slower: one call a resample."""

    def weighted(*rows: Any, weights: Floats) -> Floats:
        picks = (np.repeat(np.arange(w.size), w.astype(np.int64)) for w in weights)
        return np.array([metric(*(np.asarray(r)[pick] for r in rows)) for pick in picks], dtype=np.float64)

    return weighted


def weighted_mean(values: Any, weights: Floats) -> Floats:
    """Mean of per-row values [n] in each resample [r]."""
    return np.asarray(weights @ np.asarray(values, dtype=np.float64) / weights.sum(axis=1))


def _weights(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // n)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _interval(value: float, drawn: list[Floats], confidence: float) -> Interval:
    draws = np.concatenate(drawn) if drawn else np.empty(0)
    draws = np.sort(draws[~np.isnan(draws)])
    if not draws.size or math.isnan(value):
        return Interval(value, math.nan, math.nan)
    tail = (1 - confidence) / 2
    # Order statistics, not interpolation: an infinite draw (an overflowing perplexity) is a real outcome.
    low, high = (draws[max(0, math.ceil(share * draws.size) - 1)] for share in (tail, 1 - tail))
    return Interval(value, min(float(low), value), max(float(high), value))


def _common_length(rows: list[NDArray[Any]]) -> int:
    lengths = {len(r) for r in rows}
    if len(lengths) != 1:
        raise ValueError(f"the arrays differ in length: {sorted(lengths)}")
    n = lengths.pop()
    if n == 0:
        raise InputError("There are no rows to evaluate; check that the test data is not empty.")
    return n


def _check(resamples: int, confidence: float) -> None:
    if resamples < 0:
        raise ValueError(f"resamples = {resamples}; it must be 0 or more")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence}; it must lie between 0 and 1")
