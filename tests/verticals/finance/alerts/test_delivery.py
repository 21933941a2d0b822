import random
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.pool import StaticPool

from verticals.finance.alerts import tables
from verticals.finance.alerts.delivery import CLAIM, deliver, prune
from verticals.finance.alerts.rules import Receiver, RuleBook
from verticals.finance.alerts.states import Observation
from verticals.finance.alerts.store import Target, evaluate

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Inbox:
    """A receiver that can be out of order."""

    def __init__(self) -> None:
        self.messages: list[list[dict[str, Any]]] = []
        self.broken = False

    def __call__(self, receiver: Receiver, group: str, alerts: Sequence[dict[str, Any]]) -> None:
        if self.broken:
            raise ConnectionError("nobody listens")
        self.messages.append(list(alerts))

    @property
    def keys(self) -> list[str]:
        return [alert["dedupe_key"] for message in self.messages for alert in message]

    def story(self) -> list[tuple[str, str]]:
        """Subject and kind in the order of first arrival."""
        first = {alert["dedupe_key"]: alert for message in self.messages for alert in message}
        order = dict.fromkeys(self.keys)
        return [(first[key]["subject"], first[key]["kind"]) for key in order]


def topic(book: RuleBook, name: str = "Energy") -> Target:
    return Target(book.rules[0], name, {})


def seen(at: datetime, surge: bool) -> Observation:
    return Observation(at, anomaly=surge, score=0.99, stories=9 if surge else 1)


def test_one_message_for_a_group_and_never_twice(engine: Engine, book: RuleBook, now: datetime) -> None:
    inbox = Inbox()
    evaluate(engine, book, [(topic(book, name), seen(now, True)) for name in "abc"], now)
    assert deliver(engine, book, now, "w1", inbox, random.Random(1)).to_dict() == {"sent": 3, "failed": 0, "waiting": 0}
    assert [len(message) for message in inbox.messages] == [3]
    assert deliver(engine, book, now, "w1", inbox, random.Random(1)).sent == 0
    assert prune(engine, now + MINUTE) == 3


def test_a_broken_receiver_is_tried_again_and_the_order_is_kept(engine: Engine, book: RuleBook, now: datetime) -> None:
    inbox, chance = Inbox(), random.Random(1)
    inbox.broken = True
    evaluate(engine, book, [(topic(book), seen(now, True))], now)
    assert deliver(engine, book, now, "w1", inbox, chance).failed == 1
    # the end of the episode is due at once, but must not overtake its beginning
    evaluate(engine, book, [(topic(book), seen(now + timedelta(seconds=1), False))], now + timedelta(seconds=1))
    inbox.broken = False
    assert deliver(engine, book, now + timedelta(seconds=2), "w1", inbox, chance).to_dict() == {
        "sent": 0,
        "failed": 0,
        "waiting": 2,
    }
    assert deliver(engine, book, now + MINUTE, "w1", inbox, chance).sent == 2
    assert inbox.story() == [("Energy", "firing"), ("Energy", "resolved")]


def test_retries_go_on_for_days_with_growing_waits(engine: Engine, book: RuleBook, now: datetime) -> None:
    inbox, chance, tries = Inbox(), random.Random(1), 0
    inbox.broken = True
    evaluate(engine, book, [(topic(book), seen(now, True))], now)
    for turn in range(24 * 12):
        tries += deliver(engine, book, now + turn * 5 * MINUTE, "w1", inbox, chance).failed
    assert 22 <= tries <= 60  # at most an hour between two tries, for as long as it takes
    inbox.broken = False
    assert deliver(engine, book, now + timedelta(days=4), "w1", inbox, chance).sent == 1


def test_two_workers_at_once_share_the_work(engine: Engine, book: RuleBook, now: datetime) -> None:
    inbox = Inbox()
    evaluate(engine, book, [(topic(book, f"t{n}"), seen(now, True)) for n in range(40)], now)
    ready = threading.Barrier(4)

    def work(name: str) -> None:
        ready.wait()
        deliver(engine, book, now, name, inbox, random.Random(1))

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(inbox.story()) == sorted((f"t{n}", "firing") for n in range(40))
    assert len(inbox.keys) == 40


