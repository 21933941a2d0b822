"""One honest table: the same rows for everybody, a price, and advice that the numbers bear."""

import csv
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.cli import main
from core.errors import InputError
from core.fewlabels.compare import Cell, advise, compare, show
from core.fewlabels.contenders import tuned_recipe
from core.fewlabels.curve import fit_curve
from core.settings import get_settings

QUICK = ("zero-shot", "tf-idf", "nearest", "head")


def _cell(method: str, right: float, minutes: float, n: int = 400, rows: int = 100) -> Cell:
    guesses = tuple(0 if i < right * n else 1 for i in range(n))
    return Cell(method, None, rows, {"accuracy": {"value": right, "low": 0, "high": 1}}, minutes, 0, 0, 1.0, guesses)


def test_the_cheapest_that_is_not_significantly_worse_is_advised() -> None:
    truth = np.zeros(400, dtype=int)
    cells = [_cell("cheap", 0.60, 0.1), _cell("middle", 0.897, 1), _cell("dear", 0.90, 9)]
    found = advise(cells, truth)
    assert (found["method"], found["best"]) == ("middle", "dear")
    assert "cheap" not in found["not_worse"] and "chance" in found["why"]
    alone = advise([_cell("cheap", 0.60, 0.1), _cell("dear", 0.90, 9)], truth)
    assert alone["method"] == "dear" and "no clearly cheaper one" in alone["why"]


def test_few_test_rows_do_not_excuse_a_large_loss() -> None:
    truth = np.zeros(60, dtype=int)
    found = advise([_cell("cheap", 0.80, 0.1, 60), _cell("dear", 0.85, 9, 60)], truth)
    assert found["not_worse"] == ["cheap", "dear"] and found["method"] == "dear"
    close = advise([_cell("cheap", 0.84, 0.1, 60), _cell("dear", 0.85, 9, 60)], truth)
    assert close["method"] == "cheap"


def test_of_those_that_cost_alike_the_most_accurate_is_advised() -> None:
    truth = np.zeros(400, dtype=int)
    cells = [_cell("head", 0.965, 0.1), _cell("top-layers", 0.9675, 0.8), _cell("full", 0.97, 9)]
    assert advise(cells, truth)["method"] == "top-layers"  # not for less than a minute's work
    better = replace(cells[1], method="few-shot", metrics={**cells[1].metrics, "f1_macro": {"value": 0.96}})
    assert advise([*cells, better], truth)["method"] == "few-shot"  # as accurate, and fairer to rare labels
    quick = replace(_cell("tf-idf", 0.965, 0.1), latency_ms=cells[0].latency_ms / 5)
    assert advise([quick, *cells], truth)["method"] == "tf-idf"  # every answer of it is cheaper


def test_where_time_ended_before_all_labels_the_most_that_ran_are_compared() -> None:
    truth = np.zeros(400, dtype=int)
    few = [replace(_cell(name, right, 1), per_class=8) for name, right in (("head", 0.7), ("lora", 0.8))]
    none = replace(_cell("zero-shot", 0.5, 0.0), per_class=0, rows=0)
    assert advise([none, *few], truth)["method"] == "lora"


