"""The worker: runs the jobs of all installed verticals, in one process at a time.

It takes the lease (``core.operations.lease``), keeps its heartbeat, and runs what is due; without the lease it stands
by and takes over when the holder falls silent. A failing job is recorded and tried again at its next time; it stops
nothing else. ``core.operations.jobs.status`` tells others how it goes.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from core.access.audit import acting_as
from core.errors import InputError
from core.operations.jobs import LOADING, JobStatus, Ledger, WorkerStatus, status
from core.operations.lease import Grant, Lease, LeaseLost, utc_now, working_under
from core.operations.schedule import Key, Schedule
from core.operations.tracing import JobSpan, no_span
from core.operations.wheels import wheel_jobs
from core.operations.worker_settings import WorkerSettings
from core.vertical import Job, Vertical

__all__ = ["JobStatus", "Worker", "WorkerStatus", "installed_jobs", "status"]

_log = logging.getLogger("headwater.worker")


def installed_jobs(
    verticals: Mapping[str, Callable[[], Vertical]] | None = None,
) -> tuple[dict[Key, Job], dict[str, Exception]]:
    """The jobs of all verticals by (vertical, job), and why some vertical's cannot be known."""
    from core import vertical as contract

    found: dict[Key, Job] = {}
    broken: dict[str, Exception] = {}
    for name in contract.installed() if verticals is None else verticals:
        try:
            vertical = contract.load(name) if verticals is None else verticals[name]()
            turning = wheel_jobs(name, vertical.wheels()) if vertical.wheels is not None else ()
            for job in (*(vertical.jobs() if vertical.jobs is not None else ()), *turning):
                if (name, job.name) in found:
                    raise InputError(f"vertical {name!r} brings the job {job.name!r} twice; rename one.")
                found[name, job.name] = job
        except Exception as error:
            broken[name] = error
            found = {key: job for key, job in found.items() if key[0] != name}
    return found, broken


