"""One process that is kept running: started, found healthy, started again when it ends, stopped with all it started."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.operations.logs import Follower, Log

LEASH = Path(__file__).with_name("leash.py")

State = Literal["waiting", "starting", "healthy", "unhealthy", "restarting", "failed", "stopped"]


@dataclass(frozen=True)
class Spec:
    """What to run. ``healthy`` says whether it can be used; without it, running for a second is enough.

    ``once``: to end with exit code 0 is what it is for. ``waits``: there is nothing to see before the applications are
    prepared. ``url`` is shown to people; ``port`` is what it listens on, and ``choose`` how to choose another; times in
    seconds.
    """

    name: str
    command: Sequence[str]
    healthy: Callable[[], bool] | None = None
    url: str | None = None
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    start_s: float = 120
    stop_s: float = 25
    once: bool = False
    waits: bool = False
    choose: str = "in its application's settings"


@dataclass(frozen=True)
class Patience:
    """When a process that ends is given up. ``backoff_s`` doubles with each start up to ``most_s``.

    A process that was healthy for ``settled_s`` starts with a clean record again.
    """

    tries: int = 5
    backoff_s: float = 0.5
    most_s: float = 15
    settled_s: float = 60
    check_s: float = 0.5
    watch_s: float = 10
    unhealthy_checks: int = 4


class Child(threading.Thread):
    """Keeps ``spec`` running until ``stop``; ``tell(name, line)`` gets what people should know."""

    def __init__(
        self,
        spec: Spec,
        logs: Path,
        environment: Mapping[str, str],
        tell: Callable[[str, str], None],
        patience: Patience | None = None,
    ) -> None:
        super().__init__(name=spec.name, daemon=True)
        self.spec, self.state, self.restarts = spec, "waiting", 0
        self.took: float | None = None
        self.reason: str | None = None
        self.code: int | None = None  # of its last life
        self.every: Callable[[str], None] | None = None  # gets every line instead of errors alone
        self.settled = threading.Event()  # healthy for the first time, given up, or too slow
        self._environment = {**environment, **spec.environment}
        self._log = Log(logs / f"{spec.name}.log")
        self._say = lambda line: tell(spec.name, line)
        self._patience = patience or Patience()
        self._halt = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def to_dict(self) -> dict[str, Any]:
        """State, address, seconds until it was healthy, and why not if it is not."""
        return {
            "state": self.state,
            "url": self.spec.url,
            "seconds": None if self.took is None else round(self.took, 2),
            "restarts": self.restarts,
            "reason": self.reason,
        }

    def run(self) -> None:
        """Start, watch, and start again."""
        failures = 0
        try:
            while not self._halt.is_set():
                ran_s = self._run_once()
                if self._halt.is_set() or (self.spec.once and self.code == 0):
                    break
                failures = 1 if ran_s > self._patience.settled_s else failures + 1
                if failures >= self._patience.tries:
                    self.state = "failed"
                    tries = "" if failures == 1 else f" after {failures} tries"
                    self._say(f"given up{tries}: {self.reason}; see {self._log.path}")
                    return
                pause = min(self._patience.backoff_s * 2 ** (failures - 1), self._patience.most_s)
                self.state = "restarting"
                self.restarts += 1
                self._say(f"{self.reason}; starting it again in {pause:g} s")
                self._halt.wait(pause)
            self.state = "stopped"
        finally:
            self.settled.set()
            self._log.close()

    def ask_to_stop(self) -> None:
        """Begin to stop it: SIGTERM, and after ``stop_s`` SIGKILL, to all its processes."""
        self._halt.set()
        with self._lock:
            if self._process is not None:
                self._process.terminate()

    def kill(self) -> None:
        """End it and all its processes at once."""
        self._halt.set()
        with self._lock:
            if self._process is not None:
                self._process.send_signal(signal.SIGQUIT)

    def _run_once(self) -> float:
        """One life of the process; how many seconds it was healthy."""
        self.state = "starting"
        began = time.monotonic()
        command = [part.replace("{python}", sys.executable) for part in self.spec.command]
        leash = [sys.executable, "-I", "-S", str(LEASH), str(self.spec.stop_s), *command]
        with self._lock:
            if self._halt.is_set():
                return 0
            process = subprocess.Popen(
                leash,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C on the terminal reaches `up` alone, which stops its children in order
            )
            self._process = process
        assert process.stdout is not None and process.stdin is not None
        follower = Follower(process.stdout, self._log, self._say, self.every)
        follower.start()
        try:
            healthy_at = self._watch(process, began)
        finally:
            process.stdin.close()  # the leash pulls, should the command still run
            code = self.code = process.wait()
            follower.join(5)
            with self._lock:
                self._process = None
        if self.reason is None:
            last = next((line for line in reversed(follower.tail) if not line.startswith(" ")), "")
            self.reason = f"ended with exit code {code}" + (f" ({last[:200]})" if code and last else "")
        return 0 if healthy_at is None else time.monotonic() - healthy_at

    def _watch(self, process: subprocess.Popen[bytes], began: float) -> float | None:
        """Until the process ends, or must be ended; since when it was healthy (monotonic), or None."""
        self.reason = None
        healthy_at: float | None = None
        bad = 0
        while process.poll() is None:
            if self._halt.is_set():
                _wait(process, 0.2)
                continue
            now = time.monotonic()
            good = self._healthy(now - began)
            if good:
                bad = 0
                self.state = "healthy"
                if healthy_at is None:
                    healthy_at = now
                    if self.took is None:
                        self.took = now - began
                    self._say("healthy" + (f" on {self.spec.url}" if self.spec.url else ""))
                    self.settled.set()
            elif healthy_at is not None:
                bad += 1
                if bad >= self._patience.unhealthy_checks:
                    self.state, self.reason = "unhealthy", "it runs but no longer answers"
                    return healthy_at
            elif now - began > self.spec.start_s:
                self.reason = f"it did not become healthy within {self.spec.start_s:g} s"
                self.settled.set()
                return None
            _wait(process, self._patience.check_s if healthy_at is None else self._patience.watch_s, self._halt)
        return healthy_at

    def _healthy(self, age: float) -> bool:
        if self.spec.healthy is None:
            return age >= 1
        try:
            return self.spec.healthy()
        except Exception:
            return False


def _wait(process: subprocess.Popen[bytes], seconds: float, halt: threading.Event | None = None) -> None:
    """Until the process ends, ``halt`` is set, or so many seconds have passed."""
    end = time.monotonic() + seconds
    while process.poll() is None and (left := end - time.monotonic()) > 0:
        if halt is None:
            time.sleep(min(left, 0.2))
        elif halt.wait(min(left, 0.2)):
            return
