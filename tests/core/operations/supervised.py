"""What the tests of supervised processes share: patience, short back-off times, and what was told."""

import socket
import time
from collections.abc import Callable

import psutil

from core.operations.child import Patience

PATIENCE = 60
QUICK = Patience(tries=3, backoff_s=0.01, most_s=0.05, settled_s=60, check_s=0.02, watch_s=0.05, unhealthy_checks=2)
PYTHON = ("{python}", "-I", "-S", "-c")


def until(condition: Callable[[], object]) -> None:
    """Wait for it."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether the process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Told(list[tuple[str, str]]):
    """The lines that a supervisor says, with the name of the process that each is about."""

    def __call__(self, name: str, line: str) -> None:
        self.append((name, line))

    def text(self) -> str:
        """All in one."""
        return "\n".join(f"{name}: {line}" for name, line in self)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
