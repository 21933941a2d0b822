"""The status: ages, what is late, what waits, and that a broken part does not hide the others."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table

from core.cli import main
from core.operations.lease import Lease
from core.operations.status import Status, status, text
from core.operations.worker import Worker
from core.operations.worker_settings import WorkerSettings
from core.settings import get_settings
from core.vertical import Job, Queue, Vertical

Ask = Callable[..., Status]


def nothing() -> None:
    return None


def fail() -> None:
    raise RuntimeError("the feed is gone")


@pytest.fixture
def ask(engine: Engine, clock: Any) -> Ask:
    """``ask(shop, training=False)``: the status with these applications, at the clock's time."""

    def made(*verticals: Vertical, **options: Any) -> Status:
        known = {one.name: lambda one=one: one for one in verticals}
        return status(engine, get_settings(), clock(), known, **{"training": False, **options})

    return made


@pytest.fixture
def work(engine: Engine, clock: Any) -> Callable[..., Lease]:
    """``work(poll=nothing)``: a worker that ran these jobs once; its lease, held."""

    def made(seconds: float = 10, **jobs: Callable[[], None]) -> Lease:
        lease = Lease(engine, clock=clock, monotonic=clock.monotonic)
        known = {("shop", name): Job(name, run, seconds) for name, run in jobs.items()}
        Worker(engine, known, settings=WorkerSettings(), clock=clock, lease=lease).run_once()
        assert lease.acquire() is not None
        return lease

    return made


def shop(*queues: Queue, tables: MetaData | None = None) -> Vertical:
    def waiting(engine: Engine, now: datetime) -> Sequence[Queue]:
        return queues

    return Vertical("shop", "a test", queues=waiting, tables=None if tables is None else lambda: tables)


def test_nothing_ever_ran(ask: Ask, engine: Engine) -> None:
    found = ask()
    assert (found.worker_active, found.jobs, found.queues, found.training) == (False, (), (), None)
    assert found.problems == ("no worker is active; start one: headwater worker.",) and not found.ok
    assert found.database == engine.dialect.name


def test_ages_of_jobs(ask: Ask, work: Any, clock: Any) -> None:
    work(poll=nothing)
    clock.pass_(12)
    found = ask()
    (job,) = found.jobs
    assert (job.vertical, job.job, job.age_s, job.late, job.failed_in_a_row) == ("shop", "poll", 12.0, False, 0)
    assert found.ok and found.worker_active and found.heartbeat_age_s == 12.0


def test_a_job_that_fails_says_why(ask: Ask, work: Any) -> None:
    work(poll=fail)
    found = ask()
    assert found.problems == ("shop.poll failed 1 times in a row: RuntimeError: the feed is gone",)
    assert found.jobs[0].age_s is None and not found.jobs[0].late


def test_a_job_is_late_after_three_intervals_and_a_minute(ask: Ask, work: Any, clock: Any) -> None:
    lease = work(poll=nothing)
    for passed, late in ((60, False), (61, True)):
        while (clock.now - lease_began(clock)).total_seconds() < passed:
            clock.pass_(1)
            lease.renew()
        assert ask().jobs[0].late is late
    assert ask().problems == ("shop.poll is late: it last came to its end 61 s ago and is due every 10 s.",)


def test_a_long_interval_is_not_late_after_a_minute(ask: Ask, work: Any, clock: Any) -> None:
    lease = work(seconds=100, prune=nothing)
    for _ in range(30):
        clock.pass_(10)
        lease.renew()
    assert ask().ok
    clock.pass_(1)
    assert ask().jobs[0].late


def test_a_new_worker_is_not_blamed_for_the_night(ask: Ask, work: Any, clock: Any, engine: Engine) -> None:
    work(poll=nothing).release()
    clock.pass_(8 * 3600)
    assert ask().problems == ("no worker is active; start one: headwater worker.",)
    assert Lease(engine, clock=clock, monotonic=clock.monotonic).acquire() is not None
    assert ask().ok and ask().jobs[0].age_s == 8 * 3600.0


def lease_began(clock: Any) -> datetime:
    return datetime(2026, 3, 1, 12, tzinfo=clock.now.tzinfo)


def test_queues_and_their_patience(ask: Ask, work: Any, clock: Any) -> None:
    work(poll=nothing)
    then = clock.now - timedelta(seconds=90)
    found = ask(shop(Queue("orders", 3, then, 60), Queue("reviews", 9, then), Queue("mails", 0, None, 60)))
    assert [(q.name, q.waiting, q.age_s, q.late) for q in found.queues] == [
        ("orders", 3, 90.0, True),
        ("reviews", 9, 90.0, False),
        ("mails", 0, None, False),
    ]
    assert found.problems == ("shop: 3 orders, the oldest for 90 s.",)


def test_an_application_that_never_used_this_database_is_not_asked(ask: Ask, engine: Engine) -> None:
    tables = MetaData()
    Table("shop_orders", tables, Column("id", Integer, primary_key=True))
    assert ask(shop(Queue("orders", 1), tables=tables)).queues == ()
    tables.create_all(engine)
    assert len(ask(shop(Queue("orders", 1), tables=tables)).queues) == 1


def test_a_broken_application_does_not_hide_the_others(ask: Ask) -> None:
    def broken(engine: Engine, now: datetime) -> Sequence[Queue]:
        raise RuntimeError("a customer's words")

    found = ask(Vertical("odd", "a test", queues=broken), shop(Queue("orders", 1)))
    assert [q.vertical for q in found.queues] == ["shop"]
    assert "odd: its queues cannot be counted (RuntimeError)." in found.problems
    assert "customer" not in str(found)


def test_the_last_training(ask: Ask, tracked_var: Any, tiny_model: Any, clock: Any) -> None:
    from core.serving.registry import Registry

    assert ask(training=True).training is None
    Registry(get_settings()).register("topics", tiny_model, {}, (tiny_model / "recipe.toml").read_text(), "f" * 12)
    found = ask(training=True).training
    assert found is not None and (found.model, found.version) == ("topics", 1)


def test_no_registry_is_made_by_asking(ask: Ask) -> None:
    assert ask(training=True).training is None
    assert not (get_settings().var / "mlflow.db").exists()


def test_the_applications_of_this_package_can_be_asked(engine: Engine) -> None:
    from core.operations.database import open_database
    from core.vertical import load

    for name in ("finance", "support"):
        open_database(load(name).tables()).dispose()
    found = status(engine, get_settings(), training=False)
    assert {(q.vertical, q.name): q.waiting for q in found.queues} == {
        ("finance", "messages to send"): 0,
        ("finance", "messages that a receiver refused"): 0,
        ("finance", "articles to label"): 0,
        ("support", "proposals to review"): 0,
    }
    assert not [problem for problem in found.problems if "queues" in problem]


def test_plain_values_and_words(ask: Ask, work: Any, clock: Any) -> None:
    work(poll=nothing)
    clock.pass_(7200)
    plain = ask(shop(Queue("orders", 2, clock.now))).to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["time"] == "2026-03-01T14:00:00+00:00" and plain["jobs"][0]["age_s"] == 7200.0
    words = text(plain)
    assert "shop.poll" in words and "2 h ago" in words and "shop: orders" in words and "none active" in words


def test_the_command(private_var: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json"]) == 1
    assert json.loads(capfd.readouterr().out)["worker_active"] is False
    assert main(["status"]) == 1
    assert "problem   no worker is active" in capfd.readouterr().out
