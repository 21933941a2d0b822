"""Run tracking through its public functions: MLflow, TensorBoard and W&B side by side, kills, failures."""

import contextlib
import importlib.util
import json
import logging
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError, MissingExtra
from core.serving import backends
from core.serving.backends import PARAM_LIMIT, TAG_LIMIT, Point, RunStart, shorten
from core.serving.mlflow_client import connect
from core.serving.tracking import RunTracker, code_tags, interrupted_runs
from core.settings import Settings, get_settings
from tests.apart import Server


@pytest.fixture
def settings(empty_tracking_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    var = tmp_path / "var"
    var.mkdir()
    shutil.copy(empty_tracking_database, var / "mlflow.db")
    monkeypatch.setenv("HEADWATER_VAR", str(var))
    monkeypatch.delenv("HEADWATER_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return get_settings()


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_a_run_is_in_mlflow_and_tensorboard(settings: Settings, tmp_path: Path) -> None:
    tracker = RunTracker(settings, ["mlflow", "tensorboard"])
    tags = {"recipe": 'name = "x"\n' * 1000, "fingerprint": "abc"}
    run_id = tracker.start("trials", "intents", {"epochs": 3, "prompt": "p" * 9000}, tags)
    for step in range(3):
        tracker.log({"loss": 1.0 / (step + 1), "recall@5": step / 2, "odd": None}, step)  # type: ignore[dict-item]
    tracker.log({"loss": math.nan}, 3)
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "loss.txt").write_text("curve")
    tracker.artifact(tmp_path / "plots")
    kept = tracker.mlflow_run_id
    tracker.finish()
    assert kept is not None

    client = connect(settings)
    run = client.get_run(kept)
    assert (run.info.run_name, run.info.status) == ("intents", "FINISHED")
    assert run.data.params["epochs"] == "3"
    assert len(run.data.params["prompt"]) == PARAM_LIMIT and "9000 characters" in run.data.params["prompt"]
    assert run.data.tags["fingerprint"] == "abc" and len(run.data.tags["recipe"]) == TAG_LIMIT
    assert {"python", "torch", "headwater"} <= run.data.tags.keys()
    assert [(m.step, m.value) for m in client.get_metric_history(kept, "recall_at_5")] == [
        (0, 0),
        (1, 0.5),
        (2, 1),
    ]
    assert math.isnan(client.get_metric_history(kept, "loss")[-1].value)
    artifacts = {file.path for file in client.list_artifacts(kept)}
    assert artifacts == {"recipe.toml", "plots"}
    assert Path(client.download_artifacts(kept, "recipe.toml", str(tmp_path))).read_text() == tags["recipe"]
    assert not (tmp_path / "mlruns").exists(), "nothing may be written below the current directory"
    assert scalars(settings.var / "tensorboard" / run_id, "recall@5") == [(0, 0.0), (1, 0.5), (2, 1.0)]


def test_a_finished_run_is_not_resumed(settings: Settings) -> None:
    kept = []
    for _ in range(2):
        tracker = RunTracker(settings, ["mlflow", "tensorboard"])
        tracker.start("trials", "intents", {}, {})
        assert tracker.attempt == 1
        tracker.log({"loss": 1.0}, 0)
        kept.append(tracker.mlflow_run_id)
        tracker.finish("FAILED")
    assert kept[0] != kept[1] and interrupted_runs(settings) == []
    assert sorted(p.name for p in (settings.var / "tensorboard").iterdir()) == ["intents", "intents-2"]


_KILLED = """
import os, signal
from core.serving.tracking import RunTracker
from core.settings import get_settings
tracker = RunTracker(get_settings(), ["mlflow", "tensorboard"])
tracker.start("trials", "intents", {"epochs": 3}, {})
for step in range(4):
    tracker.log({"loss": float(step)}, step)
tracker._guarded["tensorboard"].backend._writer.flush()
print(tracker.mlflow_run_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_is_found_marked_and_resumed(settings: Settings, apart: Server) -> None:
    child = apart.run(code=_KILLED)
    assert child.returncode == -signal.SIGKILL, child.stderr
    client, killed = connect(settings), child.stdout.strip()
    assert client.get_run(killed).info.status == "RUNNING"

    found = interrupted_runs(settings)
    assert [(r.run_id, r.ids["mlflow"], r.state) for r in found] == [("intents", killed, "interrupted")]
    marked = client.get_run(killed)
    assert marked.info.status == "KILLED" and marked.data.tags["headwater.interrupted"] == "true"
    json.dumps(found[0].to_dict())

    tracker = RunTracker(settings, ["mlflow", "tensorboard"])
    assert tracker.start("trials", "intents", {"epochs": 3}, {}) == "intents"
    assert (tracker.mlflow_run_id, tracker.attempt) == (killed, 2)
    assert client.get_run(killed).info.status == "RUNNING"
    for step in (2, 3, 4):
        tracker.log({"loss": 10.0 + step}, step)
    tracker.finish()
    assert client.get_run(killed).info.status == "FINISHED" and interrupted_runs(settings) == []
    # steps 2 and 3 of the first attempt gave way to those of the second
    expected = [(0, 0.0), (1, 1.0), (2, 12.0), (3, 13.0), (4, 14.0)]
    assert scalars(settings.var / "tensorboard" / "intents", "loss") == expected


def test_other_parameters_start_another_run(settings: Settings) -> None:
    abandoned = RunTracker(settings, ["mlflow"])
    abandoned.start("trials", "intents", {"epochs": 3}, {})
    killed = abandoned.mlflow_run_id
    assert killed is not None and abandoned._lock is not None
    abandoned._lock.release()  # as the system does when a process is killed
    tracker = RunTracker(settings, ["mlflow"])
    tracker.start("trials", "intents", {"epochs": 5}, {})
    assert tracker.attempt == 1 and tracker.mlflow_run_id != killed
    tracker.finish()
    assert connect(settings).get_run(killed).info.status == "KILLED"


def test_a_run_still_being_recorded_is_left_alone(settings: Settings) -> None:
    first, second = (RunTracker(settings, ["tensorboard"]) for _ in range(2))
    assert first.start("trials", "intents", {}, {}) == "intents"
    assert second.start("trials", "intents", {}, {}) == "intents-2"
    assert interrupted_runs(settings) == []
    second.finish()
    first.finish()


class Flaky:
    """A backend that fails while ``broken``."""

    def __init__(self, settings: Settings) -> None:
        self.broken, self.calls = True, 0
        self.points: list[Point] = []
        self.status = ""

    def _work(self) -> None:
        self.calls += 1
        if self.broken:
            raise OSError(28, "No space left on device")

    def start(self, run: RunStart) -> str:
        self._work()
        return "id"

    def log(self, points: list[Point]) -> None:
        self._work()
        self.points += points

    def artifact(self, path: Path) -> None:
        self._work()

    def finish(self, status: str) -> None:
        self._work()
        self.status = status


def test_a_failing_backend_warns_once_pauses_and_catches_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setitem(backends.BACKENDS, "flaky", Flaky)
    tracker = RunTracker(settings, ["flaky", "tensorboard"], clock=lambda: now[0])
    flaky = tracker._guarded["flaky"].backend
    assert isinstance(flaky, Flaky)
    with caplog.at_level(logging.WARNING):
        tracker.start("trials", "intents", {}, {})
        for step in range(100):
            now[0] += 1
            tracker.log({"loss": 1.0}, step)
    assert [r.getMessage() for r in caplog.records] == [
        "flaky does not record the run ([Errno 28] No space left on device); training goes on without it"
    ]
    assert flaky.calls == 2, "a broken backend is tried once a minute, not at every step"
    flaky.broken = False
    tracker.finish()
    assert [point[3] for point in flaky.points] == list(range(100)) and flaky.status == "FINISHED"
    assert len(scalars(settings.var / "tensorboard" / "intents", "loss")) == 100


def test_a_locked_database_does_not_stop_training(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    tracker = RunTracker(settings, ["mlflow"])
    tracker.start("trials", "intents", {}, {})
    kept = tracker.mlflow_run_id
    with contextlib.closing(sqlite3.connect(settings.var / "mlflow.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        for step in range(5):
            tracker.log({"loss": float(step)}, step)
    tracker.finish()
    assert "locked by another program" in caplog.text and kept is not None
    assert len(connect(settings).get_metric_history(kept, "loss")) == 5


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////proc/self/none/mlflow.db"])
def test_a_store_away_from_the_start_does_not_stop_training(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, uri: str
) -> None:
    monkeypatch.setenv("HEADWATER_TRACKING_URI", uri)
    tracker = RunTracker(get_settings(), ["mlflow", "tensorboard"])
    tracker.start("trials", "intents", {}, {})
    tracker.log({"loss": 1.0}, 0)
    tracker.artifact("nowhere")
    tracker.finish()
    assert len(caplog.records) == 1 and tracker.mlflow_run_id is None
    assert scalars(settings.var / "tensorboard" / "intents", "loss") == [(0, 1.0)]


def test_wrong_use_is_refused_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"report_to: 'comet' is unknown; choose from mlflow"):
        RunTracker(settings, ["comet"])
    with pytest.raises(InputError, match="run status 'done'"):
        RunTracker(settings, []).finish("done")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        RunTracker(settings, ["wandb"])
    assert caught.value.command == 'pip install "headwater[wandb]"'


def test_wandb_gets_the_run_offline(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B's client is stood in for by a recorder, for it is an optional package."""
    calls: list[tuple[str, Any]] = []

    class Run:
        def log(self, values: dict[str, float], step: int) -> None:
            calls.append(("log", (values, step)))

        def finish(self, exit_code: int) -> None:
            calls.append(("finish", exit_code))

    def init(**options: Any) -> Run:
        calls.append(("init", options))
        return Run()

    fake = types.ModuleType("wandb")
    fake.__spec__ = importlib.util.spec_from_loader("wandb", None)
    vars(fake).update(init=init, Settings=dict, util=types.SimpleNamespace(generate_id=lambda: "w1"))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracker = RunTracker(settings, ["wandb"])
    tracker.start("trials", "intents", {"epochs": 3}, {"fingerprint": "abc"})
    tracker.log({"loss": 1.0, "accuracy": 0.5}, 7)
    tracker.finish("KILLED")
    options = calls[0][1]
    assert (options["mode"], options["id"], options["project"]) == ("offline", "w1", "trials")
    assert options["config"]["epochs"] == "3" and options["config"]["tag.fingerprint"] == "abc"
    assert options["dir"].startswith(str(settings.var.resolve()))
    assert calls[1:] == [("log", ({"loss": 1.0, "accuracy": 0.5}, 7)), ("finish", 1)]


def test_code_tags_name_the_commit_of_this_checkout_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.serving import tracking

    environment = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.c"}
    environment |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b.c"}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "first")
    commit = git("rev-parse", "HEAD").strip()
    for root, expected in ((tmp_path, commit), (tmp_path / "lib", None)):
        root.mkdir(exist_ok=True)
        code_tags.cache_clear()
        monkeypatch.setattr(tracking, "PROJECT_ROOT", root.resolve())
        assert code_tags().get("git_commit") == expected
    (tmp_path / "file").write_text("two")
    code_tags.cache_clear()
    monkeypatch.setattr(tracking, "PROJECT_ROOT", tmp_path.resolve())
    assert code_tags()["git_commit"] == f"{commit}-dirty"
    code_tags.cache_clear()


@given(st.text(max_size=300), st.integers(60, 200))
def test_shortened_text_fits_and_keeps_its_beginning(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    assert short == text if len(text) <= limit else f"{len(text)} characters" in short and text[0] == short[0]
