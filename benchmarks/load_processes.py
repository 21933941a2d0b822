"""The processes that ``headwater up`` runs: found by their commands, killed, seen healthy again, their memory."""

import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import psutil

# Name -> a word of its command, and the address that tells its health; the worker's is the API's word on it.
_KNOWN = {
    "api": (("core.cli", "api"), "http://127.0.0.1:8000/healthz"),
    "worker": (("core.cli", "worker"), None),
    "sample feed": (("verticals.finance.sample_feed",), "http://127.0.0.1:8590/"),
    "support dashboard": (("streamlit", "support.py"), "http://127.0.0.1:8501/_stcore/health"),
    "finance dashboard": (("streamlit", "finance.py"), "http://127.0.0.1:8502/_stcore/health"),
    "recommend dashboard": (("streamlit", "recommend.py"), "http://127.0.0.1:8503/_stcore/health"),
}


@dataclass
class Processes:
    """The descendants of ``up``, the process with that id."""

    up: int
    restarts: int = 0
    dead_worker: str | None = None  # its lease outlives it by some seconds

    def names(self) -> list[str]:
        """Those that are running now."""
        return [name for name in _KNOWN if self.find(name) is not None]

    def find(self, name: str) -> psutil.Process | None:
        """The process itself, not the one that holds it on a leash."""
        words = _KNOWN[name][0]
        for process in psutil.Process(self.up).children(recursive=True):
            try:
                command = process.cmdline()
            except psutil.Error:
                continue
            if not any("leash.py" in part for part in command) and all(
                any(part.endswith(word) for part in command) for word in words
            ):
                return process
        return None

    def healthy(self, name: str) -> bool:
        """Whether it runs and answers."""
        if self.find(name) is None:
            return False
        address = _KNOWN[name][1]
        try:
            if address is None:
                status = httpx.get("http://127.0.0.1:8000/v1/status", timeout=5).json()
                return bool(status["worker_active"]) and status["worker"] != self.dead_worker
            return httpx.get(address, timeout=5).status_code < 400
        except (httpx.HTTPError, KeyError, ValueError):
            return False

    def wait_healthy(self, seconds: float) -> None:
        """Until all are healthy. Raises RuntimeError naming those that are not in time."""
        end = time.monotonic() + seconds
        while (ready := [name for name in _KNOWN if self.healthy(name)]) != list(_KNOWN):
            if time.monotonic() > end or not psutil.pid_exists(self.up):
                raise RuntimeError(f"not healthy within {seconds:g} s: {', '.join(sorted({*_KNOWN} - {*ready}))}")
            time.sleep(0.5)

    def kill(self, name: str) -> float:
        """SIGKILL; seconds until another process of that name is healthy."""
        process = self.find(name)
        if process is None:
            raise RuntimeError(f"{name} does not run.")
        if _KNOWN[name][1] is None:
            self.dead_worker = httpx.get("http://127.0.0.1:8000/v1/status", timeout=30).json()["worker"]
        began = time.monotonic()
        process.kill()
        process.wait(10)
        while not self.healthy(name):
            if time.monotonic() - began > 180:
                raise RuntimeError(f"{name} was not healthy again within 180 s.")
            time.sleep(0.2)
        self.restarts += 1
        return time.monotonic() - began


@dataclass
class Memory:
    """Resident memory of each process over time."""

    processes: Processes
    began: float = field(default_factory=time.monotonic)
    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def sample(self) -> None:
        """Take one sample of each, in MB."""
        for name in _KNOWN:
            process = self.processes.find(name)
            if process is not None:
                size = process.memory_info().rss / 2**20
                self.samples.setdefault(name, []).append((time.monotonic() - self.began, size))

    def summary(self) -> dict[str, Any]:
        """MB at the end, and MB an hour over the second half by least squares."""
        found = {}
        for name, points in self.samples.items():
            half = np.array(points[len(points) // 2 :])
            slope = np.polyfit(half[:, 0], half[:, 1], 1)[0] * 3600 if len(half) > 1 else 0.0
            found[name] = {"mb": points[-1][1], "slope_mb_per_hour": float(slope), "samples": len(points)}
        return found