class Worker:
    """One process that works or stands by.

    ``clock`` gives the time of heartbeats and records; ``lease`` is made from the settings unless given;
    ``span(vertical, job)`` is around each run.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Mapping[Key, Job],
        broken: Mapping[str, Exception] | None = None,
        settings: WorkerSettings | None = None,
        clock: Callable[[], datetime] = utc_now,
        lease: Lease | None = None,
        span: JobSpan = no_span,
    ) -> None:
        self._jobs, self._broken = dict(jobs), dict(broken or {})
        self._settings = settings or WorkerSettings()
        self._clock, self._span = clock, span
        self.lease = lease or Lease(engine, seconds=self._settings.lease_s, clock=clock)
        self._engine, self._ledger = engine, Ledger(engine)
        self._running: set[Key] = set()
        self._failing: set[Key] = set()
        self._changed = threading.Condition()

    @property
    def running(self) -> tuple[Key, ...]:
        """The jobs that run at this moment."""
        with self._changed:
            return tuple(sorted(self._running))

    def serve(self, stop: threading.Event, beat: Path | None = None) -> int:
        """Work or stand by until ``stop``; the file ``beat`` is touched at each heartbeat.

        Returns 0 after a stop, 1 when the lease was lost or scheduling broke down: then the process must end,
        also while a job (see ``running``) still goes on, and may be started anew.
        """
        standing_by = False
        while not stop.is_set():
            try:
                grant = self.lease.acquire()
            except SQLAlchemyError as error:
                _log.error("the database does not answer (%s); trying again", type(error).__name__)
                grant = None
            else:
                _touch(beat)
            if grant is not None:
                return self._work(grant, stop, beat)
            if not standing_by:
                _log.info("standing by: another worker is active")
                standing_by = True
            stop.wait(self._settings.heartbeat_s)
        return 0

    def run_once(self) -> dict[Key, bool]:
        """Run every job once, in order, under the lease; whether each came to its end.

        Raises InputError while another worker is active.
        """
        grant = self.lease.acquire()
        if grant is None:
            raise InputError("another worker is active; stop it first, or let it do the work.")
        done = threading.Event()
        beats = threading.Thread(target=self._keep, args=(done,), daemon=True)
        beats.start()
        try:
            self._expect()
            return {key: self._run(*key) for key in self._jobs}
        finally:
            done.set()
            beats.join()
            self.lease.release()

    def _work(self, grant: Grant, stop: threading.Event, beat: Path | None) -> int:
        _log.info("active with token %d: %d jobs", grant.token, len(self._jobs))
        schedule = Schedule(
            self._engine, self._run_quietly, self._missed, self._settings.threads, self._settings.grace_s
        )
        try:
            self._expect()
            schedule.start({key: job.seconds for key, job in self._jobs.items()}, self._clock())
            while not stop.wait(self._settings.heartbeat_s):
                if not self._beat():
                    _log.error("the lease was lost to another worker; ending, with %d jobs running", len(self.running))
                    return 1
                _touch(beat)
                if not schedule.alive:
                    _log.error("the scheduler has stopped; ending")
                    return 1
                try:
                    schedule.straighten(self._clock())
                except SQLAlchemyError as error:
                    _log.error("the schedule cannot be read (%s); trying again", type(error).__name__)
            schedule.pause()
            self._drain(beat)
            self.lease.release()
            return 0
        except SQLAlchemyError as error:
            _log.error("the database failed while starting or stopping: %s", type(error).__name__)
            return 1
        finally:
            schedule.shutdown()

    def _beat(self) -> bool:
        """Renew the lease; False when it is lost, True while the database is silent but the lease still lasts."""
        try:
            return self.lease.renew()
        except SQLAlchemyError as error:
            _log.error("no heartbeat could be written (%s)", type(error).__name__)
            return self.lease.grant is not None

    def _keep(self, done: threading.Event) -> None:
        while not done.wait(self._settings.heartbeat_s) and self._beat():
            pass

    def _drain(self, beat: Path | None) -> None:
        """Let running jobs come to their end, for a while; the lease is kept meanwhile."""
        end = time.monotonic() + self._settings.stop_s
        while self.running and (left := end - time.monotonic()) > 0:
            with self._changed:
                self._changed.wait(min(left, self._settings.heartbeat_s))
            if not self._beat():
                return
            _touch(beat)
        for vertical, job in self.running:
            _log.error("%s.%s did not end within %g s and is cut off", vertical, job, self._settings.stop_s)

    def _expect(self) -> None:
        loading = {(name, LOADING): 0.0 for name in self._broken}
        self._ledger.expect({**{key: job.seconds for key, job in self._jobs.items()}, **loading})
        for name, error in self._broken.items():
            _log.error("%s brings no jobs: %s", name, error)
            self._ledger.failed(name, LOADING, self._clock(), 0, error)

    def _missed(self, vertical: str, job: str) -> None:
        if (vertical, job) in self.running:
            _log.info("%s.%s is still at its last run", vertical, job)
        else:
            _log.warning("%s.%s missed its time", vertical, job)
        self._ledger.missed(vertical, job, self._clock())

    def _run_quietly(self, vertical: str, job: str) -> None:
        try:
            self._run(vertical, job)
        except LeaseLost as lost:
            _log.error("%s.%s: %s", vertical, job, lost)
        except SQLAlchemyError as error:
            _log.error("%s.%s: its run could not be recorded (%s)", vertical, job, type(error).__name__)

    def _run(self, vertical: str, name: str) -> bool:
        """Run a job if the lease is held, and record how it went; True when it came to its end."""
        grant, key = self.lease.grant, (vertical, name)
        if grant is None:
            raise LeaseLost("the lease is not held; the run is left to another worker")
        with self._changed:
            self._running.add(key)
        began = time.monotonic()
        try:
            with working_under(grant), acting_as("worker", "worker"):
                self._ledger.started(vertical, name, self._clock())
                try:
                    with self._span(vertical, name):
                        self._jobs[key].run()
                except LeaseLost:
                    raise
                except (Exception, SystemExit) as error:
                    # Once is an error to look at; the same again and again would only hide the next one.
                    level = logging.WARNING if key in self._failing else logging.ERROR
                    self._failing.add(key)
                    _log.log(level, "%s.%s failed: %s at %s", vertical, name, type(error).__name__, _where(error))
                    self._ledger.failed(vertical, name, self._clock(), time.monotonic() - began, error)
                    return False
                self._failing.discard(key)
                self._ledger.succeeded(vertical, name, self._clock(), time.monotonic() - began)
                return True
        finally:
            with self._changed:
                self._running.discard(key)
                self._changed.notify_all()


def _where(error: BaseException) -> str:
    """The places an exception went through; its message may hold somebody's words and is kept in the database."""
    frames = traceback.extract_tb(error.__traceback__)
    own = ([frame for frame in frames if "site-packages" not in frame.filename] or frames)[-5:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(own))


def _touch(path: Path | None) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
