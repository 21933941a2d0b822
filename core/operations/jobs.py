"""What is known of each job: a row that is written when it starts, ends, or misses its time, and read by others."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update

from core.operations.lease import fence, utc_now
from core.operations.tables import jobs, leases, schedule

MAX_ERROR = 300  # characters
LOADING = "(loading)"  # stands for a vertical whose jobs cannot be known


@dataclass(frozen=True)
class JobStatus:
    """The last word on one job; ``took`` in seconds, ``in_a_row`` counts failures since the last success."""

    vertical: str
    job: str
    seconds: float
    running: bool
    started: datetime | None
    finished: datetime | None
    succeeded: datetime | None
    took: float | None
    runs: int
    failures: int
    in_a_row: int
    missed: int
    last_missed: datetime | None
    error: str | None
    error_time: datetime | None
    next_run: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, times in ISO 8601."""
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class WorkerStatus:
    """Whether a worker is at work, since when, and how its jobs are doing."""

    active: bool
    holder: str | None
    since: datetime | None
    heartbeat: datetime | None
    jobs: tuple[JobStatus, ...]

    @property
    def failing(self) -> tuple[JobStatus, ...]:
        """Jobs whose last run failed."""
        return tuple(job for job in self.jobs if job.in_a_row)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, times in ISO 8601."""
        return {
            "active": self.active,
            "holder": self.holder,
            "since": self.since and self.since.isoformat(),
            "heartbeat": self.heartbeat and self.heartbeat.isoformat(),
            "jobs": [job.to_dict() for job in self.jobs],
        }


def status(engine: Engine, now: datetime | None = None, vertical: str | None = None) -> WorkerStatus:
    """How the worker is doing, read from the database by anybody; ``vertical`` leaves out other applications' jobs."""
    wanted = select(jobs, schedule.c.next_run_time).outerjoin(
        schedule, schedule.c.id == jobs.c.vertical + ":" + jobs.c.job
    )
    if vertical is not None:
        wanted = wanted.where(jobs.c.vertical == vertical)
    with engine.connect() as connection:
        lease = connection.execute(select(leases).where(leases.c.name == "worker")).one_or_none()
        rows = connection.execute(wanted.order_by(jobs.c.vertical, jobs.c.job)).all()
    age = None if lease is None else (now or utc_now()) - lease.heartbeat
    active = lease is not None and bool(lease.holder) and age is not None and age <= timedelta(seconds=lease.seconds)
    found = []
    for row in rows:
        values = dict(row._mapping)
        due = values.pop("next_run_time")
        values["running"] = values["running"] and active
        found.append(JobStatus(**values, next_run=None if due is None else datetime.fromtimestamp(due, UTC)))
    return WorkerStatus(
        active,
        lease.holder if lease is not None and active else None,
        lease.acquired if lease is not None and active else None,
        None if lease is None else lease.heartbeat,
        tuple(found),
    )


class Ledger:
    """Writes the rows; each call is one short transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def expect(self, known: Mapping[tuple[str, str], float]) -> None:
        """Keep exactly these jobs, (vertical, job) -> seconds; what was known of them stays. None runs yet."""
        blank = {"running": False, "runs": 0, "failures": 0, "in_a_row": 0, "missed": 0}
        with self._engine.begin() as connection:
            rows = connection.execute(select(jobs.c.vertical, jobs.c.job)).all()
            there = {(vertical, job) for vertical, job in rows}
            for key in there - known.keys():
                connection.execute(delete(jobs).where(*_is(*key)))
            for (vertical, job), seconds in known.items():
                if (vertical, job) in there:
                    values = {"seconds": seconds, "running": False}
                    connection.execute(update(jobs).where(*_is(vertical, job)).values(values))
                else:
                    connection.execute(insert(jobs).values(vertical=vertical, job=job, seconds=seconds, **blank))

    def started(self, vertical: str, job: str, at: datetime) -> None:
        """A run begins."""
        self._set(vertical, job, running=True, started=at)

    def succeeded(self, vertical: str, job: str, at: datetime, took: float) -> None:
        """A run came to its end."""
        runs = jobs.c.runs + 1
        self._set(vertical, job, running=False, finished=at, succeeded=at, took=took, runs=runs, in_a_row=0)

    def failed(self, vertical: str, job: str, at: datetime, took: float, error: BaseException) -> None:
        """A run raised; what it said is kept for the status page."""
        self._set(
            vertical,
            job,
            running=False,
            finished=at,
            took=took,
            runs=jobs.c.runs + 1,
            failures=jobs.c.failures + 1,
            in_a_row=jobs.c.in_a_row + 1,
            error=describe(error),
            error_time=at,
        )

    def missed(self, vertical: str, job: str, at: datetime) -> None:
        """A run was due and did not happen: the machine was off, or the run before was still going on."""
        self._set(vertical, job, missed=jobs.c.missed + 1, last_missed=at)

    def _set(self, vertical: str, job: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            fence(connection)
            connection.execute(update(jobs).where(*_is(vertical, job)).values(**values))


def describe(error: BaseException) -> str:
    """Kind and first line, shortened; without the parameters that database errors carry."""
    first = next(iter(str(getattr(error, "orig", None) or error).splitlines()), "")
    return f"{type(error).__name__}: {first}"[:MAX_ERROR].rstrip(": ").replace("\0", "")


def _is(vertical: str, job: str) -> tuple[Any, Any]:
    return jobs.c.vertical == vertical, jobs.c.job == job