class KilledBeforeStatement(Exception):
    """The process is gone: the open transaction is rolled back."""


class KilledAfterSending(BaseException):
    """The process is gone: the receiver has the message, the outbox does not know."""


@pytest.fixture(scope="module")
def memory() -> Iterator[Engine]:
    made = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    tables.metadata.create_all(made)
    yield made
    made.dispose()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=7),
    kills=st.lists(st.integers(1, 25), max_size=12),
    after_send=st.booleans(),
)
@example(plan=[(True, True)], kills=[21], after_send=False)
def test_killed_anywhere_nothing_is_lost(
    memory: Engine,
    book: RuleBook,
    now: datetime,
    plan: list[tuple[bool, bool]],
    kills: list[int],
    after_send: bool,
) -> None:
    calm, _ = play(memory, book, now, plan, [], after_send)
    hurt, doubled = play(memory, book, now, plan, list(kills), after_send)
    assert hurt.story() == calm.story()
    assert doubled or len(hurt.keys) == len(calm.keys), "a duplicate needs a kill between sending and settling"


def play(
    engine: Engine,
    book: RuleBook,
    now: datetime,
    plan: list[tuple[bool, bool]],
    kills: list[int],
    after_send: bool,
) -> tuple[Inbox, bool]:
    """Run the worker's loop over a plan; each number of ``kills`` ends a life before its nth statement."""
    with engine.begin() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(table.delete())
    inbox, left, doubled = Inbox(), [0], [False]

    def statement(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        if left[0]:
            left[0] -= 1
            if not left[0]:
                doubled[0] = doubled[0] or (text.startswith("UPDATE") and "delivered=?" in text)
                raise KilledBeforeStatement

    def send(receiver: Receiver, group: str, alerts: Sequence[dict[str, Any]]) -> None:
        inbox(receiver, group, alerts)
        if after_send and left[0]:
            left[0], doubled[0] = 0, True
            raise KilledAfterSending

    event.listen(engine, "before_cursor_execute", statement)
    try:
        for hour, (first, second) in enumerate(plan):
            at = now + hour * HOUR
            done = False
            while not done:
                left[0] = kills.pop(0) if kills else 0
                try:
                    pairs = [(topic(book, "a"), seen(at, first)), (topic(book, "b"), seen(at, second))]
                    evaluate(engine, book, pairs, at)
                    deliver(engine, book, at, "w", send, random.Random(1))
                    done = True
                except (KilledBeforeStatement, KilledAfterSending):
                    pass
                left[0] = 0
        deliver(engine, book, at + CLAIM, "w", send, random.Random(1))
        deliver(engine, book, at + 2 * CLAIM, "w", send, random.Random(1))
    finally:
        event.remove(engine, "before_cursor_execute", statement)
    with engine.connect() as connection:
        assert connection.execute(select(tables.outbox).where(tables.outbox.c.delivered.is_(None))).all() == []
    return inbox, doubled[0]


def test_hours_that_passed_while_nothing_ran_bring_no_reminder_of_what_was_just_told(
    engine: Engine, book: RuleBook, now: datetime
) -> None:
    inbox = Inbox()

    def judge(hour: int) -> None:
        seen = Observation(now + hour * HOUR, anomaly=True, score=0.99, stories=9)
        evaluate(engine, book, [(Target(book.rules[0], "Energy", {}), seen)], now + hour * HOUR)

    judge(0)
    # the message goes out three days later; then the hours in between are judged
    late = now + 72 * HOUR
    deliver(engine, book, late, "worker", inbox, random.Random(1))
    for hour in (30, 60):
        judge(hour)
    deliver(engine, book, late, "worker", inbox, random.Random(1))
    assert inbox.story() == [("Energy", "firing")]
    judge(72 + 30)
    deliver(engine, book, late + 30 * HOUR, "worker", inbox, random.Random(1))
    assert inbox.story() == [("Energy", "firing"), ("Energy", "reminder")]
