"""Triage: how soon must somebody look at a patient's message? An example of a fourth application."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from core.vertical import Job, Queue, Vertical


def _commands() -> Any:
    from headwater_triage.commands import triage

    return triage


def _routes() -> Any:
    from headwater_triage.routes import router

    return router


def _tables() -> Any:
    from headwater_triage.tables import metadata

    return metadata


def _assess() -> None:
    from headwater_triage.desk import Desk

    Desk.open().assess()


def _jobs() -> Sequence[Job]:
    return [Job("assess", _assess, 10.0)]


def _queues(engine: Any, now: datetime) -> Sequence[Queue]:
    from headwater_triage.desk import Desk

    return [Queue("messages to assess", *Desk(engine).unassessed(), patience_s=300.0)]


vertical = Vertical(
    name="triage",
    summary="sorts patients' messages by how soon somebody must look at them",
    commands=_commands,
    routes=_routes,
    jobs=_jobs,
    tables=_tables,
    queues=_queues,
)
