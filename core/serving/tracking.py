"""Recording training runs: never in the training's way, resumable after a kill."""

import functools
import importlib.metadata
import json
import logging
import os
import platform
import re
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.serving.backends import Backend, Point, RunStart, open_backend
from core.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from filelock import FileLock

log = logging.getLogger(__name__)
STATUSES = ("FINISHED", "FAILED", "KILLED")
_RUNNING, _INTERRUPTED = "running", "interrupted"
_PAUSE_SECONDS = 60.0
_KEPT_POINTS = 10_000


@dataclass(frozen=True)
class RunState:
    """What is kept of a run in ``var/tracking``, so that a killed one can be found and resumed."""

    run_id: str
    experiment: str
    run_name: str
    params: dict[str, str]
    state: str
    started: str
    attempt: int = 1
    ids: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


class RunTracker:
    """Records one run with every backend of ``report_to``.

    A backend that fails is reported once on the log and tried again at most once a minute; the metrics of the
    meantime (the last 10,000) are kept and sent then. Only wrong use raises: an unknown or missing backend.
    """

    def __init__(
        self, settings: Settings, report_to: Iterable[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``clock`` gives seconds and only spaces the retries."""
        self.settings = settings
        self._guarded = {name: _Guarded(name, open_backend(name, settings), clock) for name in report_to}
        self._state: RunState | None = None
        self._lock: FileLock | None = None

    @property
    def mlflow_run_id(self) -> str | None:
        """MLflow's id of the run, for the registry; None when MLflow does not record it."""
        return None if self._state is None else self._ids().get("mlflow")

    @property
    def attempt(self) -> int:
        """1 for a new run, one more for each resumption."""
        return 0 if self._state is None else self._state.attempt

    def start(
        self,
        experiment: str,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        run_id: str | None = None,
    ) -> str:
        """Start a run and return its id (``run_id``, by default made from ``run_name``).

        If the last run of that id never called ``finish``, its process is gone and its parameters are the
        same, that run is resumed. While another process records under the id, a number is added to it.
        ``tags`` should hold ``recipe`` (TOML) and ``fingerprint``; code and library versions are added.
        """
        if self._state is not None:
            raise RuntimeError("this tracker has a run already; finish it first")
        wanted = re.sub(r"[^\w.-]", "_", run_id or run_name)[:100].lstrip(".") or "run"
        texts = {key: str(value) for key, value in params.items()}
        run_id = self._claim(wanted)
        earlier = _read(self._file(run_id))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        state = RunState(run_id, experiment, run_name, texts, _RUNNING, now)
        if earlier is not None and earlier.state in (_RUNNING, _INTERRUPTED):
            if (earlier.experiment, earlier.params) == (experiment, texts):
                state = replace(state, started=earlier.started, attempt=earlier.attempt + 1, ids=earlier.ids)
                log.info("run %s was interrupted and is resumed (attempt %d)", run_id, state.attempt)
            else:
                _mark_killed(self.settings, earlier)
        self._state = state
        run = RunStart(run_id, experiment, run_name, texts, {**code_tags(), **tags}, state.attempt, state.ids)
        for guarded in self._guarded.values():
            guarded.start(run)
            self._save()  # at once: a kill from here on can be found
        return run_id

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record metrics at a step; values that are not numbers are left out."""
        at = time.time_ns() // 1_000_000
        points: list[Point] = []
        for name, value in metrics.items():
            try:
                points.append((name, float(value), at, int(step)))
            except (TypeError, ValueError):
                continue
        for guarded in self._guarded.values():
            guarded.log(points)
        self._save()

    def artifact(self, path: str | Path) -> None:
        """Keep a file or folder with the run."""
        for guarded in self._guarded.values():
            guarded.call(lambda backend: backend.artifact(Path(path)))

    def finish(self, status: str = "FINISHED") -> None:
        """Close the run: FINISHED, FAILED or KILLED. Without a call to this the run counts as interrupted."""
        if status not in STATUSES:
            raise InputError(f"run status {status!r} is unknown; choose from {', '.join(STATUSES)}.")
        if self._state is None:
            return
        for guarded in self._guarded.values():
            guarded.finish(status)
        self._save(status.lower())
        self._state = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _claim(self, wanted: str) -> str:
        """Lock the id for this process; the lock of a killed process is free."""
        from filelock import FileLock, Timeout

        for number in range(1, 1000):
            run_id = wanted if number == 1 else f"{wanted}-{number}"
            try:
                self._file(run_id).parent.mkdir(parents=True, exist_ok=True)
                lock = FileLock(self._file(run_id).with_suffix(".lock"))
                lock.acquire(timeout=0)
            except Timeout:
                continue
            except OSError as error:
                log.warning("%s cannot be written (%s); a killed run could not be resumed", wanted, error)
                return wanted
            self._lock = lock
            return run_id
        raise InputError(f"a thousand processes are recording {wanted!r} already; choose another run id.")

    def _file(self, run_id: str) -> Path:
        return _folder(self.settings) / f"{run_id}.json"

    def _ids(self) -> dict[str, str]:
        kept = {} if self._state is None else self._state.ids
        return {
            **kept,
            **{name: g.backend_id for name, g in self._guarded.items() if g.backend_id is not None},
        }

    def _save(self, state: str = _RUNNING) -> None:
        if self._state is None:
            return
        fresh = replace(self._state, state=state, ids=self._ids())
        file = self._file(fresh.run_id)
        if fresh == self._state and file.exists():
            return
        self._state = fresh
        try:
            _write(file, fresh)
        except OSError as error:
            log.warning("%s cannot be written (%s); the run could not be resumed if killed", file, error)


class _Guarded:
    """A backend whose failures cost a warning, a pause, and nothing else."""

    def __init__(self, name: str, backend: Backend, clock: Callable[[], float]) -> None:
        self.name, self.backend, self.clock = name, backend, clock
        self.backend_id: str | None = None
        self._run: RunStart | None = None
        self._waiting: deque[Point] = deque(maxlen=_KEPT_POINTS)
        self._paused_until = float("-inf")
        self._warned = False

    def start(self, run: RunStart) -> None:
        self._run = run
        self.call(lambda backend: None)

    def log(self, points: Iterable[Point]) -> None:
        self._waiting.extend(points)
        self.call(lambda backend: None)

    def finish(self, status: str) -> None:
        self._paused_until = float("-inf")  # the last chance for what is waiting
        self.call(lambda backend: backend.finish(status))

    def call(self, action: Callable[[Backend], None]) -> None:
        """Start the run if that has not worked yet, send what waits, then do ``action``."""
        if self._run is None or self.clock() < self._paused_until:
            return
        try:
            if self.backend_id is None:
                self.backend_id = self.backend.start(self._run)
            if self._waiting:
                self.backend.log(list(self._waiting))
                self._waiting.clear()
            action(self.backend)
        except Exception as error:
            self._paused_until = self.clock() + _PAUSE_SECONDS
            level = logging.DEBUG if self._warned else logging.WARNING
            self._warned = True
            log.log(level, "%s does not record the run (%s); training goes on without it", self.name, error)


def interrupted_runs(settings: Settings) -> list[RunState]:
    """Runs that were killed before ``finish``; each is marked so, also in MLflow (status KILLED)."""
    from filelock import FileLock, Timeout

    found = []
    for file in sorted(_folder(settings).glob("*.json")):
        try:
            with FileLock(file.with_suffix(".lock"), timeout=0):
                state = _read(file)  # only now: its owner may just have finished
                if state is not None and state.state == _RUNNING:
                    _mark_killed(settings, state)
                    state = replace(state, state=_INTERRUPTED)
                    _write(file, state)
                if state is not None and state.state == _INTERRUPTED:
                    found.append(state)
        except Timeout:
            continue
    return found


@functools.cache
def code_tags() -> dict[str, str]:
    """Versions of this code, Python and the libraries a result depends on; ``git_commit`` in a checkout."""
    tags = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("headwater", "torch", "transformers", "sentence-transformers", "peft"):
        try:
            tags[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = _commit()
    return tags if commit is None else {**tags, "git_commit": commit}


def _commit() -> str | None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(PROJECT_ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()

    try:
        # An installed package may lie inside somebody else's repository.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != PROJECT_ROOT:
            return None
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None


def _mark_killed(settings: Settings, state: RunState) -> None:
    if "mlflow" not in state.ids:
        return
    try:
        from core.serving.mlflow_client import connect, log_to_run

        client = connect(settings)
        log_to_run(client, state.ids["mlflow"], tags={"headwater.interrupted": "true"})
        client.set_terminated(state.ids["mlflow"], "KILLED")
    except Exception as error:
        log.warning("run %s could not be marked as killed in MLflow (%s)", state.run_id, error)


def _folder(settings: Settings) -> Path:
    return settings.var / "tracking"


def _read(file: Path) -> RunState | None:
    try:
        return RunState(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(file: Path, state: RunState) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(state.to_dict(), indent=1), encoding="utf-8")
    os.replace(temporary, file)