def test_few_rows_without_test_rows_are_each_judged_once(
    tmp_path: Path, make_recipe: Callable[..., Any], make_rows: Callable[..., Any]
) -> None:
    rows = [(row["text"], row["label"]) for row in make_rows("classification", 40, 3)]
    path = _write(tmp_path / "rows.csv", rows)
    data = {"train": {"path": str(path)}, "test": None}
    found = compare(make_recipe("lora", data=data), ("zero-shot", "tf-idf"), [2], minutes=5)
    assert (found["folds"], found["test_rows"]) == (5, len({text for text, _ in rows}))
    by = {(r["method"], r["per_class"]): r for r in found["rows"]}
    assert by["tf-idf", 2]["rows"] < by["tf-idf", None]["rows"] < found["test_rows"]
    assert by["tf-idf", None]["metrics"]["accuracy"]["value"] > by["zero-shot", 0]["metrics"]["accuracy"]["value"]
    said: list[str] = []
    again = compare(make_recipe("lora", data=data), ("zero-shot", "tf-idf"), [2], minutes=5, say=said.append)
    assert said == [] and again["rows"] == found["rows"]
    many = _write(tmp_path / "many.csv", [(f"{text} {n}", label) for n in range(10) for text, label in rows])
    cut = compare(make_recipe("lora", data={"train": {"path": str(many)}, "test": None}), ("tf-idf",), minutes=5)
    assert cut["folds"] == 1 and cut["test_rows"] < 0.4 * 10 * len(rows)


