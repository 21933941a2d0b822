"""Comparisons and tunings that go on when the page is left: each in a process and a folder of its own.

The folder says all: ``work.json`` what was asked for, ``progress.log`` its lines, ``result.json`` and ``end.json`` how
it ended. The process holds the folder's lock as long as it lives, so that a killed one is told from a running one.
"""

import json
import secrets
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from core.data.load import load
from core.errors import InputError
from core.evaluation.files import write_json, write_text
from core.fewlabels.contenders import tuned_recipe
from core.settings import Settings
from core.tuning.recipe import Recipe

Kind = Literal["compare", "tune"]
State = Literal["running", "done", "failed", "stopped"]
LOCK, STOP, RESULT, END = "lock", "stop", "result.json", "end.json"
_START = timedelta(seconds=30)  # a process that has not taken its lock by then never started


@dataclass(frozen=True)
class Work:
    """One piece of work: what it is, how it stands, its last line, and what it gave."""

    id: str
    kind: Kind
    name: str
    started: datetime
    state: State
    progress: str
    result: dict[str, Any] | None
    folder: Path


def start_comparison(recipe: Recipe, methods: Sequence[str], minutes: float, settings: Settings) -> Work:
    """Compare ``methods`` on the recipe's data in the background. Raises InputError when something is at work."""
    return _start("compare", recipe, ["--methods", ",".join(methods), "--minutes", str(minutes)], settings)


def start_tuning(recipe: Recipe, method: str, settings: Settings) -> Work:
    """Tune and register by a method of ``core.fewlabels.contenders.TUNED`` in the background. Raises InputError."""
    rows = load(recipe.data, recipe.task, recipe.training.seed).train
    return _start("tune", tuned_recipe(method, recipe, rows), [], settings)


def all_work(settings: Settings) -> list[Work]:
    """What was ever started, the latest first."""
    found = (_read(file.parent) for file in (settings.var / "studio" / "work").glob("*/work.json"))
    return sorted(found, key=lambda one: one.started, reverse=True)


def stop(work: Work) -> None:
    """Ask it to end; a tuning goes on from its last epoch when it is started again."""
    (work.folder / STOP).touch()


def _start(kind: Kind, recipe: Recipe, options: Sequence[str], settings: Settings) -> Work:
    from filelock import FileLock

    home = settings.var / "studio" / "work"
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / ".lock"):
        return _start_alone(kind, recipe, options, settings, home)


def _start_alone(kind: Kind, recipe: Recipe, options: Sequence[str], settings: Settings, home: Path) -> Work:
    busy = next((one for one in all_work(settings) if one.state == "running"), None)
    if busy is not None:
        raise InputError(f"{busy.name} is at work ({busy.kind}); wait for it or stop it first.")
    started = datetime.now(UTC)
    folder = home / f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    write_text(folder / "recipe.toml", recipe.to_toml())
    write_json(
        folder / "work.json",
        {"kind": kind, "name": recipe.name, "started": started.isoformat(), "options": list(options)},
    )
    with (folder / "progress.log").open("wb") as log:
        subprocess.Popen(
            [sys.executable, "-m", "core.studio.run", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives the dashboard that started it
        )
    return _read(folder)


def _read(folder: Path) -> Work:
    asked = json.loads((folder / "work.json").read_text(encoding="utf-8"))
    started = datetime.fromisoformat(asked["started"])
    state = _state(folder, started)
    result = json.loads((folder / RESULT).read_text(encoding="utf-8")) if state == "done" else None
    return Work(folder.name, asked["kind"], asked["name"], started, state, _last_line(folder), result, folder)


def _state(folder: Path, started: datetime) -> State:
    # In this order: the end is written before the lock is let go.
    if _is_held(folder / LOCK):
        return "running"
    try:
        code = json.loads((folder / END).read_text(encoding="utf-8"))["code"]
    except FileNotFoundError:
        begins = datetime.now(UTC) - started < _START and not (folder / LOCK).exists()
        return "running" if begins else "failed"
    return "done" if code == 0 else "stopped" if (folder / STOP).exists() else "failed"


def _is_held(lock: Path) -> bool:
    from filelock import FileLock, Timeout

    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _last_line(folder: Path) -> str:
    """The end of the log; a progress bar rewrites its line with carriage returns."""
    with (folder / "progress.log").open("rb") as log:
        log.seek(max(0, log.seek(0, 2) - 4096))
        lines = log.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
