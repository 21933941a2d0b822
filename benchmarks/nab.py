"""The score of Numenta's anomaly benchmark, by its published formula, on series with labelled windows.

Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms – the Numenta Anomaly Benchmark", ICMLA 2015
(arXiv 1510.03336), section III, with the weights and the probationary period of NAB 1.1. Written from the paper.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError

PROBATION = 0.15  # of a file, of which no more than 5,000 rows are taken into account
PROBATION_ROWS = 5000


@dataclass(frozen=True)
class Profile:
    """What a detection is worth: A_TP, A_FP and A_FN of the paper."""

    name: str
    true_positive: float
    false_positive: float
    false_negative: float


PROFILES = (Profile("standard", 1.0, 0.11, 1.0), Profile("reward-low-FP", 1.0, 0.22, 1.0))


@dataclass(frozen=True)
class Labelled:
    """A series, and the windows [first row, last row] in which a detection counts."""

    name: str
    times: tuple[datetime, ...]
    values: np.ndarray
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """Rows at the beginning that are not judged."""
        return int(PROBATION * min(len(self.values), PROBATION_ROWS))


def scaled_sigmoid(position: np.ndarray) -> np.ndarray:
    """Worth of a detection at a position relative to a window's end: 2 / (1 + e^(5y)) - 1, and -1 beyond three."""
    worth = 2 / (1 + np.exp(5 * np.clip(position, -10, 10))) - 1
    return np.asarray(np.where(position > 3.0, -1.0, worth))


def worth(series: Labelled, profile: Profile) -> tuple[np.ndarray, np.ndarray]:
    """What a detection at each row adds, and the number of its window; -1 outside, -2 in the probationary period."""
    rows = np.arange(len(series.values))
    window = np.full(len(rows), -1)
    value = np.full(len(rows), -profile.false_positive)
    top = float(scaled_sigmoid(np.array([-1.0]))[0])
    for number, (first, last) in enumerate(series.windows):
        width = last - first + 1
        after = rows > last
        # Later windows overwrite this: a false positive is measured from the last window before it.
        value[after] = profile.false_positive * scaled_sigmoid((rows[after] - last) / (width - 1))
        inside = (rows >= first) & (rows <= last)
        window[inside] = number
        value[inside] = profile.true_positive * scaled_sigmoid(-(last - rows[inside] + 1) / width) / top
    window[: series.probation] = -2
    return value, window


@dataclass(frozen=True)
class Sweep:
    """Raw score of one series at every threshold: ``totals[i]`` is that of calling all scores >= ``thresholds[i]``."""

    thresholds: np.ndarray  # falling; the first is above every score
    totals: np.ndarray

    def at(self, threshold: float) -> float:
        """The raw score at a threshold."""
        return float(self.totals[np.searchsorted(-self.thresholds, -threshold, side="right") - 1])


def sweep(series: Labelled, scores: np.ndarray, profile: Profile) -> Sweep:
    """Score every threshold in one pass, highest score first. Of a window only the earliest detection counts."""
    if len(scores) != len(series.values) or not np.isfinite(scores).all():
        raise ValueError(f"{series.name}: {len(scores)} scores for {len(series.values)} rows, or not finite ones")
    value, window = worth(series, profile)
    judged = np.flatnonzero(window != -2)
    order = judged[np.argsort(-scores[judged], kind="stable")]
    gain = np.where(window[order] < 0, value[order], 0.0)
    for number in range(len(series.windows)):
        places = np.flatnonzero(window[order] == number)
        best = np.maximum.accumulate(np.maximum(value[order[places]], -profile.false_negative))
        gain[places] = np.diff(best, prepend=-profile.false_negative)
    nothing = -profile.false_negative * sum(last >= series.probation for _, last in series.windows)
    totals = nothing + np.cumsum(gain)
    ordered = scores[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    thresholds = np.concatenate([[np.inf], ordered[ends]])
    return Sweep(thresholds, np.concatenate([[nothing], totals[ends]]))


def best_threshold(sweeps: Sequence[Sweep]) -> float:
    """The one threshold that is best for all series together, as NAB chooses it for each detector and profile.

    Every value between two neighbouring scores calls the same rows; the middle is taken.
    """
    candidates = np.unique(np.concatenate([one.thresholds for one in sweeps]))[::-1]
    totals = sum(one.totals[np.searchsorted(-one.thresholds, -candidates, side="right") - 1] for one in sweeps)
    best = int(np.argmax(totals))
    below = candidates[best + 1] if best + 1 < len(candidates) else candidates[best]
    return float((candidates[best] + below) / 2) if np.isfinite(candidates[best]) else float("inf")


def normalised(raw: float, windows: int, profile: Profile) -> float:
    """0 for finding nothing, 100 for finding all at once: 100 (S - S_null) / (S_perfect - S_null)."""
    null, perfect = -profile.false_negative * windows, profile.true_positive * windows
    return 100 * (raw - null) / (perfect - null)


@dataclass(frozen=True)
class NabScore:
    """One detector under one profile; ``held_out``: every series at the threshold that is best for the others."""

    profile: str
    score: float
    held_out: float
    threshold: float
    found: int
    windows: int
    false_positives: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))


def score(series: Sequence[Labelled], scores: Mapping[str, np.ndarray], profile: Profile) -> NabScore:
    """The detector's normalised score over all series."""
    sweeps = {one.name: sweep(one, scores[one.name], profile) for one in series}
    threshold = best_threshold(list(sweeps.values()))
    windows = sum(len(one.windows) for one in series)
    raw = sum(one.at(threshold) for one in sweeps.values())
    apart = 0.0
    for name, own in sweeps.items():
        others = [other for key, other in sweeps.items() if key != name]
        apart += own.at(best_threshold(others)) if others else own.at(threshold)
    found = false = 0
    for one in series:
        called = np.flatnonzero(scores[one.name] >= threshold)
        called = called[called >= one.probation]
        hits = [(called >= first) & (called <= last) for first, last in one.windows]
        found += sum(bool(hit.any()) for hit in hits)
        false += len(called) - sum(int(hit.sum()) for hit in hits)
    return NabScore(
        profile.name,
        normalised(raw, windows, profile),
        normalised(apart, windows, profile),
        threshold,
        found,
        windows,
        false,
    )


def read_series(folder: Path) -> list[Labelled]:
    """Every labelled series of a folder with ``windows.json``. Raises InputError when a file is missing or bad."""
    try:
        windows = json.loads((folder / "windows.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'windows.json'}: cannot be read ({error}).") from error
    found = []
    for name, spans in sorted(windows.items()):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        times = tuple(datetime.fromisoformat(row["timestamp"]) for row in rows)
        values = np.array([float(row["value"]) for row in rows])
        edges = tuple(_rows(times, *(datetime.fromisoformat(edge) for edge in span)) for span in spans)
        found.append(Labelled(name.removesuffix(".csv"), times, values, edges))
    return found


def _rows(times: Sequence[datetime], first: datetime, last: datetime) -> tuple[int, int]:
    inside = [row for row, at in enumerate(times) if first <= at <= last]
    return inside[0], inside[-1]
