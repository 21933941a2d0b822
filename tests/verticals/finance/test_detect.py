"""The detect command's function: the output file, and bad input that is named."""

import csv
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from verticals.finance.detect import detect_file, period_of


def write(path: Path, values: list[float], minutes: int = 60) -> Path:
    start = datetime(2024, 1, 1)
    rows = [f"{start + timedelta(minutes=minutes * i)},{value}" for i, value in enumerate(values)]
    path.write_text("timestamp,value\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_writes_every_row_with_score_and_call(tmp_path: Path) -> None:
    values = [float(v) for v in np.random.default_rng(0).poisson(4, 600)]
    values[500] = 90
    found = detect_file(write(tmp_path / "s.csv", values), tmp_path / "deep" / "out.csv")
    with (tmp_path / "deep" / "out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [list(rows[0]), len(rows)] == [["timestamp", "value", "score", "anomaly"], 600]
    assert rows[500]["anomaly"] == "1"
    assert all((row["anomaly"] == "1") == (float(row["score"]) >= 0.5) for row in rows)
    assert [one["timestamp"] for one in found["anomalies"]] == [r["timestamp"] for r in rows if r["anomaly"] == "1"]
    assert found["period"] == 24


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("time,value\n1,2\n", "no column 'timestamp'"),
        ("timestamp,value\n2024-01-01,1\n", "too few"),
        ("timestamp,value\n2024-01-01,1\n2024-01-02,x\n2024-01-03,1\n", "line 3, column value: 'x'"),
        ("timestamp,value\n2024-01-01,1\n2024-01-02,nan\n2024-01-03,1\n", "line 3, column value"),
        ("timestamp,value\n2024-01-01,1\nlater,1\n2024-01-03,1\n", "line 3, column timestamp: 'later'"),
        ("timestamp,value\n2024-01-03,1\n2024-01-02,1\n2024-01-03,1\n", "line 3, column timestamp: it is earlier"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "bad.csv").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        detect_file(tmp_path / "bad.csv")


def test_unknown_detector_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="oracle"):
        detect_file(tmp_path / "x.csv", detector="oracle")
    with pytest.raises(InputError, match="cannot be read"):
        detect_file(tmp_path / "x.csv")


def test_the_period_is_a_day_of_rows() -> None:
    start = datetime(2024, 1, 1)
    assert period_of([start + timedelta(minutes=5 * i) for i in range(10)]) == 288
    assert period_of([start]) == 1
