"""Units of the quality benchmark on a tiny backbone: run once, resumed, skipped with a reason."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import methods, quality, rows, store
from benchmarks.quality import Bench
from benchmarks.rows import ROWS, Row
from core.errors import InputError
from core.settings import get_settings
from core.tuning.methods import METHODS


@pytest.fixture
def made_up(tables: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Row, Row, Bench]:
    changes = {
        "backbone": str(tiny_bert),
        "method": "lora",
        "training.epochs": 1,
        "training.batch_size": 8,
        "training.max_length": 16,
    }
    data = {
        "train": {"path": "{datasets}/classification.csv"},
        "validation": 0.2,
        "test": [{"path": "{datasets}/classification-test.csv"}],
    }
    first = Row("first", "finance-sentiment", data, 1, changes, seeds=(7,))
    second = replace(
        first,
        name="second",
        changes={**changes, "method": "full"},
        against="first",
        metrics=("accuracy", "lora_minus_full"),
    )
    monkeypatch.setattr(rows, "ROWS", (first, second))
    settings = get_settings().model_copy(update={"datasets": tables})
    return first, second, Bench(tmp_path / "results", settings, resamples=50)


def test_parity_runs_what_it_is_compared_with_beside_its_baselines_and_finds_it_again(
    made_up: tuple[Row, Row, Bench],
) -> None:
    first, second, bench = made_up
    assert quality.run(second, 7, bench) == "done"
    file = bench.file(first, 7)
    result, full = store.read(file), store.read(bench.file(second, 7))
    expected = result["metrics"]["accuracy"]["value"] - full["metrics"]["accuracy"]["value"]
    assert full["metrics"]["lora_minus_full"]["value"] == pytest.approx(expected, abs=1e-9)
    assert 0 <= result["metrics"]["accuracy"]["low"] <= result["metrics"]["accuracy"]["value"] <= 1
    # Made-up topics have words of their own: a bag of words nearly always tells them apart.
    assert result["baselines"]["tfidf"]["metrics"]["accuracy"]["value"] > 0.6
    assert 0 <= result["baselines"]["frozen"]["metrics"]["accuracy"]["value"] <= 1
    assert result["recipe"]["data"]["train"][0]["path"] == "{datasets}/classification.csv"
    assert str(bench.settings.datasets) not in file.read_text()
    before = file.stat().st_mtime_ns
    assert quality.run(first, 7, bench) == "there"
    assert file.stat().st_mtime_ns == before
    longer = replace(first, changes={**first.changes, "training.epochs": 2})
    assert quality.run(longer, 7, bench) == "done"


def test_a_missing_data_set_skips_the_row_and_keeps_an_earlier_figure(
    made_up: tuple[Row, Row, Bench], tmp_path: Path
) -> None:
    first, _, bench = made_up
    elsewhere = replace(bench, settings=bench.settings.model_copy(update={"datasets": tmp_path / "none"}))
    assert quality.run(first, 7, elsewhere) == "skipped"
    assert "{datasets}/classification.csv is missing" in store.read(bench.file(first, 7))["skipped"]
    store.write_new(bench.file(first, 7), {"metrics": {"accuracy": {"value": 1.0}}})
    assert quality.run(first, 7, elsewhere) == "skipped"
    assert store.read(bench.file(first, 7))["metrics"]["accuracy"]["value"] == 1.0


def test_cheapest_first_and_needed_rows_before_those_that_need_them() -> None:
    order = quality.units(ROWS)
    assert len(order) == sum(len(row.seeds) for row in ROWS)
    places = {row.name: place for place, (row, _) in enumerate(order)}
    for row, _ in order:
        for name in (row.parent, row.against):
            assert name is None or places[name] < places[row.name]
    free = [row.minutes for row, _ in order if not row.parent and not row.against]
    assert free == sorted(free)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_makes_a_valid_recipe_on_the_real_files(row: Row) -> None:
    datasets = get_settings().datasets
    if not datasets.is_dir():
        pytest.skip("the public data sets are not here; set HEADWATER_DATASETS")
    try:
        recipe = row.build(datasets, 11, "a-model" if row.parent else None)
    except InputError as error:
        pytest.skip(str(error))
    assert recipe.training.seed == 11
    assert recipe.name == f"bench-{row.name}"
    assert (recipe.start_from is not None) == (row.parent is not None)


def test_unknown_names_are_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert quality.main(["--only", "nothing"]) == 2
    assert "nothing" in capsys.readouterr().err


def test_every_method_has_a_learning_rate() -> None:
    assert set(methods.LEARNING_RATES) == set(METHODS)


def test_a_method_is_read_back_by_a_new_process(make_recipe: Callable[..., Any]) -> None:
    recipe = make_recipe("lora", data={"test": 0.3})
    found = methods.measure(recipe, resamples=20)
    assert found["reload_identical"]
    assert found["reload_largest_logit_difference"] < 1e-3
    assert 0 < found["share"] < 1
    assert found["saved_bytes"] > 1000
