"""kill -9 in the middle, then the same again: the same weights and metrics as a run nobody stopped."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.settings import PROJECT_ROOT
from core.tuning.training import last_whole_checkpoint

# Each method that keeps a state of its own besides the weights, each task, and each way of counting steps.
CASES = [
    ("lora", "multi-label", {"accumulation": 2}),
    ("top-layers", "classification", {}),  # the frozen blocks come from the cache
    ("full", "classification", {"unfreeze_every": 1.0}),
    ("lora", "matching", {}),
    ("adalora", "ranking", {}),
    ("p-tuning", "generation", {}),
]

# One process imports the libraries once; each training runs in a fork of it, so that it can be killed alone.
DRIVER = """
import json, os, signal, sys
sys.path[:0] = [sys.argv[1]]
import numpy as np
import core.serving.tracking
from core.data.load import load
from core.tuning import classification, generation, pairs
from core.tuning.recipe import Recipe
from core.tuning.run import fit
import sentence_transformers.cross_encoder.losses, sentence_transformers.sentence_transformer.losses, peft

def forked(work):
    child = os.fork()
    if not child:
        status = 1
        try:
            status = work() or 0
        except BaseException:
            import traceback
            traceback.print_exc()
        os._exit(status)
    return os.waitpid(child, 0)[1]

def kill_at(step):
    def report(metrics, at):
        if at >= step:
            os.kill(os.getpid(), signal.SIGKILL)
    return report

def train(job, work, out, report=None):
    recipe = Recipe.load(job["recipe"])
    data = load(recipe.data, recipe.task, recipe.training.seed)
    fitted = fit(recipe, data, work, report=report)
    state = {k: v.numpy() for k, v in fitted.built.model.state_dict().items()}
    np.savez(out + ".npz", **state)
    json.dump(fitted.outcome.history, open(out + ".json", "w"))

def command(job, report=None):
    import core.cli
    if report:
        core.serving.tracking.RunTracker.log = lambda self, metrics, step: report(metrics, step)
    return core.cli.main(["tune", job["recipe"], "--no-register", "--json"])

from pathlib import Path
result = {}
for name, job in json.load(open(sys.argv[2])).items():
    work, out = Path(job["folder"]), job["folder"] + "/out"
    if job.get("command"):
        result[name] = [forked(lambda: command(job, kill_at(job["step"]))), forked(lambda: command(job))]
        os.environ["HEADWATER_VAR"] += "-whole"
        result[name].append(forked(lambda: command(job)))
        continue
    result[name] = [
        forked(lambda: train(job, work / "killed", out, kill_at(job["step"]))),
        forked(lambda: train(job, work / "killed", out + "-resumed")),
        forked(lambda: train(job, work / "whole", out + "-whole")),
    ]
