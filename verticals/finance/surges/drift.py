"""A tone that worsens slowly: a one-sided CUSUM of standardised days, and how often a calm series comes that high."""

import numpy as np

from verticals.finance.surges.counts import Judged
from verticals.finance.surges.windows import Windows

# Page, "Continuous inspection schemes", Biometrika 1954: half of the shift that is looked for, one standard deviation.
REFERENCE = 0.5
OVERSHOOT = 1.166  # Siegmund, Sequential Analysis, 1985: correction for the last step beyond the limit


def run_length(height: np.ndarray, reference: float = REFERENCE) -> np.ndarray:
    """Mean number of steps to a false alarm at limit ``height`` (Siegmund 1985, 2.4)."""
    x = 2 * reference * (np.maximum(height, 0.0) + OVERSHOOT)
    return np.asarray((np.exp(x) - x - 1) / (2 * reference**2))


def falling_score(now: Windows, steps: list[Windows], quantile: float) -> Judged:
    """The CUSUM over the days of the window, of mean scores below their baseline.

    ``now`` are the whole windows, ``steps`` their days, oldest first, each with its own past. A day's mean score is
    standardised by the spread of past days' means, widened where it has fewer stories than they had. The tail is
    one over the run length: how often a calm series comes this high.
    """
    height = np.zeros(len(now.known))
    for day in steps:
        mean, spread, value = _standard(day)
        z = np.where(day.now["stories"] > 0, (value - mean) / spread, 0.0)
        height = np.maximum(0.0, height - np.clip(z, -4, 4) - REFERENCE)
    tail = np.where(height > 0, 1 / np.maximum(run_length(height), 1.0), 1.0)
    stories = np.maximum(now.now["stories"], 1)
    value = now.now["score_sum"] / stories
    mean, spread, _ = _standard(steps[-1])
    from scipy.special import ndtri

    # What a lasting shift of one window's days would have to be to reach the quantile, for the band of a chart.
    width = ndtri(quantile) * spread / np.sqrt(len(steps))
    return Judged(value, mean, tail, mean - width, mean + width)


def _standard(day: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and spread of past days' mean scores, and the day's own; spread for as many stories as the day has."""
    n, total = np.where(day.known, day.past["stories"], 0.0), np.where(day.known, day.past["score_sum"], 0.0)
    weight = n.sum(axis=1)
    mean = total.sum(axis=1) / np.maximum(weight, 1.0)
    means = np.where(n > 0, total / np.maximum(n, 1.0), 0.0)
    # Between-story variance from the weighted variance of days' means: var(mean of n) = v (1 / n + rho).
    used = (n > 0).sum(axis=1)
    variance = (n * (means - mean[:, None]) ** 2).sum(axis=1) / np.maximum(used - 1, 1)
    variance = np.maximum(variance, 0.02)  # of one story; labels of a lively topic have about 0.3
    stories = np.maximum(day.now["stories"], 1.0)
    usual = weight / np.maximum(used, 1)
    # Beyond the usual number of stories a mean does not get more certain: they tell of the same day.
    return mean, np.sqrt(variance / np.minimum(stories, np.maximum(usual, 1.0))), day.now["score_sum"] / stories
