"""Support: the bot with retrieval, for support agents."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from core.vertical import Job, Queue, Vertical, Wheel


def _commands() -> Any:
    from verticals.support.commands import support

    return support


def _routes() -> Any:
    from verticals.support.routes import router

    return router()


def _tables() -> Any:
    from verticals.support.tables import metadata

    return metadata


def _jobs() -> Sequence[Job]:
    return [Job("support-dial", _refit, 3600.0)]


def _refit() -> None:
    from core.operations.database import open_database
    from verticals.support.dial import refit
    from verticals.support.settings import SupportSettings
    from verticals.support.tables import metadata

    refit(open_database(metadata), SupportSettings())


def _prepare(report: Callable[[str], None]) -> None:
    from verticals.support.dialogues.mining import mine_shipped
    from verticals.support.opening import prepare
    from verticals.support.settings import SupportSettings

    settings = SupportSettings()
    prepare(report, settings)
    mine_shipped(settings, report)


def _queues(engine: Any, now: datetime) -> Sequence[Queue]:
    from sqlalchemy import func, select

    from verticals.support.tables import proposals

    wanted = select(func.count(), func.min(proposals.c.changed)).where(proposals.c.status == "pending")
    with engine.connect() as connection:
        waiting, oldest = connection.execute(wanted).one()
    return [Queue("proposals to review", waiting, oldest)]


def _wheels() -> Sequence[Wheel]:
    from verticals.support.wheel import wheels

    return wheels()


vertical = Vertical(
    name="support",
    summary="answers customers' questions with sources, or hands over",
    commands=_commands,
    routes=_routes,
    jobs=_jobs,
    tables=_tables,
    dashboard="dashboards/support.py",
    port=8501,
    prepare=_prepare,
    queues=_queues,
    wheels=_wheels,
)
