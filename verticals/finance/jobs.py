"""What the worker runs for the monitor; each job is short, and running one again does no harm."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from core.vertical import Job, Process
from verticals.finance.settings import finance_settings


def jobs() -> Sequence[Job]:
    """The stages with the seconds between two runs of each."""

    lock = Lock()
    made: list[Any] = []

    def monitor() -> Any:
        from verticals.finance.monitor import Monitor, open_store

        with lock:
            if not made:
                settings = finance_settings()
                made.append(Monitor(open_store(settings), settings))
        return made[0]

    def stage(name: str) -> Callable[[], None]:
        def run() -> None:
            getattr(monitor(), name)()

        return run

    return (
        Job("poll", stage("poll"), 10),
        Job("label", stage("label"), 10),
        Job("detect", stage("detect"), 15),
        Job("deliver", stage("deliver"), 5),
        Job("prune", stage("prune"), 6 * 3600),
    )


def processes() -> Sequence[Process]:
    """The server of the synthetic sample, unless the settings do without it."""
    settings = finance_settings()
    if not settings.sample:
        return ()
    command = ("{python}", "-m", "verticals.finance.sample_feed", "--port", str(settings.sample_port))
    health = f"http://127.0.0.1:{settings.sample_port}/robots.txt"
    return (Process("sample-feed", command, health=health, port=settings.sample_port),)


def prepare(report: Callable[[str], None]) -> None:
    """Make the tables and register the shipped sources."""
    from verticals.finance.opening import open_store

    open_store().dispose()
