"""Detectors for any evenly sampled series: a score between 0 and 1 for each value, from the values before it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

# A detector takes values [n] and how many of them make a period, and gives scores [n] in [0, 1].
Detector = Callable[[np.ndarray, int], np.ndarray]

SMOOTHING = (1, 2, 3, 4)  # values that are averaged before they are judged: a surge of one value or of several
MEMORY = (3, 5, 7, 14)  # periods that the usual is taken from; half a week, a working week, a week, two weeks
USUAL_RISE = 1.2  # times the rise that was exceeded once a period; from there on it is an anomaly
SHORT = 24  # a period has at least so many values, else the usual would rest on a handful
LONG = 288  # values in a period at most (a day of five-minute counts)


@dataclass(frozen=True)
class Judgement:
    """Scores [n] in [0, 1]; ``anomaly`` [n] is score >= 0.5."""

    score: np.ndarray
    anomaly: np.ndarray


def surge(values: np.ndarray, period: int, rise: float = USUAL_RISE) -> np.ndarray:
    """Rises beyond what is usual, told once: our own detector for counts.

    1. Counts are made of equal variance, 2 sqrt(x + 3/8) (Anscombe, Biometrika 1948), so that one scale serves a
       quiet and a loud series; of a Poisson count the result has standard deviation 1.
    2. The rise of a value is its distance above the median of the last periods, in their interquartile ranges; never
       in less than 1, which chance alone makes.
    3. A rise is divided by the level that rises exceeded once a period so far: news comes in bursts, and an alarm is
       a burst beyond the daily ones. This is what makes one threshold serve all series.
    4. Steps 1 to 3 are done for each combination of SMOOTHING and MEMORY, and the median of all is taken, so that no
       single choice matters.
    5. What follows an anomaly within one period belongs to it and scores below 0.5.
    """
    return told_once(rises(values, period), period, rise)


def rises(values: np.ndarray, period: int) -> np.ndarray:
    """Steps 1 to 4: each value's rise in multiples of the usual one."""
    period = int(np.clip(period, SHORT, LONG))
    ways = [_relative(values, smooth, memory * period, period) for smooth in SMOOTHING for memory in MEMORY]
    return np.asarray(np.median(ways, axis=0))


def _relative(values: np.ndarray, smooth: int, memory: int, period: int) -> np.ndarray:
    import pandas as pd

    level = pd.Series(values, dtype=float).rolling(smooth, min_periods=1).mean().to_numpy()
    equal = pd.Series(np.sign(level) * 2 * np.sqrt(np.abs(level) + 0.375))
    before = equal.shift(1).rolling(memory, min_periods=period // 2)
    spread = (before.quantile(0.75) - before.quantile(0.25)) / 1.349
    rises: pd.Series[float] = ((equal - before.median()) / np.maximum(spread, 1.0)).fillna(0.0)
    usual = rises.shift(1).expanding(period // 2).quantile(1 - 1 / period).fillna(np.inf)
    return np.asarray(np.maximum(rises / np.maximum(usual, 1.0), 0.0))


def told_once(ratio: np.ndarray, period: int, rise: float = USUAL_RISE) -> np.ndarray:
    """Step 5: scores of rises, 0.5 at ``rise``; within a period of an anomaly halved, so that none is told again."""
    period = int(np.clip(period, SHORT, LONG))
    score = ratio / (ratio + rise)
    told = score.copy()
    last = -period
    for row in np.flatnonzero(score >= 0.5).tolist():
        if row - last < period:
            told[row] = 0.5 * score[row]
        else:
            last = row
    return np.asarray(told)


def z_score(values: np.ndarray, period: int) -> np.ndarray:
    """Two-sided Gaussian tail of a moving window of 6,400 values, as NAB's windowed Gaussian has it."""
    import pandas as pd
    from scipy.special import log_ndtr

    before = pd.Series(values, dtype=float).shift(1).rolling(6400, min_periods=min(100, period))
    z = np.abs(values - before.mean()) / np.maximum(before.std(), 1e-6)
    return np.asarray(_from_tail(log_ndtr(-z.fillna(0.0).to_numpy()) + np.log(2)))


def ewma(values: np.ndarray, period: int, weight: float = 0.02) -> np.ndarray:
    """Upper Gaussian tail against an exponentially weighted mean and variance (Roberts, Technometrics 1959)."""
    import pandas as pd
    from scipy.special import log_ndtr

    before = pd.Series(values, dtype=float).shift(1).ewm(alpha=weight, min_periods=min(100, period))
    z = (values - before.mean()) / np.maximum(before.std(), 1e-6)
    return np.asarray(_from_tail(log_ndtr(-z.fillna(-10.0).to_numpy())))


def relative_entropy(
    values: np.ndarray, period: int, span: tuple[float, float] | None = None, bins: int = 5, width: int = 52
) -> np.ndarray:
    """1 where the last values are distributed as hardly ever before, else 0.

    Wang et al., "Statistical Techniques for Online Anomaly Detection in Data Centers", IM 2011: a window is compared
    by relative entropy with the null hypotheses kept so far; if it fits none, it is new, else the nearest counts up.
    Numbers as in NAB: five bins, 52 values, 1% of chi-squared. ``span`` of the bins is what the series has shown so
    far; the benchmark gives that of the whole file, as NAB does, to this detector's advantage.
    """
    scores = np.zeros(len(values))
    known: list[np.ndarray] = []
    seen: list[int] = []
    low, high = span or (np.inf, -np.inf)
    for end in range(width, len(values) + 1):
        part = values[end - width : end]
        if span is None and (part.min() < low or part.max() > high):
            low, high, known, seen = min(low, part.min()), max(high, part.max()), [], []
        if high <= low:
            continue
        place = np.minimum(np.round((part - low) / (high - low) * bins).astype(int), bins - 1)
        share = np.maximum(np.bincount(place, minlength=bins) / width, 1e-9)
        distances = np.array([float(np.sum(share * np.log(share / other))) for other in known])
        # 2 n times the relative entropy follows chi-squared with bins - 1 degrees of freedom.
        if len(distances) and 2 * width * distances.min() < 13.277:
            nearest = int(distances.argmin())
            seen[nearest] += 1
            scores[end - 1] = float(seen[nearest] <= 1)
        else:
            known.append(share)
            seen.append(1)
            scores[end - 1] = 1.0
    return scores


def _from_tail(log_tail: Any) -> np.ndarray:
    """Log tail probability to [0, 1): 0.5 at one in a million, on a scale on which smaller ones still differ."""
    bits = np.maximum(-np.asarray(log_tail, dtype=float), 0.0)
    return np.asarray(bits / (bits + np.log(1e6)))


DETECTORS: dict[str, Detector] = {
    "default": surge,
    "z-score": z_score,
    "ewma": ewma,
    "relative-entropy": relative_entropy,
}
"""Pluggable: a further detector is one more row."""


def judge(values: np.ndarray, period: int, detector: str = "default") -> Judgement:
    """Run a detector by its name. Raises KeyError for an unknown one."""
    score = DETECTORS[detector](np.asarray(values, dtype=float), period)
    return Judgement(score, score >= 0.5)
