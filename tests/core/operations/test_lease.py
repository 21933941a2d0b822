"""The lease: one holder, takeover, and a fence against a holder that was asleep."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, insert, select

from core.operations.lease import Grant, Lease, LeaseLost, fence, working_under
from core.operations.tables import leases
from tests.core.operations.conftest import Clock


def make(engine: Engine, clock: Clock, holder: str) -> Lease:
    return Lease(engine, seconds=30, clock=clock, monotonic=clock.monotonic, holder=holder)


def test_one_holds_it_and_the_other_waits(engine: Engine, clock: Clock) -> None:
    first, second = make(engine, clock, "a"), make(engine, clock, "b")
    assert first.acquire() == Grant("worker", 1)
    assert second.acquire() is None
    clock.pass_(29)
    assert first.renew()
    clock.pass_(29)
    assert second.acquire() is None, "58 s after it was taken, but 29 after the last heartbeat"


def test_a_silent_holder_is_taken_over_and_notices(engine: Engine, clock: Clock) -> None:
    first, second = make(engine, clock, "a"), make(engine, clock, "b")
    first.acquire()
    clock.pass_(31)
    assert first.grant is None, "without a heartbeat it does not trust itself"
    assert second.acquire() == Grant("worker", 2)
    assert not first.renew()
    assert first.grant is None and second.grant == Grant("worker", 2)
    first.release()
    assert second.renew(), "a late release of the old holder must not end the new one"


def test_a_silent_holder_that_nobody_replaced_goes_on(engine: Engine, clock: Clock) -> None:
    lease = make(engine, clock, "a")
    lease.acquire()
    clock.pass_(3600)
    assert lease.renew() and lease.grant == Grant("worker", 1)


def test_release_lets_the_next_one_in_at_once(engine: Engine, clock: Clock) -> None:
    first, second = make(engine, clock, "a"), make(engine, clock, "b")
    first.acquire()
    first.release()
    assert first.grant is None
    assert second.acquire() == Grant("worker", 2)


def test_a_heartbeat_from_the_future_does_not_block_for_ever(engine: Engine, clock: Clock) -> None:
    first, second = make(engine, clock, "a"), make(engine, clock, "b")
    clock.pass_(86_400)
    first.acquire()
    clock.now = clock.now.replace(year=2025)  # the clock is set back
    assert second.acquire() is None
    clock.pass_(20)
    assert second.acquire() is None
    clock.pass_(11)
    assert second.acquire() == Grant("worker", 2)


def test_many_at_once_and_only_one_gets_it(engine: Engine, clock: Clock) -> None:
    for token in (1, 2, 3):
        start = threading.Barrier(6)

        def take(name: int, start: threading.Barrier = start, token: int = token) -> Grant | None:
            lease = make(engine, clock, f"{token}-{name}")
            start.wait()
            return lease.acquire()

        with ThreadPoolExecutor(6) as pool:
            grants = [grant for grant in pool.map(take, range(6)) if grant is not None]
        assert grants == [Grant("worker", token)]
        clock.pass_(31)


def test_the_fence_stops_a_job_of_the_past(engine: Engine, clock: Clock) -> None:
    first, second = make(engine, clock, "a"), make(engine, clock, "b")
    old = first.acquire()
    marker = leases.insert().values(name="written", holder="x", token=0, acquired=clock(), heartbeat=clock(), seconds=1)
    with working_under(old):
        with engine.begin() as connection:
            fence(connection)
        clock.pass_(31)
        second.acquire()
        with pytest.raises(LeaseLost, match="taken over"), engine.begin() as connection:
            fence(connection)
            connection.execute(marker)
    with engine.begin() as connection:
        assert connection.execute(select(leases).where(leases.c.name == "written")).all() == []
        fence(connection)  # outside of a worker's job it lets everything pass
        connection.execute(insert(leases).values(marker.compile().params))


def test_nobody_takes_over_within_a_fenced_transaction(engine: Engine, clock: Clock) -> None:
    first, second = make(engine, clock, "a"), make(engine, clock, "b")
    old = first.acquire()
    taken: list[Grant | None] = []
    with working_under(old), engine.begin() as connection:
        fence(connection)
        clock.pass_(31)
        other = threading.Thread(target=lambda: taken.append(second.acquire()))
        other.start()
        other.join(0.3)
        assert taken == [], "it waits for the transaction"
    other.join(30)
    assert taken == [Grant("worker", 2)]
