"""The detectors on the labelled tweet counts of NAB, all in one run, at one set of parameters for all tickers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nab import PROFILES, Labelled, Profile, normalised, read_series, score, sweep
from verticals.finance.detect import period_of
from verticals.finance.surges import series as detectors

# On these five series, from the results in NAB's repository; its thresholds are the best for all of its 58 series.
PUBLISHED = {
    "ARTime": (83.8, 73.1),
    "contextOSE": (76.0, 75.7),
    "windowed Gaussian": (64.8, 39.8),
    "relative entropy": (55.5, 52.1),
}
RISES = tuple(np.round(np.geomspace(0.8, 2.4, 23), 3))  # 5% apart, around the one that is set


def measure(folder: Path) -> dict[str, Any]:
    """Every detector under both profiles, and ours at its own threshold and with ``rise`` chosen on other tickers."""
    series = read_series(folder)
    found: dict[str, Any] = {"series": len(series), "windows": sum(len(one.windows) for one in series)}
    found["detectors"] = {name: _scored(series, detector) for name, detector in _all().items()}
    found["ours"] = {
        "rise": detectors.USUAL_RISE,
        "at_half": {profile.name: _at(series, detectors.USUAL_RISE, profile) for profile in PROFILES},
        **_left_out(series),
    }
    found["published"] = {name: dict(zip(_names(), both, strict=True)) for name, both in PUBLISHED.items()}
    return found


def _names() -> list[str]:
    return [profile.name for profile in PROFILES]


def _all() -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    def relative_entropy(values: np.ndarray, period: int) -> np.ndarray:
        return detectors.relative_entropy(values, period, span=(float(values.min()), float(values.max())))

    return {**detectors.DETECTORS, "relative-entropy": relative_entropy}


def _scored(series: Sequence[Labelled], detector: Callable[[np.ndarray, int], np.ndarray]) -> dict[str, Any]:
    scores = {one.name: detector(one.values, period_of(one.times)) for one in series}
    return {profile.name: score(series, scores, profile).to_dict() for profile in PROFILES}


def _at(series: Sequence[Labelled], rise: float, profile: Profile) -> float:
    """The score when what ``detect`` calls an anomaly is taken, without a threshold that is chosen afterwards."""
    windows = sum(len(one.windows) for one in series)
    return normalised(sum(_raw(one, rise, profile) for one in series), windows, profile)


def _raw(one: Labelled, rise: float, profile: Profile) -> float:
    return sweep(one, detectors.surge(one.values, period_of(one.times), rise), profile).at(0.5)


def _left_out(series: Sequence[Labelled]) -> dict[str, Any]:
    """Each ticker judged at the ``rise`` that is best for the four others."""
    windows = sum(len(one.windows) for one in series)
    found: dict[str, Any] = {"left_out": {}, "chosen": {}, "rises_reaching_the_aim": {}}
    # They do not depend on the rise that is asked for, so that they are computed once.
    ratios = [(one, detectors.rises(one.values, period_of(one.times))) for one in series]
    for profile, aim in zip(PROFILES, (80.0, 76.0), strict=True):
        raw = np.array([[_told(ratio, one, rise, profile) for rise in RISES] for one, ratio in ratios])
        total = raw.sum(axis=0)
        chosen = [int(np.argmax(total - own)) for own in raw]
        apart = sum(float(own[pick]) for own, pick in zip(raw, chosen, strict=True))
        found["left_out"][profile.name] = normalised(apart, windows, profile)
        found["chosen"][profile.name] = [float(RISES[pick]) for pick in chosen]
        reached = [rise for rise, value in zip(RISES, total, strict=True) if normalised(value, windows, profile) >= aim]
        found["rises_reaching_the_aim"][profile.name] = [float(rise) for rise in reached]
    return found


def _told(ratio: np.ndarray, one: Labelled, rise: float, profile: Profile) -> float:
    return sweep(one, detectors.told_once(ratio, period_of(one.times), rise), profile).at(0.5)
