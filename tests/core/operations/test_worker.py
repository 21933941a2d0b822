"""The worker: runs what is due, survives failing jobs, stops in order, and is only one."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from core.cli import main
from core.errors import InputError
from core.operations.jobs import LOADING, describe
from core.operations.lease import Lease
from core.operations.tables import jobs as job_table
from core.operations.tables import leases, schedule
from core.operations.worker import Worker, installed_jobs, status
from core.operations.worker_settings import WorkerSettings
from core.settings import PROJECT_ROOT
from core.vertical import Job, Vertical

QUICK = WorkerSettings(heartbeat_s=0.05, lease_s=30, stop_s=30, threads=3)
PATIENCE = 60  # seconds a test waits for what must come; nothing is judged by time


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


class Running:
    """A worker in a thread."""

    def __init__(self, engine: Engine, *jobs: Job, settings: WorkerSettings = QUICK, **others: object) -> None:
        known = {("shop", job.name): job for job in jobs}
        self.worker = Worker(engine, known, settings=settings, **others)  # type: ignore[arg-type]
        self.halt, self.code = threading.Event(), -1
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        self.code = self.worker.serve(self.halt)

    def stop(self) -> int:
        self.halt.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        return self.code


def test_jobs_run_again_and_again_and_a_failing_one_stops_no_other(engine: Engine) -> None:
    ran: list[int] = []

    def fail() -> None:
        raise ValueError("no such shelf")

    def leave() -> None:
        sys.exit(3)

    running = Running(engine, Job("bad", fail, 0.1), Job("exit", leave, 0.1), Job("good", lambda: ran.append(1), 0.1))
    until(lambda: len(ran) >= 3)
    until(lambda: all(job.runs >= 2 for job in status(engine).jobs))
    found = status(engine)
    assert running.stop() == 0
    assert found.active and found.holder == running.worker.lease.holder
    bad, left, good = found.jobs
    assert (bad.job, bad.error, bad.succeeded) == ("bad", "ValueError: no such shelf", None)
    assert left.error == "SystemExit: 3" and {job.job for job in found.failing} == {"bad", "exit"}
    assert good.succeeded is not None and good.error is None and good.failures == 0 and good.next_run is not None
    assert not status(engine).active, "a worker that stopped says so at once"
    assert found.to_dict()["jobs"][2]["job"] == "good"


def test_a_job_is_never_run_twice_at_once(sqlite: Engine) -> None:
    now, most, runs, lock = 0, 0, 0, threading.Lock()

    def slow() -> None:
        nonlocal now, most, runs
        with lock:
            now, runs = now + 1, runs + 1
            most = max(most, now)
        time.sleep(0.3)
        with lock:
            now -= 1

    running = Running(sqlite, Job("slow", slow, 0.05))
    until(lambda: runs >= 3 and status(sqlite).jobs[0].missed > 0)
    assert running.stop() == 0
    assert most == 1


def test_a_stop_lets_the_running_job_end(sqlite: Engine) -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def long() -> None:
        begun.set()
        go.wait(PATIENCE)
        ended.set()

    running = Running(sqlite, Job("long", long, 100))
    assert begun.wait(PATIENCE)
    running.halt.set()
    time.sleep(0.2)
    assert running.thread.is_alive() and status(sqlite).active, "it keeps the lease while its job goes on"
    go.set()
    assert running.stop() == 0
    assert ended.is_set() and status(sqlite).jobs[0].succeeded is not None


def test_a_job_that_does_not_end_is_left_after_a_while(sqlite: Engine) -> None:
    begun, go = threading.Event(), threading.Event()
    settings = QUICK.model_copy(update={"stop_s": 0.2})
    running = Running(sqlite, Job("stuck", lambda: begun.set() or go.wait(PATIENCE) and None, 100), settings=settings)
    assert begun.wait(PATIENCE)
    assert running.stop() == 0
    assert running.worker.running == (("shop", "stuck"),), "so that the process knows it must leave hard"
    go.set()


def test_the_second_stands_by_and_takes_over(engine: Engine) -> None:
    first_ran, second_ran = threading.Event(), threading.Event()
    first = Running(engine, Job("job", first_ran.set, 0.1))
    assert first_ran.wait(PATIENCE)
    second = Running(engine, Job("job", second_ran.set, 0.1))
    time.sleep(0.3)
    assert not second_ran.is_set()
    assert first.stop() == 0
    assert second_ran.wait(PATIENCE)
    assert second.stop() == 0
    assert second.worker.lease.grant is None


def test_who_lost_the_lease_ends_and_runs_nothing_more(engine: Engine) -> None:
    runs = 0

    def count() -> None:
        nonlocal runs
        runs += 1

    running = Running(engine, Job("job", count, 0.1))
    until(lambda: runs > 0)
    with engine.begin() as connection:  # as one that took over while this process was asleep
        connection.execute(update(leases).values(holder="other", token=leases.c.token + 1))
    running.thread.join(PATIENCE)
    assert running.code == 1
    before = runs
    time.sleep(0.3)
    assert runs == before
    with engine.connect() as connection:
        assert connection.execute(select(leases.c.holder)).scalar() == "other"


def test_a_run_that_outlives_the_lease_cannot_say_it_succeeded(sqlite: Engine) -> None:
    begun, go = threading.Event(), threading.Event()
    running = Running(sqlite, Job("job", lambda: begun.set() or go.wait(PATIENCE) and None, 100))
    assert begun.wait(PATIENCE)
    with sqlite.begin() as connection:
        connection.execute(update(leases).values(holder="other", token=leases.c.token + 1))
    running.thread.join(PATIENCE)
    go.set()
    until(lambda: running.worker.running == ())
    assert status(sqlite).jobs[0].succeeded is None


def set_due(engine: Engine, name: str, at: datetime) -> None:
    with engine.begin() as connection:
        connection.execute(update(schedule).where(schedule.c.id == name).values(next_run_time=at.timestamp()))


def test_a_restart_keeps_the_times_and_makes_up_for_the_night(sqlite: Engine) -> None:
    runs = {"daily": 0, "hourly": 0}

    def job(name: str, seconds: float) -> Job:
        return Job(name, lambda: runs.update({name: runs[name] + 1}), seconds)

    both = job("daily", 86_400), job("hourly", 3600)
    first = Running(sqlite, *both)
    until(lambda: runs == {"daily": 1, "hourly": 1})
    first.stop()
    again = Running(sqlite, *both)
    until(lambda: status(sqlite).active)
    again.stop()
    assert runs == {"daily": 1, "hourly": 1}, "what was not due is not run by a restart"

    # The stored job carries its time as well; the scheduler is asked to move it, as a night does.
    from core.operations.schedule import Schedule

    sleeping = Schedule(sqlite, lambda *_: None, lambda *_: None, 1, 60)
    sleeping._scheduler.start(paused=True)
    sleeping._scheduler.modify_job("shop:hourly", next_run_time=datetime.now(UTC) - timedelta(hours=9))
    sleeping.shutdown()
    morning = Running(sqlite, *both)
    until(lambda: runs["hourly"] == 2)
    morning.stop()
    hourly = status(sqlite).jobs[1]
    assert (runs, hourly.missed) == ({"daily": 1, "hourly": 2}, 1), "nine missed runs are made up for by one"
    assert hourly.last_missed is not None


def test_a_clock_that_is_set_back_does_not_stop_the_jobs(sqlite: Engine) -> None:
    from core.operations.schedule import Schedule

    ran = threading.Event()
    table = Schedule(sqlite, lambda *_: ran.set(), lambda *_: None, 1, 60)
    now = datetime.now(UTC)
    table.start({("shop", "job"): 60.0}, now + timedelta(days=365))
    assert not ran.wait(0.2)
    table.straighten(now)
    assert ran.wait(PATIENCE)
    table.shutdown()


def test_jobs_that_are_gone_leave_the_schedule_and_changed_ones_their_times(sqlite: Engine) -> None:
    ran = threading.Event()
    first = Running(sqlite, Job("old", lambda: None, 100), Job("slow", lambda: None, 86_400))
    until(lambda: all(job.runs for job in status(sqlite).jobs) and len(status(sqlite).jobs) == 2)
    first.stop()
    second = Running(sqlite, Job("slow", ran.set, 5))
    assert ran.wait(PATIENCE), "its interval changed: it is due at once"
    second.stop()
    assert [(job.job, job.seconds) for job in status(sqlite).jobs] == [("slow", 5)]
    with sqlite.connect() as connection:
        assert connection.execute(select(schedule.c.id)).scalars().all() == ["shop:slow"]


def test_a_vertical_that_cannot_be_loaded_is_named(sqlite: Engine) -> None:
    def broken() -> Vertical:
        raise InputError("vertical 'toys' cannot be loaded: no module.")

    shop = Vertical("shop", "", jobs=lambda: [Job("job", lambda: None, 5)])
    jobs, why = installed_jobs({"shop": lambda: shop, "toys": broken})
    assert list(jobs) == [("shop", "job")]
    worker = Worker(sqlite, jobs, why, settings=QUICK)
    assert worker.run_once() == {("shop", "job"): True}
    named = next(job for job in status(sqlite).jobs if job.vertical == "toys")
    assert named.job == LOADING and "no module" in str(named.error)
    with sqlite.begin() as connection:
        assert connection.execute(select(job_table.c.runs).where(job_table.c.job == "job")).scalar() == 1


def test_once_is_refused_beside_an_active_worker(sqlite: Engine) -> None:
    Lease(sqlite).acquire()
    with pytest.raises(InputError, match="another worker is active"):
        Worker(sqlite, {}, settings=QUICK).run_once()


def test_an_error_is_kept_short_and_without_parameters(sqlite: Engine) -> None:
    with pytest.raises(Exception) as caught, sqlite.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM nowhere WHERE a = ?", ("a customer's words",))
    assert describe(caught.value) == "OperationalError: no such table: nowhere"
    assert len(describe(ValueError("x" * 1000))) == 300


SHOP = """
    import os, time
    from pathlib import Path
    from core.vertical import Job, Vertical

    def note():
        with Path(os.environ["NOTES"]).open("a") as stream:
            stream.write(f"{os.getpid()}\\n")
            stream.flush()
        time.sleep(float(os.environ.get("NAP", "0")))

    vertical = Vertical("shop", "a shop", jobs=lambda: [Job("note", note, 0.3)])
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder from which an application ``shop`` is installed, whose job notes the process it ran in."""
    site = tmp_path / "site"
    info = site / "shop-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "shop.py").write_text(textwrap.dedent(SHOP))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[headwater.verticals]\nshop = shop:vertical\n")
    return site


def test_killed_it_is_replaced_and_told_to_stop_it_ends(shop: Path, tmp_path: Path, private_var: Path) -> None:
    notes = tmp_path / "notes"
    environment = {
        **os.environ,
        "PYTHONPATH": str(shop),
        "NOTES": str(notes),
        "HEADWATER_ONLY": "shop",  # the built-in applications would only take time
        "HEADWATER_WORKER_HEARTBEAT_S": "0.1",
        "HEADWATER_WORKER_LEASE_S": "2",
    }

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "core.cli", "worker"], env=environment, cwd=PROJECT_ROOT)

    def ran_in() -> list[str]:
        return notes.read_text().split() if notes.exists() else []

    first = start()
    try:
        until(lambda: str(first.pid) in ran_in())
        second = start()
        first.kill()
        first.wait()
        until(lambda: str(second.pid) in ran_in())
        second.send_signal(signal.SIGTERM)
        assert second.wait(PATIENCE) == 0
    finally:
        for process in (first, second):
            process.kill()
    order = ran_in()
    assert order == sorted(order, key=lambda pid: pid != str(first.pid)), "they never worked at the same time"


def test_status_command(sqlite: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "--status"]) == 1
    assert "no worker is active" in capfd.readouterr().out
    Lease(sqlite).acquire()
    assert main(["worker", "--status", "--json"]) == 0
    assert '"active": true' in capfd.readouterr().out