json.dump(result, open(sys.argv[3], "w"))
"""


def _name(case: tuple[str, str, dict[str, Any]]) -> str:
    return "-".join([case[0], case[1], *case[2]])


@pytest.fixture(scope="module")
def runs(make_recipe: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases: killed in the second epoch, resumed, and run as a whole."""
    folder = tmp_path_factory.mktemp("resume")
    jobs: dict[str, dict[str, Any]] = {}
    for case in CASES:
        method, kind, training = case
        recipe = make_recipe(method, kind, training={"epochs": 3, "learning_rate": 3e-3, **training})
        place = folder / _name(case)
        place.mkdir()
        (place / "recipe.toml").write_text(recipe.to_toml())
        jobs[_name(case)] = {"recipe": str(place / "recipe.toml"), "folder": str(place), "step": 6}
        if "accumulation" in training:
            jobs[_name(case)]["step"] = 2
    place = folder / "command"
    place.mkdir()
    (place / "recipe.toml").write_text(make_recipe("lora", training={"epochs": 3}).to_toml())
    jobs["command"] = {"recipe": str(place / "recipe.toml"), "folder": str(place), "step": 6, "command": True}
    (folder / "jobs.json").write_text(json.dumps(jobs))
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(PROJECT_ROOT), str(folder / "jobs.json"), str(folder / "ends.json")],
        capture_output=True,
        text=True,
        timeout=280,
        env={**_environment(), "HEADWATER_VAR": str(folder / "var")},
    )
    assert done.returncode == 0, done.stderr
    (folder / "stderr.txt").write_text(done.stderr)
    return folder


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_killed_training_ends_as_if_it_had_not_been(runs: Path, case: tuple[str, str, dict[str, Any]]) -> None:
    name = _name(case)
    killed, resumed, whole = json.loads((runs / "ends.json").read_text())[name]
    log = (runs / "stderr.txt").read_text()[-3000:]
    assert killed == signal.SIGKILL, log
    assert (resumed, whole) == (0, 0), log
    checkpoints = [p.name for p in (runs / name / "killed").glob("checkpoint-*")]
    assert checkpoints, "nothing was there to resume from"
    first = json.loads((runs / name / "out-resumed.json").read_text())
    second = json.loads((runs / name / "out-whole.json").read_text())
    assert len(first) == 3
    for a, b in zip(first, second, strict=True):
        # The mean loss of the epoch in which it was killed is logged by both runs in full.
        assert a == pytest.approx(b, abs=1e-6)
    ended, expected = np.load(runs / name / "out-resumed.npz"), np.load(runs / name / "out-whole.npz")
    assert set(ended) == set(expected)
    for weight in expected:
        np.testing.assert_allclose(ended[weight], expected[weight], rtol=0, atol=1e-6, err_msg=weight)


def test_the_same_command_goes_on_and_cleans_up(runs: Path) -> None:
    killed, resumed, whole = json.loads((runs / "ends.json").read_text())["command"]
    assert killed == signal.SIGKILL
    assert (resumed, whole) == (0, 0), (runs / "stderr.txt").read_text()[-3000:]
    (first,) = (runs / "var" / "runs").glob("tiny-classification-*")
    (second,) = (runs / "var-whole" / "runs").glob("tiny-classification-*")
    one, two = (json.loads((folder / "metrics.json").read_text()) for folder in (first, second))
    assert one["metrics"] == two["metrics"]
    assert one["history"] == [pytest.approx(row, abs=1e-6) for row in two["history"]]
    weights = "adapter/weights.safetensors"
    assert (first / weights).read_bytes() == (second / weights).read_bytes()
    left = [p.name for p in first.parent.iterdir() if not p.name.endswith(".lock") and p != first]
    assert left == [], "checkpoints of a finished run were left"


def _checkpoint(work: Path, step: int, state: str | None = '{"a": 1}') -> Path:
    folder = work / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x")
    if state is not None:
        (folder / "trainer_state.json").write_text(state)
    return folder


def test_a_torn_checkpoint_is_skipped_and_removed(tmp_path: Path) -> None:
    whole = _checkpoint(tmp_path, 9)
    _checkpoint(tmp_path, 2)
    cut, empty, missing = (
        _checkpoint(tmp_path, 10, '{"a": '), _checkpoint(tmp_path, 11, ""), _checkpoint(tmp_path, 100, None)
    )  # fmt: skip
    assert last_whole_checkpoint(tmp_path) == str(whole)
    assert not any(folder.exists() for folder in (cut, empty, missing))


def test_a_checkpoint_without_its_callbacks_file_is_torn(tmp_path: Path) -> None:
    whole = _checkpoint(tmp_path, 3)
    (whole / "rank_budget.pt").write_bytes(b"x")
    _checkpoint(tmp_path, 6)
    assert last_whole_checkpoint(tmp_path, ("rank_budget.pt",)) == str(whole)


def test_no_checkpoint(tmp_path: Path) -> None:
    assert last_whole_checkpoint(tmp_path / "absent") is None
    _checkpoint(tmp_path, 1, None)
    assert last_whole_checkpoint(tmp_path) is None
