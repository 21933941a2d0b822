"""The whole way: tune, judge, calibrate, write the folder, register; also on two processes."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.serving.predictor import load_predictor
from core.serving.registry import Registry
from core.settings import PROJECT_ROOT, get_settings
from core.tuning.recipe import EvaluationConfig
from core.workflow import evaluate, tune

FILES = {"recipe.toml", "labels.json", "calibration.json", "metrics.json", "README.md", "base.json"}


@pytest.mark.parametrize(
    ("kind", "metrics"),
    [
        ("classification", {"accuracy", "f1_macro", "mcc"}),
        ("multi-label", {"f1_micro", "f1_macro"}),
        ("pairs", {"accuracy"}),
        ("matching", {"mrr@10"}),
        ("ranking", {"ndcg@10"}),
        ("generation", {"perplexity"}),
    ],
)
def test_every_kind_ends_as_a_whole_folder(
    make_recipe: Callable[..., Any], private_var: Path, kind: str, metrics: set[str]
) -> None:
    tuned = tune(make_recipe("lora", kind, training={"max_steps": 3}), register=False)
    assert tuned is not None
    assert metrics <= set(tuned.metrics)
    for name, value in tuned.metrics.items():
        assert value["low"] is None or value["low"] <= value["value"] <= value["high"], name
    names = {p.name for p in tuned.path.iterdir()}
    assert names >= FILES | {"adapter"}
    assert tuned.version is None
    assert tuned.measured_on == "test"
    assert tuned.path.parent == get_settings().runs
    written = json.loads((tuned.path / "metrics.json").read_text())
    assert written["metrics"] == json.loads(json.dumps(tuned.metrics))
    assert written["method"] == "lora"
    assert bool(written["robustness"]) == (kind == "classification")
    left = [p.name for p in private_var.joinpath("runs").iterdir() if p != tuned.path and p.suffix != ".lock"]
    assert left == []
    assert str(private_var) not in (tuned.path / "README.md").read_text()
    load_predictor(tuned.path)


def test_changed_texts_are_judged_on_the_card_unless_the_recipe_says_no(make_recipe: Callable[..., Any]) -> None:
    recipe = make_recipe("lora", training={"max_steps": 2})
    assert "evaluation" not in recipe.model_dump() and "evaluation" not in recipe.to_toml()
    tuned = tune(recipe, register=False)
    assert tuned is not None
    found = json.loads((tuned.path / "metrics.json").read_text())["robustness"]
    assert {"unchanged", "typos", "capitals"} <= set(found) and 0 < found["typos"]["n"] <= 200
    assert "## Robustness" in tuned.card.read_text()
    off = recipe.model_copy(update={"evaluation": EvaluationConfig(robustness_rows=0)})
    assert "robustness_rows = 0" in off.to_toml()
    tuned = tune(off, register=False)
    assert tuned is not None
    assert json.loads((tuned.path / "metrics.json").read_text())["robustness"] == {}
    assert "## Robustness" not in tuned.card.read_text()


def test_registered_versions_count_up(make_recipe: Callable[..., Any], tracked_var: Path) -> None:
    recipe = make_recipe("head", training={"max_steps": 2})
    first, second = tune(recipe), tune(recipe)
    assert first is not None
    assert second is not None
    assert (first.version, second.version) == (1, 2)
    assert first.path != second.path
    registry = Registry(get_settings())
    assert registry.resolve(f"{recipe.name}:1") == first.path
    assert load_predictor(f"{recipe.name}:2").predict(["rain"])
    # ``reuse`` takes the finished run instead of a third one.
    again = tune(recipe, reuse=True)
    assert again is not None
    assert (again.version, again.path) == (2, second.path)
    assert again.metrics == second.metrics


def test_without_test_rows_the_measure_is_called_by_its_name(make_recipe: Callable[..., Any]) -> None:
    tuned = tune(make_recipe("head", training={"max_steps": 2}, data={"test": None}), register=False)
    assert tuned is not None
    assert tuned.measured_on == "validation"
    assert "they flatter" in (tuned.path / "README.md").read_text()


def test_evaluate_reads_other_columns_and_reports_what_it_left_out(
    make_recipe: Callable[..., Any], tmp_path: Path
) -> None:
    tuned = tune(make_recipe("head", training={"max_steps": 2}), register=False)
    assert tuned is not None
    rows = tmp_path / "rows.csv"
    rows.write_text("sentence,topic\nrain storm,weather\n,money\nbank loan,money\ngoal,\n")
    result = evaluate(tuned.path, rows, text="sentence", label="topic")
    assert result["n"] == 2
    assert result["metrics"]["accuracy"]["value"] in (0, 0.5, 1)


def test_one_recipe_is_tuned_by_one_process_at_a_time(
    make_recipe: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe("head", training={"max_steps": 2})

    def inner(*args: Any, **kwargs: Any) -> None:
        monkeypatch.undo_fit()  # type: ignore[attr-defined]
        with pytest.raises(InputError, match="another process is tuning this recipe"):
            tune(recipe, register=False)
        raise KeyError("seen")

    from core.tuning import run

    original = run.fit
    monkeypatch.undo_fit = lambda: setattr(run, "fit", original)  # type: ignore[attr-defined]
    monkeypatch.setattr(run, "fit", inner)
    with pytest.raises(KeyError, match="seen"):
        tune(recipe, register=False)


def test_start_from_another_family_is_refused(make_recipe: Callable[..., Any]) -> None:
    first = tune(make_recipe("lora", "generation", training={"max_steps": 1}), register=False)
    assert first is not None
    with pytest.raises(InputError, match="was tuned for generation, which cannot start classification"):
        tune(make_recipe("lora", start_from=str(first.path)), register=False)


def test_starting_from_a_model_that_cannot_be_merged_is_refused(make_recipe: Callable[..., Any]) -> None:
    first = tune(make_recipe("prompt", training={"max_steps": 1}), register=False)
    assert first is not None
    with pytest.raises(InputError, match="'prompt' cannot be merged"):
        tune(make_recipe("lora", start_from=str(first.path)), register=False)


def _gloo() -> bool:
    import torch.distributed

    return torch.distributed.is_available() and torch.distributed.is_gloo_available()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.skipif(not _gloo(), reason="this torch has no gloo, which joins processes on a CPU")
def test_two_processes_make_one_model(make_recipe: Callable[..., Any], tracked_var: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(make_recipe("lora", training={"epochs": 2, "batch_size": 4}).to_toml())
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port"]
    command = [sys.executable, *launch, str(_free_port()), "-m", "core.cli", "tune", str(recipe), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT_ROOT, env=environment, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    tuned = json.loads(done.stdout)
    assert tuned["version"] == 1
    (model,) = Registry(get_settings()).list()
    assert len(model.versions) == 1
    history = json.loads((Path(tuned["path"]) / "metrics.json").read_text())["history"]
    assert history[-1]["step"] == 2 * 3, "24 rows in batches of 4 on each of two processes"
    assert load_predictor(tuned["path"]).predict(["rain"])
