"""Surges in any series of timestamp,value: each row judged from the rows before it."""

import csv
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from verticals.finance.surges.series import DETECTORS, judge

FEWEST = 3
DAY = 86400.0


def detect_file(path: Path, out: Path | None = None, detector: str = "default") -> dict[str, Any]:
    """Judge every row of a CSV with the columns timestamp and value, in its order.

    ``out`` gets timestamp, value, score (0 to 1) and anomaly (0 or 1, from a score of 0.5). A period, in which a
    surge is told once, is a day of rows, at least 24 of them. Raises InputError naming file, row and column.
    """
    if detector not in DETECTORS:
        raise InputError(f"the detector {detector!r} is unknown; choose {', '.join(DETECTORS)}.")
    stamps, times, values = _read(path)
    found = judge(values, period_of(times), detector)
    anomalies = [
        {"timestamp": stamps[row], "value": float(values[row]), "score": round(float(found.score[row]), 6)}
        for row in np.flatnonzero(found.anomaly)
    ]
    if out is not None:
        _write(out, stamps, values, found.score, found.anomaly)
    summary = {"rows": len(values), "detector": detector, "period": period_of(times), "anomalies": anomalies}
    return {**summary, "out": str(out)} if out is not None else summary


def period_of(times: Sequence[datetime]) -> int:
    """Rows in a day, by the median distance of rows; the detector raises what is too small to be a period."""
    gaps = np.diff([at.timestamp() for at in times])
    usual = float(np.median(gaps)) if len(gaps) else DAY
    return max(1, round(DAY / usual)) if usual > 0 else 1


def _read(path: Path) -> tuple[list[str], list[datetime], np.ndarray]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    for column in ("timestamp", "value"):
        if column not in names:
            raise InputError(f"{path}: there is no column {column!r}; the first line must name timestamp and value.")
    if len(rows) < FEWEST:
        raise InputError(f"{path}: {len(rows)} rows are too few to judge any; give at least {FEWEST}.")
    stamps: list[str] = []
    times: list[datetime] = []
    values: list[float] = []
    for number, row in rows:
        stamps.append((row["timestamp"] or "").strip())
        times.append(_time(path, number, stamps[-1]))
        values.append(_value(path, number, row["value"]))
        zones = {at.tzinfo is None for at in times[-2:]}
        if len(zones) == 2 or (len(times) > 1 and times[-1] < times[-2]):
            raise InputError(
                f"{path}, line {number}, column timestamp: it is earlier than the row before, or only one of them has a"
                " time zone; sort the rows by time."
            )
    return stamps, times, np.array(values)


def _time(path: Path, number: int, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{path}, line {number}, column timestamp: {text!r} is no time; write it like 2020-02-24 13:05:00."
        ) from None


def _value(path: Path, number: int, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"{path}, line {number}, column value: {text!r} is no number; mend or remove the row.")
    return value


def _write(out: Path, stamps: Sequence[str], values: np.ndarray, scores: np.ndarray, anomaly: np.ndarray) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", "value", "score", "anomaly"])
        for stamp, value, score, called in zip(stamps, values, scores, anomaly, strict=True):
            writer.writerow([stamp, f"{value:.12g}", f"{score:.6f}", int(called)])
    os.replace(part, out)
