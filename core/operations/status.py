"""How the installation is doing: the worker and its jobs, what waits, the last training, the database.

>>> status(engine, settings).to_dict()["problems"]
["no worker is active; start one: headwater worker."]

Anybody who can read the database can ask; nothing is written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from core.errors import InputError
from core.operations import jobs
from core.operations.lease import utc_now
from core.settings import Settings
from core.vertical import Vertical

LATE = 3.0  # a job is late when its last success is older than so many of its intervals …
LATE_S = 60.0  # … and than this; in seconds


@dataclass(frozen=True)
class JobState:
    """One job. ``age_s``: seconds since it last came to its end well, None when it never did."""

    vertical: str
    job: str
    seconds: float
    running: bool
    succeeded: datetime | None
    age_s: float | None
    failed_in_a_row: int
    error: str | None
    late: bool


@dataclass(frozen=True)
class QueueState:
    """One queue. ``age_s``: of the first in it; ``late``: longer than it should take us."""

    vertical: str
    name: str
    waiting: int
    oldest: datetime | None
    age_s: float | None
    late: bool


@dataclass(frozen=True)
class Training:
    """The newest version in the registry."""

    model: str
    version: int
    created: datetime
    age_s: float


@dataclass(frozen=True)
class Status:
    """Everything, and in ``problems`` a sentence for each thing that somebody should see to."""

    time: datetime
    database: str  # sqlite or postgresql
    worker_active: bool
    worker: str | None
    worker_since: datetime | None
    heartbeat_age_s: float | None
    jobs: tuple[JobState, ...]
    queues: tuple[QueueState, ...]
    training: Training | None
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there is nothing to see to."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Plain values, times in ISO 8601, ages in seconds."""
        found = _plain({**asdict(self), "ok": self.ok})
        assert isinstance(found, dict)
        return found


def status(
    engine: Engine,
    settings: Settings,
    now: datetime | None = None,
    verticals: Mapping[str, Callable[[], Vertical]] | None = None,
    training: bool = True,
) -> Status:
    """Ask everything once. ``training``: also the registry, which takes seconds when it is asked for the first time.

    ``verticals`` are those installed unless given. A part that cannot be asked becomes a problem of its own.
    Raises what the database raises when it cannot be reached.
    """
    now = now or utc_now()
    work = jobs.status(engine, now)
    problems: list[str] = []
    if not work.active:
        problems.append("no worker is active; start one: headwater worker.")
    states = tuple(_job(job, now, work.since) for job in work.jobs)
    for one in states:
        if one.failed_in_a_row:
            problems.append(f"{one.vertical}.{one.job} failed {one.failed_in_a_row} times in a row: {one.error}")
        elif one.late:
            last = "never came to its end" if one.age_s is None else f"last came to its end {_span(one.age_s)} ago"
            problems.append(f"{one.vertical}.{one.job} is late: it {last} and is due every {_span(one.seconds)}.")
    waiting = _queues(engine, now, verticals, problems)
    trained = None
    if training:
        try:
            trained = _training(settings, now)
        except (InputError, OSError) as error:
            problems.append(f"the model registry cannot be read: {error}")
    heartbeat = None if work.heartbeat is None else max(0.0, (now - work.heartbeat).total_seconds())
    return Status(
        now,
        engine.dialect.name,
        work.active,
        work.holder,
        work.since,
        heartbeat,
        states,
        waiting,
        trained,
        tuple(problems),
    )


def _job(job: jobs.JobStatus, now: datetime, working_since: datetime | None) -> JobState:
    age = None if job.succeeded is None else max(0.0, (now - job.succeeded).total_seconds())
    # What was not done while no worker was there is not this one's fault; and without one, that sentence says it all.
    begun = None if working_since is None else max(working_since, job.succeeded or working_since)
    late = begun is not None and (now - begun).total_seconds() > max(LATE * job.seconds, LATE_S)
    return JobState(
        job.vertical,
        job.job,
        job.seconds,
        job.running,
        job.succeeded,
        age,
        job.in_a_row,
        job.error if job.in_a_row else None,
        late,
    )


def _queues(
    engine: Engine, now: datetime, verticals: Mapping[str, Callable[[], Vertical]] | None, problems: list[str]
) -> tuple[QueueState, ...]:
    from core import vertical as contract

    there = set(inspect(engine).get_table_names())
    found: list[QueueState] = []
    for name in contract.installed() if verticals is None else verticals:
        try:
            vertical = contract.load(name) if verticals is None else verticals[name]()
            if vertical.queues is None:
                continue
            if vertical.tables is not None and not set(vertical.tables().tables) <= there:
                continue  # it was never used with this database
            for queue in vertical.queues(engine, now):
                age = None if queue.oldest is None else max(0.0, (now - queue.oldest).total_seconds())
                late = queue.patience_s is not None and age is not None and age > queue.patience_s
                found.append(QueueState(name, queue.name, queue.waiting, queue.oldest, age, late))
                if late and age is not None:
                    problems.append(f"{name}: {queue.waiting} {queue.name}, the oldest for {_span(age)}.")
        except SQLAlchemyError:
            raise
        except Exception as error:
            problems.append(f"{name}: its queues cannot be counted ({type(error).__name__}).")
    return tuple(found)


def _training(settings: Settings, now: datetime) -> Training | None:
    from core.serving.tracking_server import sqlite_file

    file = sqlite_file(settings.mlflow_uri)
    if file is not None and not file.exists():
        return None  # asking would create it
    from core.serving.registry import Registry

    versions = [version for model in Registry(settings).list() for version in model.versions]
    if not versions:
        return None
    newest = max(versions, key=lambda version: version.created)
    return Training(newest.name, newest.version, newest.created, max(0.0, (now - newest.created).total_seconds()))


def text(found: Mapping[str, Any]) -> str:
    """For people, from ``to_dict``."""
    beat = found["heartbeat_age_s"]
    worker = f"active ({found['worker']}), heartbeat {_span(beat)} ago" if found["worker_active"] else "none active"
    trained = found["training"]
    lines = [
        f"database  {found['database']}",
        f"worker    {worker}",
        "training  "
        + (f"{trained['model']}:{trained['version']}, {_span(trained['age_s'])} ago" if trained else "none yet"),
    ]
    for job in found["jobs"]:
        age = "never yet" if job["age_s"] is None else f"{_span(job['age_s'])} ago"
        mark = "failing" if job["failed_in_a_row"] else "late" if job["late"] else "running" if job["running"] else ""
        lines.append(f"job       {job['vertical'] + '.' + job['job']:<28} {age:<12} {mark}".rstrip())
    for queue in found["queues"]:
        age = "" if queue["age_s"] is None else f"oldest {_span(queue['age_s'])}"
        lines.append(f"queue     {queue['vertical'] + ': ' + queue['name']:<42} {queue['waiting']:>6}  {age}".rstrip())
    lines += [f"problem   {problem}" for problem in found["problems"]]
    return "\n".join(lines if found["problems"] else [*lines, "all is well."])


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return round(value, 1) if isinstance(value, float) else value