def test_every_method_meets_the_same_rows_and_a_second_run_finds_them_done(
    make_recipe: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = make_recipe("lora")
    found = compare(recipe, QUICK, [2, 4], minutes=5)
    rows = {(r["method"], r["per_class"]): r for r in found["rows"]}
    assert set(rows) == {("zero-shot", 0)} | {(m, n) for m in QUICK[1:] for n in (2, 4, None)}
    assert rows["zero-shot", 0]["rows"] == 0
    assert rows["head", 2]["rows"] < rows["head", 4]["rows"] < rows["head", None]["rows"]
    assert rows["head", None]["trained_parameters"] > 0 and rows["head", None]["megabytes"] > 0
    assert all(0 <= r["metrics"]["accuracy"]["low"] <= r["metrics"]["accuracy"]["high"] <= 1 for r in found["rows"])
    assert found["advice"]["method"] in QUICK and found["skipped"] == []
    assert found["curve"]["next_100"] >= 0
    assert (Path(found["folder"]) / "comparison.png").stat().st_size > 5000
    text = show(found)
    assert "Take " in text and "100 more labels" in text
    said: list[str] = []
    again = compare(recipe, QUICK, [2, 4], minutes=5, say=said.append)
    assert said == [] and again["rows"] == found["rows"]


def test_contrast_moves_every_block_once_labels_have_enough_examples(make_recipe: Callable[..., Any]) -> None:
    def layers(per_label: int, method: str) -> int | None:
        rows = pd.DataFrame({"text": "x", "label": ["a", "b"] * per_label})
        return tuned_recipe(method, recipe, rows).options.layers

    recipe = make_recipe("lora").model_copy(update={"backbone": "minilm"})
    assert [layers(n, "few-shot") for n in (8, 64)] == [2, 6]
    assert [layers(n, "top-layers") for n in (8, 64)] == [2, 2]
    with pytest.raises(InputError, match="tunes nothing"):
        layers(8, "nearest")


def test_what_does_not_fit_the_time_is_left_out_and_said(make_recipe: Callable[..., Any]) -> None:
    found = compare(make_recipe("lora"), ("zero-shot", "full", "lora"), minutes=1e-4)
    assert [r["method"] for r in found["rows"]] == ["zero-shot"]
    assert {s["method"] for s in found["skipped"]} == {"full", "lora"}
    assert "left out: full" in show(found)


def test_a_method_that_cannot_is_left_out_with_the_reason(make_recipe: Callable[..., Any]) -> None:
    found = compare(make_recipe("lora"), ("nearest", "few-shot"), [1], minutes=5)
    why = {(s["method"], s["per_class"]): s["why"] for s in found["skipped"]}
    assert "two examples" in why["few-shot", 1]
    assert ("few-shot", None) in {(r["method"], r["per_class"]) for r in found["rows"]}


@pytest.mark.parametrize(
    ("kind", "methods", "says"),
    [
        ("multi-label", QUICK, "one label a row"),
        ("pairs", QUICK, "single texts"),
        ("matching", QUICK, "classification"),
        ("classification", ("guess",), "no 'guess'"),
        ("classification", (), "nothing could be compared"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    make_recipe: Callable[..., Any], kind: str, methods: tuple[str, ...], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        compare(make_recipe("lora", kind), methods, minutes=5)


def test_a_description_of_no_label_is_the_reason_why_its_methods_are_left_out(make_recipe: Callable[..., Any]) -> None:
    recipe = make_recipe("lora", data={"descriptions": {"mony": "coins"}})
    found = compare(recipe, ("zero-shot", "tf-idf"), minutes=5)
    assert [s["method"] for s in found["skipped"]] == ["zero-shot"] and "'mony'" in found["skipped"][0]["why"]
    assert found["advice"]["method"] == "tf-idf"


def test_a_curve_goes_through_its_points_and_never_falls() -> None:
    made = [(n, 0.9 - 1.2 * n**-0.5) for n in (16, 64, 256, 1024)]
    curve = fit_curve(made)
    assert curve.ceiling == pytest.approx(0.9, abs=0.01)
    assert curve.next_100 == pytest.approx(curve.at(1124) - curve.at(1024), abs=1e-9) and curve.next_100 > 0
    falling = fit_curve([(10, 0.9), (100, 0.8), (1000, 0.7)])
    assert falling.next_100 >= 0 and falling.at(10_000) <= 1


def _write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([(f"text {i}", "same") for i in range(30)], "label"),
        ([("", "a"), ("", "b")], ""),
        ([(f"text {i}", f"label {i}") for i in range(1000)], ""),
    ],
    ids=["one class", "empty texts", "a thousand classes of one"],
)
def test_data_without_a_question_is_refused_at_the_command_line(
    tmp_path: Path,
    write_recipe: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
    rows: list[tuple[str, str]],
    says: str,
) -> None:
    path = _write(tmp_path / "rows.csv", rows)
    recipe = write_recipe("lora", data={"train": {"path": str(path)}, "test": None})
    assert main(["compare", str(recipe), "--methods", "tf-idf,head"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and says in err and "Traceback" not in err


def test_lists_for_people_name_the_rows_of_the_file(
    tmp_path: Path, tiny_model: Path, make_rows: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [(row["text"], row["label"]) for row in make_rows("classification", 20, 3)]
    random.Random(0).shuffle(rows)
    wrong = next(i for i, (_, label) in enumerate(rows) if label == "sport")
    path = _write(tmp_path / "rows.csv", [(t, "money" if i == wrong else label) for i, (t, label) in enumerate(rows)])
    assert main(["labels", "doubtful", str(path), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert isinstance(found, list) and all({"row", "given", "suggested", "quality"} <= set(f) for f in found)
    assert main(["labels", "next", str(tiny_model), str(path), "-k", "3", "--json"]) == 0
    asked = json.loads(capfd.readouterr().out)
    assert len({q["row"] for q in asked}) == 3
    assert main(["explain", str(tiny_model), rows[0][0], "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["words"]
    assert main(["labels", "next", str(tiny_model), str(path), "--text", "nope"]) == 2
    assert main(["explain", str(tiny_model), " "]) == 2
    assert get_settings().var.exists()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("", "a"), (" ", "b")] * 10, "no text"),
        ([(f"bank loan {i}", "money") for i in range(20)], "same label"),
        ([(f"bank loan {i}", f"label {i}") for i in range(20)], "has one row"),
    ],
    ids=["empty texts", "one class", "one label a class"],
)
def test_labels_that_cannot_be_doubted_are_refused_at_the_command_line(
    tmp_path: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str], rows: list[tuple[str, str]], says: str
) -> None:
    path = _write(tmp_path / "rows.csv", rows)
    asked = ["labels", "doubtful", str(path)] if says != "no text" else ["labels", "next", str(tiny_model), str(path)]
    assert main(asked) == 2
    out, err = capfd.readouterr()
    assert out == "" and says in err and "Traceback" not in err
