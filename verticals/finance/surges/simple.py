"""Detectors to be compared with: a z-score and an exponentially weighted average over the same windows."""

import numpy as np

from verticals.finance.surges.counts import Judged
from verticals.finance.surges.windows import Windows

WEIGHT = 0.2  # of the newest window (Roberts, Technometrics 1959, recommends .05 to .25)


def z_volume(windows: Windows, quantile: float, limits: bool = False) -> Judged:
    """Stories against the mean and standard deviation of past windows, whatever their weekday."""
    return _normal(windows.now["stories"], *_moments(windows, windows.past["stories"]), quantile)


def z_negatives(windows: Windows, quantile: float, limits: bool = False) -> Judged:
    """Negative stories against the mean and standard deviation of past windows."""
    return _normal(windows.now["negatives"], *_moments(windows, windows.past["negatives"]), quantile)


def z_share(windows: Windows, quantile: float, limits: bool = False) -> Judged:
    """Share of negative stories against that of past windows."""
    return _normal(_share(windows.now), *_moments(windows, _share(windows.past)), quantile)


def ewma_volume(windows: Windows, quantile: float, limits: bool = False) -> Judged:
    """Stories against an exponentially weighted mean and variance of past windows."""
    return _normal(windows.now["stories"], *_weighted(windows, windows.past["stories"]), quantile)


def ewma_negatives(windows: Windows, quantile: float, limits: bool = False) -> Judged:
    """Negative stories against an exponentially weighted mean and variance of past windows."""
    return _normal(windows.now["negatives"], *_weighted(windows, windows.past["negatives"]), quantile)


def ewma_share(windows: Windows, quantile: float, limits: bool = False) -> Judged:
    """Share of negative stories against its exponentially weighted mean and variance."""
    return _normal(_share(windows.now), *_weighted(windows, _share(windows.past)), quantile)


def _share(values: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(values["negatives"] / np.maximum(values["stories"], 1))


def _moments(windows: Windows, past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _of_weights(past, windows.known.astype(float))


def _weighted(windows: Windows, past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _of_weights(past, windows.known * (1 - WEIGHT) ** np.arange(past.shape[1])[None, :])


def _of_weights(past: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = np.maximum(weights.sum(axis=1), 1e-9)
    mean = (weights * past).sum(axis=1) / total
    variance = (weights * (past - mean[:, None]) ** 2).sum(axis=1) / total
    return mean, np.sqrt(np.maximum(variance, 1e-4))


def _normal(value: np.ndarray, mean: np.ndarray, spread: np.ndarray, quantile: float) -> Judged:
    from scipy.special import ndtr, ndtri

    width = ndtri(quantile) * spread
    return Judged(value, mean, ndtr((mean - value) / spread), mean - width, mean + width)
