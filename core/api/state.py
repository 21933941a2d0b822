"""How the whole installation is doing, for people and for Prometheus; ``headwater status`` tells the same."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from prometheus_client.core import GaugeMetricFamily, Metric
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError

from core.api.access import require
from core.api.problems import Unavailable, documented
from core.operations.status import Status
from core.operations.status import status as ask

router = APIRouter(prefix="/v1", tags=["operation"])


class JobOut(BaseModel):
    """One of the worker's jobs."""

    vertical: str = Field(description="The application.", examples=["finance"])
    job: str = Field(description="Its name.", examples=["poll"])
    seconds: float = Field(description="Seconds between two runs.", examples=[10])
    running: bool = Field(description="Whether it runs at this moment.")
    succeeded: datetime | None = Field(description="When it last came to its end well; UTC.")
    age_s: float | None = Field(description="Seconds since then.", examples=[7.5])
    failed_in_a_row: int = Field(description="Failures since the last success.", examples=[0])
    error: str | None = Field(description="What the last failure was.")
    late: bool = Field(description="Whether it should have run long ago.")


class QueueOut(BaseModel):
    """Something that waits."""

    vertical: str = Field(description="The application.", examples=["finance"])
    name: str = Field(description="What waits.", examples=["messages to send"])
    waiting: int = Field(description="How many.", examples=[0])
    oldest: datetime | None = Field(description="Since when the first of them; UTC.")
    age_s: float | None = Field(description="Seconds since then.")
    late: bool = Field(description="Whether that is longer than it should take.")


class TrainingOut(BaseModel):
    """The newest registered version."""

    model: str = Field(description="Its name.", examples=["intents"])
    version: int = Field(description="Its number.", examples=[3])
    created: datetime = Field(description="When it was registered; UTC.")
    age_s: float = Field(description="Seconds since then.")


class StatusOut(BaseModel):
    """How everything is."""

    ok: bool = Field(description="Whether there is nothing to see to.")
    problems: list[str] = Field(description="A sentence for each thing that somebody should see to.")
    time: datetime = Field(description="When this was asked; UTC.")
    database: str = Field(description="sqlite or postgresql.", examples=["sqlite"])
    worker_active: bool = Field(description="Whether a worker holds the lease.")
    worker: str | None = Field(description="Which one.")
    worker_since: datetime | None = Field(description="Since when; UTC.")
    heartbeat_age_s: float | None = Field(description="Seconds since a worker's last heartbeat.", examples=[2.1])
    jobs: list[JobOut] = Field(description="The applications' jobs.")
    queues: list[QueueOut] = Field(description="What waits.")
    training: TrainingOut | None = Field(description="The last training; null when there was none.")


@router.get(
    "/status",
    response_model=StatusOut,
    summary="How is everything?",
    responses=documented(503),
    dependencies=[Depends(require())],
)
async def status(request: Request) -> Any:
    """The worker and the age of each job, what waits, and the last training. 200 also when something is wrong."""
    app = request.app
    try:
        found = await asyncio.to_thread(ask, app.state.engine, app.state.settings, None, app.state.verticals)
    except SQLAlchemyError:
        raise Unavailable("The database cannot be reached.", 5) from None
    return found.to_dict()


def gauges(found: Status) -> Iterable[Metric]:
    """The figures of a status for Prometheus; ages in seconds, a job that never came to its end well has none."""
    worker = GaugeMetricFamily("headwater_worker_active", "1 while a worker holds the lease.", found.worker_active)
    age = GaugeMetricFamily("headwater_job_age_seconds", "Since a job's last success.", labels=("vertical", "job"))
    failed = GaugeMetricFamily(
        "headwater_job_failures_in_a_row", "Failures since a job's last success.", labels=("vertical", "job")
    )
    waiting = GaugeMetricFamily("headwater_queue_waiting", "What waits in a queue.", labels=("vertical", "queue"))
    oldest = GaugeMetricFamily(
        "headwater_queue_age_seconds", "Age of the first in a queue.", labels=("vertical", "queue")
    )
    for job in found.jobs:
        failed.add_metric((job.vertical, job.job), job.failed_in_a_row)
        if job.age_s is not None:
            age.add_metric((job.vertical, job.job), job.age_s)
    for queue in found.queues:
        waiting.add_metric((queue.vertical, queue.name), queue.waiting)
        oldest.add_metric((queue.vertical, queue.name), queue.age_s or 0.0)
    yield from (worker, age, failed, waiting, oldest)
