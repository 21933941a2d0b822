"""The ``headwater`` command: what it prints and what it returns."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.cli import main
from core.settings import PROJECT_ROOT

METRIC_KEYS = {"value", "low", "high"}


def run(*arguments: object, expect: int = 0) -> None:
    code = main([str(a) for a in arguments])
    assert code == expect


def document(capfd: pytest.CaptureFixture[str]) -> Any:
    """The one JSON document on stdout."""
    return json.loads(capfd.readouterr().out)


# --- good use -------------------------------------------------------------------------------------------


def test_help_is_quick_and_goes_to_stdout() -> None:
    heavy = ("torch", "transformers", "mlflow", "pandas", "sklearn", "pydantic", "numpy", "optuna")
    code = (
        "import sys; from core.cli import main; code = main(['--help']);"
        f"found = [m for m in {heavy!r} if m in sys.modules]; print(found, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT_ROOT)
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"
    for command in ("tune", "evaluate", "predict", "sweep", "backbones", "models"):
        assert re.search(rf"^  {command}\b", done.stdout, re.M)


def test_help_of_a_command(capfd: pytest.CaptureFixture[str]) -> None:
    run("tune", "--help")
    assert "--no-register" in capfd.readouterr().out


def test_tune_prints_the_contract_and_the_model_predicts(
    tracked_var: Path, write_recipe: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_recipe("lora", tracking={"report_to": ["mlflow"]})
    run("tune", path, "--set", "training.epochs=2", "--set", "options.rank=3", "--json")
    tuned = document(capfd)
    assert {
        "name", "version", "task", "method", "metrics", "trainable_parameters", "total_parameters", "train_seconds",
        "examples_per_second", "path",
    } <= set(tuned)  # fmt: skip
    assert (tuned["name"], tuned["version"], tuned["task"], tuned["method"]) == (
        "tiny-classification", 1, "classification", "lora",
    )  # fmt: skip
    assert {"accuracy", "f1_macro"} <= set(tuned["metrics"])
    for value in tuned["metrics"].values():
        assert set(value) == METRIC_KEYS
    accuracy = tuned["metrics"]["accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
    assert 0 < tuned["trainable_parameters"] < tuned["total_parameters"]
    kept = (Path(tuned["path"]) / "recipe.toml").read_text()
    assert "epochs = 2" in kept and "rank = 3" in kept

    run("predict", "tiny-classification", "rain and storm", "bank loan", "--json")
    found = document(capfd)
    assert [one["text"] for one in found] == ["rain and storm", "bank loan"]
    for one in found:
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert one["probability"] == max(one["probabilities"].values())

    run("models", "list", "--json")
    assert [row["name"] for row in document(capfd)] == ["tiny-classification"]


def test_text_output_without_json(
    write_recipe: Callable[..., Path], tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run("tune", write_recipe("head"), "--no-register")
    out = capfd.readouterr().out
    assert "accuracy" in out and "card: " in out
    run("predict", tiny_model, "rain storm")
    line = capfd.readouterr().out.strip()
    assert re.fullmatch(r"(money|sport|weather)  [01]\.\d\d  rain storm", line)
    run("backbones")
    assert "minilm" in capfd.readouterr().out


def test_evaluate(tiny_model: Path, tables: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run("evaluate", tiny_model, "--data", tables / "classification-test.csv", "--json")
    judged = document(capfd)
    told = json.loads((tiny_model / "metrics.json").read_text())["metrics"]["accuracy"]["value"]
    assert judged["metrics"]["accuracy"]["value"] == pytest.approx(told)
    assert judged["n"] == 15


@pytest.mark.parametrize("extension", ["csv", "tsv", "jsonl", "parquet"])
def test_predict_a_file_keeps_every_row_and_column(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], extension: str
) -> None:
    import pandas as pd

    source = tmp_path / "in.csv"
    source.write_text('id,text,note\n1,rain storm,"a, b"\n2,,\n3,"bank\nloan",c\n')
    out = tmp_path / f"out.{extension}"
    run("predict", tiny_model, "--file", source, "--out", out, "--json")
    assert document(capfd) == {"rows": 3, "out": str(out)}
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        "csv": pd.read_csv,
        "tsv": lambda p: pd.read_csv(p, sep="\t"),
        "jsonl": lambda p: pd.read_json(p, lines=True),
        "parquet": pd.read_parquet,
    }
    frame = readers[extension](out)
    assert list(frame.columns) == ["id", "text", "note", "prediction", "probability"]
    assert [str(n) for n in frame["id"]] == ["1", "2", "3"]
    assert frame["text"][2] == "bank\nloan"
    assert frame["note"][0] == "a, b"
    assert frame["prediction"].isna().tolist() == [False, True, False]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_failure_of_ours_is_exit_code_1(
    tiny_model: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(reference: object, **options: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("core.serving.predictor.load_predictor", broken)
    run("predict", tiny_model, "text", expect=1)
    err = capfd.readouterr().err
    assert "RuntimeError: out of luck" in err and "Traceback" not in err
    monkeypatch.setenv("HEADWATER_DEBUG", "1")
    with pytest.raises(RuntimeError):
        main(["predict", str(tiny_model), "text"])
