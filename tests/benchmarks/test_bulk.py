"""The arithmetic of the bulk benchmark, on runs whose answers are known."""

from pathlib import Path

import pytest

from benchmarks import store
from benchmarks.bulk import Run, compare, main, plan, summarise
from benchmarks.table_bulk import END, GUIDE, START, bulk_table, write_guide


def runs(start: float, each: float, rounds: int = 1) -> list[Run]:
    return [Run(rows, start + rows * each, rows * 50) for _ in range(rounds) for rows in (100, 500)]


SYSTEMS = {
    "local, 1 worker": summarise(runs(3, 0.01, 3)),
    "local, 2 workers": summarise(runs(4, 0.00625)),
    "ray, 1 worker": summarise(runs(8, 0.011)),
    "ray, 2 workers": summarise(runs(9, 0.006875)),
}


def test_start_up_is_told_from_the_rate() -> None:
    found = SYSTEMS["local, 1 worker"]
    assert found["rows_per_second"] == pytest.approx(100)
    assert found["start_seconds"] == pytest.approx(3)
    assert (found["rows"], found["bytes_per_row"]) == (500, 50)


def test_a_measurement_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="measure more rows"):
        summarise([Run(100, 5, 1), Run(500, 5, 1)])


def test_overhead_and_scaling() -> None:
    found = compare(SYSTEMS)
    assert found["overhead of ray, 1 worker"] == pytest.approx(1.1)
    assert found["scaling of local, 2 workers"] == pytest.approx(1.6)
    assert compare({"local, 1 worker": SYSTEMS["local, 1 worker"]}) == {}


def test_plan_takes_rays_rate_and_what_two_workers_lose() -> None:
    one, many = plan(SYSTEMS, rows=1_000_000, cores=(1, 10), shard_rows=50_000)
    rate = 1 / 0.011 * 0.8
    assert one.shards == 20
    assert one.hours == pytest.approx((8 + 1_000_000 / rate) / 3600)
    assert many.hours == pytest.approx((8 + 100_000 / rate) / 3600)
    assert one.gigabytes == pytest.approx(0.05) and one.vector_gigabytes == pytest.approx(1.536)


def test_plan_counts_whole_rounds_of_shards() -> None:
    (found,) = plan(SYSTEMS, rows=1_050_000, cores=(20,), shard_rows=50_000)
    assert found.hours == pytest.approx((8 + 2 * 50_000 * 0.011 / 0.8) / 3600)


def test_plan_without_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--plan", "--out", str(tmp_path / "bulk.json")]) == 2
    assert "nothing was measured yet" in capsys.readouterr().err


def test_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not measured yet" in bulk_table(tmp_path)
    result = {"key": "x", **store.stamp(), "ray": "2.60", "systems": SYSTEMS, "ratios": compare(SYSTEMS)}
    store.write_part(tmp_path / "bulk.json", "systems", result)
    text = bulk_table(tmp_path)
    assert "| local, 1 worker | 100 | 3.0 |" in text and "| local, all cores | – |" in text
    assert "1,000,000,000 texts" in text and "1.10" in text
    assert main(["--plan", "--rows", "2000000", "--out", str(tmp_path / "bulk.json")]) == 0
    assert "2,000,000 texts" in capsys.readouterr().out


def test_the_guide_says_what_was_measured(tmp_path: Path) -> None:
    copy = tmp_path / "README.md"
    copy.write_text(GUIDE.read_text(encoding="utf-8"), encoding="utf-8")
    write_guide(store.RESULTS, copy)
    assert copy.read_text(encoding="utf-8") == GUIDE.read_text(encoding="utf-8"), "run: python -m benchmarks.bulk"
    copy.write_text(f"before\n{START}\nold\n{END}\nafter\n", encoding="utf-8")
    write_guide(tmp_path, copy)
    assert copy.read_text(encoding="utf-8") == f"before\n{START}\n\n{bulk_table(tmp_path)}\n\n{END}\nafter\n"
