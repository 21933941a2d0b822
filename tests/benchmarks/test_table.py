"""Tables say what the results say, and nothing where there is none."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import store, table, table_support
from benchmarks.rows import ROWS
from benchmarks.search_quality import METRICS
from benchmarks.summary import figure
from benchmarks.tuning import OURS, seconds_to

MARKED = "\n".join(f"<!-- benchmarks:{name} -->\nold\n<!-- /benchmarks:{name} -->" for name in table.TABLES)


def interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def quality_result(folder: Path, name: str, seed: int, **metrics: float) -> None:
    baseline = {"metrics": {"accuracy": interval(0.5), "f1_macro": interval(0.4)}}
    values: dict[str, Any] = {
        "row": name,
        "seed": seed,
        "metrics": {k: interval(v) for k, v in metrics.items()},
        "baselines": {"tfidf": baseline, "frozen": baseline},
    }
    store.write_new(folder / "quality" / f"{name}-{seed}.json", values)


def line_of(text: str, *starts: str) -> list[str]:
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return next(cells for cells in lines if cells[: len(starts)] == list(starts))


def test_without_results_every_line_says_so(tmp_path: Path) -> None:
    for make in table.TABLES.values():
        text = make(tmp_path)
        assert table.UNMEASURED in text
        assert "Measured 2" not in text
    cells = line_of(table.quality_table(tmp_path), "banking77", "accuracy")
    assert cells[2:5] == [table.UNMEASURED, "≥ 0.945", "–"]


def test_one_seed_shows_its_bootstrap_interval_and_the_aim(tmp_path: Path) -> None:
    quality_result(tmp_path, "banking77", 7, accuracy=0.95, f1_macro=0.94)
    text = table.quality_table(tmp_path)
    cells = line_of(text, "banking77", "accuracy")
    assert cells[2:8] == ["0.9500 [0.9400, 0.9600]", "≥ 0.945", "yes", "0.5000", "0.5000", "1"]
    assert "make bench-quality" in text
    assert "Measured 2" in text


def test_three_seeds_or_more_show_the_t_interval(tmp_path: Path) -> None:
    for seed, value in ((7, 0.84), (8, 0.86), (9, 0.88)):
        quality_result(tmp_path, "phrasebank-50agree", seed, accuracy=value, f1_macro=value)
    cells = line_of(table.quality_table(tmp_path), "phrasebank-50agree", "accuracy")
    # t(0.975, 2) = 4.3027; the standard error is 0.02 / sqrt(3).
    assert cells[2] == "0.8600 [0.8103, 0.9097]"
    assert (cells[4], cells[7]) == ("no", "3")


def test_less_is_better_for_calibration_error(tmp_path: Path) -> None:
    quality_result(tmp_path, "clinc150", 7, accuracy=0.9, ece=0.015, oos_recall=0.85, oos_auroc=0.9)
    text = table.quality_table(tmp_path)
    assert line_of(text, "clinc150", "ece")[3:5] == ["≤ 0.02", "yes"]
    assert line_of(text, "clinc150", "accuracy")[4] == "no"


def test_a_skipped_row_gives_its_reason(tmp_path: Path) -> None:
    store.write_new(tmp_path / "quality" / "sst2-7.json", {"row": "sst2", "skipped": "{datasets}/x is missing."})
    assert line_of(table.quality_table(tmp_path), "sst2", "accuracy")[2] == "skipped: {datasets}/x is missing"


def test_tuning_table_has_ratios_and_time_to_the_seed_accuracy(tmp_path: Path) -> None:
    file = tmp_path / "tuning.json"
    speed = {OURS: 300.0, "seed recipe": 15.0, "trainer defaults": 100.0}
    ratios = {n: {"ratio": 300 / v, "low": 1.0, "high": 30.0, "pooled": 2.0} for n, v in speed.items() if n != OURS}
    systems = {name: {"examples_per_second": value} for name, value in speed.items()}
    store.part(file, "banking77/throughput", "k", lambda: {"systems": systems, "ratios": ratios})
    curves = {
        OURS: [(10, 0.8), (20, 0.9)],
        "seed recipe": [(300, 0.6), (600, 0.85)],
        "trainer defaults": [(50, 0.7)],
    }
    for name, points in curves.items():
        curve = [{"epoch": float(i + 1), "seconds": s, "accuracy": a} for i, (s, a) in enumerate(points)]
        result = {
            "curve": curve,
            "accuracy": points[-1][1],
            "wall_seconds": points[-1][0],
            "peak_memory_mb": 900.0,
            "train_rows": 9000,
        }
        store.part(file, f"banking77/accuracy/{name}", "k", lambda result=result: result)
    text = table.tuning_table(tmp_path)
    ours = line_of(text, OURS)
    assert ours[1:7] == ["300", "–", "0.9000", "2", "20", "20"]
    assert line_of(text, "seed recipe")[2] == "20.0× (1.0–30.0)"
    assert line_of(text, "trainer defaults")[6] == "not reached"
    assert f"phrasebank: {table.UNMEASURED}" in text


def test_methods_table(tmp_path: Path) -> None:
    result = {
        "trainable_parameters": 1000,
        "share": 0.01,
        "minutes": 1.25,
        "metrics": {"accuracy": interval(0.8), "f1_macro": interval(0.7)},
        "saved_bytes": 2**20,
        "reload_identical": False,
        "recipe": {"training": {"epochs": 10}},
    }
    store.part(tmp_path / "methods.json", "lora", "k", lambda: result)
    text = table.methods_table(tmp_path)
    assert line_of(text, "lora")[1:4] == ["1,000", "1.00%", "1.2"]
    assert line_of(text, "lora")[-1] == "differs"
    assert line_of(text, "full")[1] == table.UNMEASURED


def test_only_the_marked_sections_of_the_readme_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n{MARKED}\nend\n")
    arguments = ["--readme", str(readme), "--results", str(tmp_path / "results")]
    assert table.main([*arguments, "--check"]) == 1
    assert "out of date" in capsys.readouterr().err
    assert "old" in readme.read_text()
    assert table.main(arguments) == 0
    written = readme.read_text()
    assert written.startswith("# Title\n<!-- benchmarks:tuning -->\n\n")
    assert written.endswith("\nend\n")
    assert "\nold\n" not in written
    assert table.main([*arguments, "--check"]) == 0
    quality_result(tmp_path / "results", "banking77", 7, accuracy=0.95, f1_macro=0.9)
    assert table.main([*arguments, "--check"]) == 1


def test_missing_markers_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n")
    assert table.main(["--readme", str(readme), "--results", str(tmp_path), "--check"]) == 1
    assert "<!-- benchmarks:tuning -->" in capsys.readouterr().err


def test_the_projects_readme_is_up_to_date() -> None:
    if "<!-- benchmarks:" not in table.README.read_text(encoding="utf-8"):
        pytest.skip("README.md has no benchmark sections yet")
    assert table.main(["--check"]) == 0


def test_seconds_to_an_accuracy() -> None:
    curve = [{"seconds": 5.0, "accuracy": 0.5}, {"seconds": 9.0, "accuracy": 0.7}]
    assert seconds_to(curve, 0.7) == 9.0
    assert seconds_to(curve, 0.71) is None


def test_figures_of_one_and_two_seeds() -> None:
    assert figure([interval(0.5)]).interval == "bootstrap over rows"
    two = figure([interval(0.5), interval(0.7)])
    assert (round(two.value, 9), two.low, two.high) == (0.6, 0.5, 0.7)


def test_every_aim_is_a_shown_metric() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert set(row.targets) <= set(row.metrics), row.name


def test_retrieval_stands_beside_its_peers_and_says_who_is_missing(tmp_path: Path) -> None:
    def metrics(value: float) -> dict[str, Any]:
        return {metric: interval(value) for metric in METRICS}

    file = tmp_path / "support.json"
    systems = {"lexical": metrics(0.5), "semantic": metrics(0.6), "fitted": metrics(0.7)}
    store.write_part(file, "retrieval/faq", {"queries": 1200, "systems": systems})
    peers = {"systems": {"haystack": metrics(0.55)}, "missing": {"llamaindex": "run: make peers"}}
    store.write_part(file, "retrieval/faq, peers", peers)
    store.write_part(file, "tuned/faq", {"collection": "faq", "queries": 1200, "metrics": metrics(0.8)})
    text = table.support_table(tmp_path)
    assert line_of(text, "faq (1,200)", "haystack")[2] == "0.550 [0.540, 0.560]"
    assert line_of(text, "faq (1,200)", table_support.SYSTEMS["tuned"])[5] == "0.800 [0.790, 0.810]"
    assert sum("| faq (1,200) |" in line for line in text.splitlines()) == 5
    assert "Missing: run: make peers." in text
