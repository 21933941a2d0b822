"""Bulk runs end to end: every row once, in order; killed runs go on; nothing is computed twice."""

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.bulk import local
from core.bulk.job import Job
from core.bulk.options import Options
from core.bulk.run import run
from core.bulk.work import Worker
from core.cli import main
from core.errors import InputError
from core.serving.predictor import load_predictor
from core.settings import PROJECT_ROOT

TEXTS = [f"the {word} is {state} today" for word in ("bank", "goal", "rain", "coach", "storm") for state in "abcde"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """25 rows; row 7 is blank, row 12 lacks a cell."""
    path = tmp_path / "in.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        for number, text in enumerate(TEXTS):
            writer.writerow([number] if number == 12 else [number, " " if number == 7 else text])
    return path


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet", "out.tsv", "folder"])
def test_every_row_comes_out_once_in_order(
    table: Path, tmp_path: Path, name: str, options: Callable[..., Options], read_rows: Any, tiny_model: Path
) -> None:
    done = run(table, tmp_path / name, options())
    rows = read_rows(tmp_path / name)
    assert (done.rows, done.errors, done.shards, done.resumed) == (25, 2, 3, 0)
    assert [str(row["id"]) for row in rows] == [str(n) for n in range(25)]
    assert [number for number, row in enumerate(rows) if row["error"]] == [7, 12]
    assert rows[7]["error"] == "text is blank" and "cell " in rows[12]["error"]
    asked = [n for n in range(25) if n not in (7, 12)]
    expected = load_predictor(tiny_model).predict([TEXTS[n] for n in asked])
    assert [rows[n]["prediction"] for n in asked] == [one.label for one in expected]
    assert [float(rows[n]["probability"]) for n in asked] == pytest.approx([one.probability for one in expected])
    assert not rows[7]["prediction"]
    leftovers = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert not leftovers


def test_a_failed_run_goes_on_without_repeating(
    table: Path, tmp_path: Path, options: Callable[..., Options], read_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    faults = [RuntimeError("the power went")]
    work = Worker.run

    def breaks(self: Worker, number: int) -> Any:
        if number == 2 and faults:
            raise faults.pop()
        computed.append(number)
        return work(self, number)

    monkeypatch.setattr(local.Worker, "run", breaks)
    with pytest.raises(RuntimeError, match="power"):
        run(table, tmp_path / "out.jsonl", options())
    assert not (tmp_path / "out.jsonl").exists()
    shown: list[tuple[int, int, int]] = []
    done = run(table, tmp_path / "out.jsonl", options(), progress=lambda *given: shown.append(given))
    assert computed == [0, 1, 2]
    assert (done.resumed, done.rows, done.errors) == (20, 25, 2)
    assert shown == [(20, 20, 25), (25, 20, 25)]
    assert len(read_rows(tmp_path / "out.jsonl")) == 25


def test_killed_and_resumed(tmp_path: Path, tiny_model: Path, read_rows: Any) -> None:
    """kill -9 of a run with two processes: they end, finished shards stay as they are, and the rest is computed."""
    path, out = tmp_path / "in.jsonl", tmp_path / "out"
    path.write_text("".join(json.dumps({"id": n, "text": f"bank {n} and rain"}) + "\n" for n in range(6_000)))
    command = [sys.executable, "-m", "core.cli", "bulk", "predict", str(path), str(out), "--model", str(tiny_model)]
    command += ["--shard-rows", "100", "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    started = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    while len(list(out.glob("part-*"))) < 3:
        assert started.poll() is None, started.stderr.read() if started.stderr else ""
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.communicate()  # the pipe's end: the workers, which share it, are gone, too
    before = {part.name: part.stat().st_mtime_ns for part in out.glob("part-*")}
    assert 3 <= len(before) < 60
    done = run(path, out, Options(operation="predict", model=str(tiny_model), shard_rows=100))
    assert done.resumed == 100 * len(before)
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert [row["id"] for row in read_rows(out)] == list(range(6_000))
    assert not list(out.glob("*.part")) and not list(out.glob(".*.part"))


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Equal but for the last digits of probabilities, which depend on the number of threads."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert {**one, "probability": 0} == {**other, "probability": 0}
        assert float(one["probability"] or -1) == pytest.approx(float(other["probability"] or -1), abs=1e-5)


def test_two_processes_give_what_one_gives(
    table: Path, tmp_path: Path, options: Callable[..., Options], read_rows: Any
) -> None:
    run(table, tmp_path / "one.csv", options(shard_rows=4))
    run(table, tmp_path / "two.csv", options(shard_rows=4), workers=2)
    same(read_rows(tmp_path / "two.csv"), read_rows(tmp_path / "one.csv"))


@pytest.fixture
def half_done(
    table: Path, tmp_path: Path, options: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A run into ``out`` of which one shard is missing."""
    run(table, tmp_path / "out", options())
    (tmp_path / "out" / "part-000002.parquet").unlink()
    yield tmp_path / "out"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"shard_rows": 5}, "shard_rows = 10"), ({"text": "id"}, "text = None"), ({"engine": "torch"}, "engine = auto")],
)
def test_other_options_are_refused(
    table: Path, half_done: Path, options: Callable[..., Options], changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        run(table, half_done, options(**changes))


def test_a_changed_input_is_refused(table: Path, half_done: Path, options: Callable[..., Options]) -> None:
    table.write_text(table.read_text().replace("goal", "ball"))
    with pytest.raises(InputError, match="has changed since the run began"):
        run(table, half_done, options())


def test_a_changed_model_is_refused(
    table: Path, tmp_path: Path, tiny_model: Path, options: Callable[..., Options]
) -> None:
    import shutil

    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    run(table, tmp_path / "out", options(model=str(model)))
    recipe = (model / "recipe.toml").read_text()
    (model / "recipe.toml").write_text(recipe.replace("max_length = 32", "max_length = 16"))
    with pytest.raises(InputError, match="the model .* has changed"):
        run(table, tmp_path / "out", options(model=str(model)))


def test_a_run_beside_another_is_refused(table: Path, half_done: Path, options: Callable[..., Options]) -> None:
    from filelock import FileLock

    with FileLock(half_done / ".lock"), pytest.raises(InputError, match="another process"):
        run(table, half_done, options())


def test_rows_that_break_the_model_are_told_from_a_broken_model(
    table: Path, tmp_path: Path, options: Callable[..., Options], read_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(bad: str) -> Callable[..., Any]:
        def compute(texts: Sequence[Sequence[str]]) -> list[list[Any]]:
            if any(bad in text for text in texts[0]):
                raise ValueError("no such thing")
            return [["x"] * len(texts[0]), [0.5] * len(texts[0])]

        return lambda *_: compute

    monkeypatch.setattr("core.bulk.work.open_computation", fails("coach is c"))
    run(table, tmp_path / "out.jsonl", options())
    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows if "ValueError" in str(row["error"])] == ["17"]
    assert sum(row["prediction"] == "x" for row in rows) == 22
    monkeypatch.setattr("core.bulk.work.open_computation", fails(""))
    monkeypatch.setattr("core.bulk.computing._GIVE_UP", 5)
    with pytest.raises(ValueError, match="no such thing"):
        run(table, tmp_path / "other.jsonl", options())


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda p: (p / "in.csv", p / "there.csv"), "exists already"),
        (lambda p: (p / "in.csv", p / "no" / "out.csv"), "does not exist"),
        (lambda p: (p / "in.csv", p / "full"), "not empty"),
        (lambda p: (p / "none.csv", p / "out.csv"), "no such file"),
        (lambda p: (p / "taken.csv", p / "out.csv"), "already has a column 'prediction'"),
    ],
)
def test_wrong_use(table: Path, tmp_path: Path, options: Callable[..., Options], make: Any, problem: str) -> None:
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "taken.csv").write_text("text,prediction\na,b\n")
    path, out = make(tmp_path)
    with pytest.raises(InputError, match=problem):
        run(path, out, options())
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert not list(tmp_path.glob(".*")), "something was left of a run that never began"


def test_no_rows(tmp_path: Path, options: Callable[..., Options]) -> None:
    (tmp_path / "in.csv").write_text("text\n")
    assert run(tmp_path / "in.csv", tmp_path / "out.csv", options()).rows == 0
    assert (tmp_path / "out.csv").read_text() == "text,prediction,probability,error\n"


def test_vectors(tmp_path: Path, tiny_bert: Path, read_rows: Any) -> None:
    from core.serving.encoder import load_encoder

    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": t, "n": 1}) + "\n" for t in [*TEXTS, None]))
    run(tmp_path / "in.jsonl", tmp_path / "out", Options(operation="embed", model=str(tiny_bert), shard_rows=8))
    rows = read_rows(tmp_path / "out")
    expected = load_encoder(tiny_bert).encode(TEXTS)
    for row, vector in zip(rows, expected, strict=False):
        assert row["embedding"] == pytest.approx(vector.tolist(), abs=1e-5) and row["n"] == 1
    assert rows[-1]["embedding"] is None and rows[-1]["error"] == "text is blank"


def test_scores_by_cosine(tmp_path: Path, tiny_bert: Path, read_rows: Any) -> None:
    rows = [{"q": "the bank", "d": "the bank"}, {"q": "the bank", "d": "rain and storm"}, {"q": "", "d": "x"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = Options(operation="score", model=str(tiny_bert), text="q", pair="d")
    run(tmp_path / "in.jsonl", tmp_path / "out.jsonl", options)
    found = read_rows(tmp_path / "out.jsonl")
    assert found[0]["score"] == pytest.approx(1, abs=1e-5) and found[1]["score"] < 0.999
    assert found[2]["score"] is None and found[2]["error"] == "q is blank"


def test_scores_by_a_ranking_model(make_recipe: Any, tables: Path, tmp_path: Path, read_rows: Any) -> None:
    from core.settings import Settings
    from core.workflow import tune

    made = tune(make_recipe("full", "ranking"), register=False, settings=Settings(var=tmp_path / "tuned"))
    assert made is not None
    source = tables / "ranking-test.csv"
    run(source, tmp_path / "out.csv", Options(operation="score", model=str(made.path), shard_rows=7))
    rows = read_rows(tmp_path / "out.csv")
    expected = load_predictor(made.path).score([r["query"] for r in rows], [r["document"] for r in rows])
    assert [float(row["score"]) for row in rows] == pytest.approx(expected.tolist(), abs=1e-5)
    with source.open(newline="") as file:
        assert [row["document"] for row in csv.DictReader(file)] == [row["document"] for row in rows]


def test_the_operation_must_fit_the_model(table: Path, tmp_path: Path, options: Callable[..., Options]) -> None:
    with pytest.raises(InputError, match="vectors"):
        run(table, tmp_path / "out.csv", options(operation="embed"))
    with pytest.raises(InputError, match="ranking or matching"):
        run(table, tmp_path / "out.csv", options(operation="score"))


def test_a_manifest_of_something_else_is_refused(table: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text('{"version": 1}')
    with pytest.raises(InputError, match="no manifest of a bulk run"):
        Job.load(tmp_path / "out")


def test_command(table: Path, tmp_path: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["bulk", "predict", str(table), str(tmp_path / "out.csv"), "--model", str(tiny_model), "--json"]
    assert main(command) == 0
    output = capfd.readouterr()
    assert json.loads(output.out)["rows"] == 25
    assert "row" in output.err, "no progress was shown"
    assert main(command) == 2
    assert "exists already" in capfd.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_the_command_to_install_it_is_told(
    table: Path, tmp_path: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["bulk", "predict", str(table), str(tmp_path / "out"), "--model", str(tiny_model), "--engine", "ray"]
    assert main(command) == 2
    assert "pip install 'headwater[ray]'" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install 'headwater[ray]'"
)
def test_ray_gives_what_one_process_gives(
    table: Path, tmp_path: Path, options: Callable[..., Options], read_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    run(table, tmp_path / "one.csv", options(shard_rows=4))
    run(table, tmp_path / "ray", options(shard_rows=4), format=".csv")
    for number in (1, 3, 4, 6):  # as if the first run had been stopped: Ray goes on with it
        (tmp_path / "ray" / f"part-{number:06d}.csv").unlink()
    done = run(table, tmp_path / "ray", options(shard_rows=4), "ray", workers=2, format=".csv")
    assert (done.rows, done.resumed, done.errors) == (25, 12, 2)
    same(read_rows(tmp_path / "ray"), read_rows(tmp_path / "one.csv"))


def test_a_users_error_on_another_machine_is_told_as_one() -> None:
    from core.bulk.cluster import _mended

    class Wrapped(Exception):
        cause: Exception | None = None

    sentence, outer, middle = InputError("the input has changed."), RuntimeError("task failed"), Wrapped("traceback …")
    middle.cause = sentence
    outer.__cause__ = middle
    assert _mended(outer) is sentence
    middle.cause = ValueError("ours")
    assert _mended(outer) is None
