"""A worker, a second worker and an analyst take turns at random on one alert, the receiver fails and processes die."""

import contextlib
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import create_engine, select
from sqlalchemy.pool import StaticPool

from verticals.finance.alerts import actions, delivery, tables
from verticals.finance.alerts.rules import Matcher, Receiver, Rule, RuleBook
from verticals.finance.alerts.states import AlertState, Observation
from verticals.finance.alerts.store import Target, evaluate, rewind

RULE = Rule(
    id="surge",
    scope="topic",
    measure="volume",
    minimum_stories=1,
    group_wait=timedelta(0),
    pending=timedelta(minutes=10),
    recovery=timedelta(minutes=20),
    repeat=timedelta(hours=2),
    nodata=timedelta(minutes=30),
)
BOOK = RuleBook(rules=(RULE,), receivers=(Receiver(name="desk", url="http://127.0.0.1:9/"),))
TARGET = Target(RULE, "Energy", {})
START = datetime(2026, 3, 2, 8, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone after the receiver took the message."""


class Desk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        tables.metadata.create_all(self.engine)
        self.now = START
        self.got: list[tuple[str, str]] = []  # key, kind
        self.chance = random.Random(3)

    def state(self) -> AlertState:
        with self.engine.connect() as connection:
            row = connection.execute(select(tables.alerts.c.state)).first()
        return AlertState.from_dict(row.state) if row else AlertState()

    @rule(minutes=st.integers(5, 40), kind=st.sampled_from(["surge", "calm", "nodata", "error"]))
    def observe(self, minutes: int, kind: str) -> None:
        self.now += timedelta(minutes=minutes)
        seen = {
            "surge": Observation(self.now, anomaly=True, score=0.99, stories=5),
            "calm": Observation(self.now),
            "nodata": Observation(self.now, "nodata", reason="down"),
            "error": Observation(self.now, "error", reason="bad"),
        }[kind]
        for _ in range(2):  # two workers judge the same time
            evaluate(self.engine, BOOK, [(TARGET, seen)], self.now)

    @rule(how=st.sampled_from(["ok", "refused", "killed"]))
    def deliver(self, how: str) -> None:
        def send(receiver: Receiver, group: str, alerts: Sequence[dict[str, Any]]) -> None:
            if how == "refused":
                raise RuntimeError("503")
            self.got += [(alert["dedupe_key"], alert["kind"]) for alert in alerts]
            if how == "killed":
                raise Killed

        with contextlib.suppress(Killed):
            delivery.deliver(self.engine, BOOK, self.now, "worker", send, self.chance)

    @precondition(lambda self: self.state().status != "normal" or self.state().episode)
    @rule(act=st.sampled_from(["acknowledge", "note", "snooze", "resolve"]))
    def decide(self, act: str) -> None:
        key = TARGET.fingerprint
        if act == "acknowledge":
            actions.acknowledge(self.engine, key, "ana", self.now)
        elif act == "note":
            actions.note(self.engine, key, "ana", self.now, "seen")
        elif act == "snooze":
            actions.snooze(self.engine, key, "ana", self.now, self.now + timedelta(minutes=15))
        elif self.state().status in ("firing", "recovering", "pending"):
            actions.resolve(self.engine, key, "ana", self.now)
            assert self.state().closed

    @rule(minutes=st.integers(5, 30))
    def silence(self, minutes: int) -> None:
        span = timedelta(minutes=minutes)
        actions.silence(self.engine, [Matcher(label="topic", value="Energy")], "ana", self.now, self.now + span)

    @rule(minutes=st.integers(1, 600))
    def the_clock_goes_back(self, minutes: int) -> None:
        self.now -= timedelta(minutes=minutes)
        rewind(self.engine, self.now)
        observed = self.state().observed
        assert observed is None or observed <= self.now

    @invariant()
    def every_queued_message_is_one_of_its_own(self) -> None:
        with self.engine.connect() as connection:
            rows = connection.execute(select(tables.outbox)).all()
        keys = [row.dedupe_key for row in rows]
        assert len(keys) == len(set(keys))
        # nothing arrives that was not queued, and nothing counts as delivered that did not arrive
        assert {key for key, _ in self.got} <= set(keys)
        assert {row.dedupe_key for row in rows if row.delivered is not None} <= {key for key, _ in self.got}

    @invariant()
    def told_is_what_was_queued_last(self) -> None:
        told = self.state().told
        with self.engine.connect() as connection:
            rows = connection.execute(select(tables.outbox.c.payload).order_by(tables.outbox.c.id)).scalars().all()
        last = rows[-1]["kind"] if rows else "resolved"
        # A new episode forgets what was told of the one before when nothing of it was sent.
        assert told in (
            "",
            {"firing": "firing", "reminder": "firing", "resolved": "", "nodata": "nodata", "error": "error"}[last],
        )

    def teardown(self) -> None:
        """In the end the receiver is well again: all that was queued arrives, in the order of the alert's life."""
        for _ in range(4):
            self.now += timedelta(hours=2)
            self.deliver("ok")
        with self.engine.connect() as connection:
            rows = connection.execute(select(tables.outbox).order_by(tables.outbox.c.id)).all()
        assert all(row.delivered is not None for row in rows)
        first: dict[str, None] = dict.fromkeys(key for key, _ in self.got)
        assert list(first) == [row.dedupe_key for row in rows]
        self.engine.dispose()


TestDesk = Desk.TestCase
TestDesk.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
