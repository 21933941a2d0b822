"""The jobs' times, kept in the database by APScheduler, so that a daily job does not start over at every restart."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import Engine

from core.operations.tables import schedule as table

Key = tuple[str, str]  # vertical, job


def run_job(vertical: str, job: str) -> None:
    """Run a job of an installed vertical once: what the job store's rows refer to. Raises what the job raises."""
    from core.errors import InputError
    from core.vertical import load

    hook = load(vertical).jobs
    for found in hook() if hook is not None else ():
        if found.name == job:
            return found.run()
    raise InputError(f"vertical {vertical!r} has no job {job!r} any more.")


class _Executor(ThreadPoolExecutor):
    """Runs jobs by the worker's own function, which knows the lease; the stored reference only names them."""

    def __init__(self, run: Callable[[str, str], None], threads: int) -> None:
        super().__init__(threads, {"thread_name_prefix": "job"})
        self._run = run

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        run = self._run
        job.func = lambda vertical, name: run(vertical, name)
        super()._do_submit_job(job, run_times)


class _Scheduler(BackgroundScheduler):
    """Begins nothing once it is closing: the library looks for due jobs once more after its executor has ended."""

    closing = False

    def _process_jobs(self) -> float | None:
        return None if self.closing else super()._process_jobs()


class Schedule:
    """When which job is due. ``run(vertical, job)`` is called in a thread, never twice at once for one job.

    ``missed(vertical, job)`` is called for a run that did not happen. A run missed several times is made up once.
    """

    def __init__(
        self,
        engine: Engine,
        run: Callable[[str, str], None],
        missed: Callable[[str, str], None],
        threads: int,
        grace_s: float,
    ) -> None:
        self._missed, self._grace_s = missed, grace_s
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it repeats what the ledger says
        self._scheduler = _Scheduler(
            jobstores={"default": SQLAlchemyJobStore(engine=engine, tablename=table.name)},
            executors={"default": _Executor(run, threads)},
            job_defaults={"coalesce": True, "max_instances": 1},
            timezone="UTC",
        )
        self._scheduler.add_listener(self._on_missed, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)

    def start(self, jobs: Mapping[Key, float], now: datetime) -> None:
        """Begin to run these jobs, (vertical, job) -> seconds. New and overdue ones are due at once."""
        self._scheduler.start(paused=True)
        wanted = {_id(key): (key, seconds) for key, seconds in jobs.items()}
        there = {job.id: job for job in self._scheduler.get_jobs()}
        for name in there.keys() - wanted.keys():
            self._scheduler.remove_job(name)
        for name, (key, seconds) in wanted.items():
            job = there.get(name)
            if job is None or _seconds(job) != seconds:
                self._scheduler.add_job(
                    run_job,
                    "interval",
                    args=key,
                    id=name,
                    seconds=seconds,
                    next_run_time=now,
                    misfire_grace_time=max(1, round(max(self._grace_s, seconds))),
                    replace_existing=True,
                )
                continue
            due = job.next_run_time
            if due is None or due <= now:
                if due is not None and now - due > timedelta(seconds=seconds):
                    self._missed(*key)
                job.modify(next_run_time=now)
        self.straighten(now)
        self._scheduler.resume()

    def straighten(self, now: datetime) -> None:
        """Bring back what a clock that was set back has put out of reach, and look at once for what is due."""
        for job in self._scheduler.get_jobs():
            due = job.next_run_time
            if due is not None and due - now > timedelta(seconds=_seconds(job) + 1):
                job.modify(next_run_time=now)
        self._scheduler.wakeup()

    @property
    def alive(self) -> bool:
        """Whether the scheduler's own thread is still there; a lost database can end it."""
        thread = getattr(self._scheduler, "_thread", None)
        return thread is not None and thread.is_alive()

    def pause(self) -> None:
        """Begin no further run."""
        self._scheduler.closing = True
        self._scheduler.pause()

    def shutdown(self) -> None:
        """End without waiting for runs."""
        self._scheduler.closing = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _on_missed(self, event: Any) -> None:
        vertical, _, job = event.job_id.partition(":")
        self._missed(vertical, job)


def _id(key: Key) -> str:
    return f"{key[0]}:{key[1]}"


def _seconds(job: Any) -> float:
    return float(job.trigger.interval.total_seconds())
