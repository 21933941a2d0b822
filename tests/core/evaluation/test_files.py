"""Atomic files and JSON without NaN."""

import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.files import dump_json, jsonable, write_bytes, write_text
from core.evaluation.intervals import Interval

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def without_nan(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [without_nan(v) for v in value]
    return {k: without_nan(v) for k, v in value.items()} if isinstance(value, dict) else value


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_any_values_come_back_with_null_for_what_is_not_finite(values: dict) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    assert json.loads(dump_json(values), parse_constant=refuse) == without_nan(values)


def test_results_arrays_and_dates_become_plain() -> None:
    values = {
        "interval": Interval(1.0, math.nan, 2.0),
        "array": np.array([[1, 2], [3, 4]]),
        "scalar": np.float32(0.5),
        "flag": np.bool_(True),
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "path": Path("a/b"),
        "set": {"b", "a"},
    }
    assert jsonable(values) == {
        "interval": {"value": 1.0, "low": None, "high": 2.0},
        "array": [[1, 2], [3, 4]],
        "scalar": 0.5,
        "flag": True,
        "when": "2026-01-02T00:00:00+00:00",
        "path": "a/b",
        "set": ["a", "b"],
    }
    with pytest.raises(TypeError, match="object"):
        jsonable(object())


def test_a_matrix_is_one_line_a_row() -> None:
    assert "    [1, 2],\n    [3, 4]\n" in dump_json({"matrix": np.array([[1, 2], [3, 4]])})


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_text(tmp_path / "folder" / "file.txt", "old")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_bytes(path, b"new")
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
