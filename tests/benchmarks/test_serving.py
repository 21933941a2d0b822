"""The serving benchmark's arithmetic, on figures that can be checked by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import serving, serving_int8, serving_lengths, store, table_serving
from benchmarks.markdown import UNMEASURED


def test_operations_of_a_text() -> None:
    # One layer, width 2, 3 tokens: weights 24 * 4 * 3 = 288, attention 4 * 3 * 3 * 2 = 72.
    assert serving_lengths.flops(3, width=2, layers=1) == 288 + 72


def test_turns_move_on_and_rates_are_work_over_time() -> None:
    now, order = [0.0], []

    def step(name: str, seconds: float) -> Any:
        def work() -> float:
            now[0] += seconds
            order.append(name)
            return 2.0

        return work

    steps = {"a": step("a", 1.0), "b": step("b", 0.5)}
    rates = serving_lengths.take_turns(steps, rounds=2, seconds=1.0, pause=0.0, clock=lambda: now[0])
    assert rates == {"a": [2.0, 2.0], "b": [4.0, 4.0]}
    assert order == ["a", "b", "a", "b", "b", "b", "b", "a"]  # warm-up, then each round starts one later


def test_shares_are_of_the_best_product() -> None:
    rates = {"product 1 numpy": [10.0, 10.0, 10.0], "product 1 torch": [20.0, 20.0, 40.0], "onnx@8": [12.0, 12.0, 20.0]}
    found = serving_lengths.summarise(rates, ["onnx"], [8])
    assert found["peak_of"] == "product 1 torch" and found["peak_gflop_per_second"] == 20.0
    (row,) = found["engines"]
    assert row["share_of_peak"] == pytest.approx(0.6)
    assert (row["low"], row["high"]) == (pytest.approx(0.5), pytest.approx(0.6))
    assert row["texts_per_second"] == pytest.approx(12e9 / serving_lengths.flops(8))


def test_only_rows_that_differ_move_the_loss() -> None:
    rows = SimpleNamespace(truth=np.array([0, 1] * 50))
    exact = np.eye(2)[rows.truth]
    assert serving_int8.loss_interval(rows, exact, exact) == {"value": 0.0, "low": 0.0, "high": 0.0}
    worse = exact.copy()
    worse[:2] = worse[:2, ::-1]
    found = serving_int8.loss_interval(rows, exact, worse)
    assert found["value"] == pytest.approx(0.02)
    assert 0 <= found["low"] <= 0.02 < found["high"] < 0.08


def test_cold_start_runs_every_command_in_turns() -> None:
    found = serving.cold(1, {"nothing": ["-c", "pass"], "nothing again": ["-c", "pass"]})
    assert found["rounds"] == 1 and set(found["systems"]) == {"nothing", "nothing again"}
    assert all(one["seconds"] > 0 for one in found["systems"].values())


def test_tables_say_what_was_measured(tmp_path: Path) -> None:
    rate = {"examples_per_second": 100.0, "low": 90.0, "high": 110.0}
    speed = {
        "peer": "pipeline",
        "threads": 2,
        "systems": {"pipeline": rate, "onnx": {**rate, "examples_per_second": 450.0}},
        "ratios": {"onnx": {"ratio": 4.5, "low": 4.0, "high": 5.0}},
    }
    store.part(tmp_path / "serving.json", "classification", "k", lambda: speed)
    int8 = {"scheme": "s", "accuracy": 0.9, "accuracy_loss": 0.005, "test_rows": 3080}
    store.part(tmp_path / "serving.json", "int8/banking77", "k", lambda: int8)
    text = table_serving.serving_table(tmp_path)
    assert "| onnx | 450 | 4.5× (4.0–5.0) | yes |" in text
    assert "| banking77 | accuracy | 3,080 | 0.9050 | 0.9000 | 0.50 | no |" in text
    assert UNMEASURED in text and "make bench-serving" in text
    hits = {
        "rows": 100_000,
        "kind": "hnsw",
        "asked": "hnsw",
        "latency_ms": {"p50": 0.3, "p95": 0.5},
        "recall@10": 0.97,
        "memory_mb": 1.0,
        "disk_mb": 2.0,
        "build_and_save_seconds": 3.0,
        "real_rows": 10,
        "mixed_rows": 5,
    }
    store.part(tmp_path / "search.json", "vectors/100000/hnsw", "k", lambda: hits)
    text = table_serving.search_table(tmp_path)
    assert "| 100,000 | hnsw (chosen) | 0.30 / 0.50 | 0.970 | ≤ 0.5 | no |" in text  # fast, but it does not find enough
