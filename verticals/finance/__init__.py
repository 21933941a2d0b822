"""Finance: sentiment of the financial news, watched for surges, with alerts."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from core.vertical import Job, Process, Queue, Vertical, Wheel


def _commands() -> Any:
    from verticals.finance.commands import finance

    return finance


def _routes() -> Any:
    from verticals.finance.routes import router

    return router()


def _jobs() -> Sequence[Job]:
    from verticals.finance.jobs import jobs

    return jobs()


def _processes() -> Sequence[Process]:
    from verticals.finance.jobs import processes

    return processes()


def _prepare(report: Callable[[str], None]) -> None:
    from verticals.finance.jobs import prepare

    prepare(report)


def _tables() -> Any:
    from verticals.finance.alerts import tables as _alerts  # noqa: F401 – adds its tables to the metadata
    from verticals.finance.tables import metadata

    return metadata


def _queues(engine: Any, now: datetime) -> Sequence[Queue]:
    from verticals.finance.waiting import queues

    return queues(engine, now)


def _wheels() -> Sequence[Wheel]:
    from verticals.finance.wheel import wheels

    return wheels()


vertical = Vertical(
    name="finance",
    summary="watches financial news for surges of bad sentiment, with alerts",
    commands=_commands,
    routes=_routes,
    jobs=_jobs,
    tables=_tables,
    dashboard="dashboards/finance.py",
    port=8502,
    prepare=_prepare,
    processes=_processes,
    queues=_queues,
    wheels=_wheels,
)
