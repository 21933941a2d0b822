"""Sends what waits in the outbox, at least once: duplicates are preferred over misses.

A message is marked delivered only after its receiver took it. A process that dies in between leaves its claim to run
out, and the message is sent again under the same deduplication key.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, func, or_, select, update

from verticals.finance.alerts import tables
from verticals.finance.alerts.rules import Receiver, RuleBook

CLAIM = timedelta(minutes=5)
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
Send = Callable[[Receiver, str, Sequence[dict[str, Any]]], None]


@dataclass(frozen=True)
class Delivered:
    """What one round of delivery did; counts are alerts, not messages."""

    sent: int = 0
    failed: int = 0
    waiting: int = 0

    def to_dict(self) -> dict[str, int]:
        """Plain values."""
        return {"sent": self.sent, "failed": self.failed, "waiting": self.waiting}


def deliver(engine: Engine, book: RuleBook, now: datetime, me: str, send: Send, chance: random.Random) -> Delivered:
    """Send what is due. ``me`` names this process, ``chance`` spreads the retries of many processes."""
    sent = failed = 0
    for receiver in book.receivers:
        for group, rows in claim(engine, receiver, now, me):
            try:
                send(receiver, group, [row["payload"] for row in rows])
            except Exception as error:  # whatever a receiver does, the others must get theirs
                _postpone(engine, rows, now, f"{type(error).__name__}: {error}"[:500], chance)
                failed += len(rows)
            else:
                _settle(engine, rows, now)
                sent += len(rows)
    with engine.connect() as connection:
        waiting = connection.scalar(select(func.count()).where(tables.outbox.c.delivered.is_(None)))
    return Delivered(sent, failed, int(waiting or 0))


def claim(engine: Engine, receiver: Receiver, now: datetime, me: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """Take the due messages of one receiver for this process, grouped as they are sent.

    A message about an alert waits while an older one about the same alert does, so "resolved" never overtakes
    "firing".
    """
    table = tables.outbox
    older = table.alias()
    free = or_(table.c.claimed_until.is_(None), table.c.claimed_until <= now)
    blocked = (
        select(older.c.id)
        .where(older.c.receiver == table.c.receiver, older.c.fingerprint == table.c.fingerprint)
        .where(older.c.delivered.is_(None), older.c.id < table.c.id)
        .where(or_(older.c.not_before > now, older.c.claimed_until > now))
        .exists()
    )
    due = (table.c.receiver == receiver.name) & table.c.delivered.is_(None) & (table.c.not_before <= now) & free
    with engine.begin() as connection:
        wanted = connection.scalars(select(table.c.id).where(due, ~blocked).order_by(table.c.id)).all()
        mine = [number for number in wanted if _take(connection, number, now, me, free)]
        rows = [dict(row) for row in connection.execute(select(table).where(table.c.id.in_(mine))).mappings()]
    rows.sort(key=lambda row: (row["group_key"], row["id"]))
    messages = []
    for group, members in groupby(rows, key=lambda row: row["group_key"]):
        listed = list(members)
        messages += [(group, listed[i : i + receiver.batch]) for i in range(0, len(listed), receiver.batch)]
    return messages


def _take(connection: Connection, number: int, now: datetime, me: str, free: Any) -> bool:
    values = {"claimed_by": me, "claimed_until": now + CLAIM}
    changed = connection.execute(update(tables.outbox).where(tables.outbox.c.id == number, free).values(**values))
    return changed.rowcount == 1


def _settle(engine: Engine, rows: Sequence[dict[str, Any]], now: datetime) -> None:
    table = tables.outbox
    numbers = [row["id"] for row in rows]
    with engine.begin() as connection:
        connection.execute(update(table).where(table.c.id.in_(numbers)).values(delivered=now, last_error=None))


def _postpone(engine: Engine, rows: Sequence[dict[str, Any]], now: datetime, why: str, chance: random.Random) -> None:
    table = tables.outbox
    with engine.begin() as connection:
        for row in rows:
            longest = min(FIRST_WAIT * 2 ** min(row["attempts"], 20), LONGEST_WAIT)
            wait = longest * chance.uniform(0.5, 1.0)
            values = {"attempts": row["attempts"] + 1, "last_error": why, "not_before": now + wait}
            changed = values | {"claimed_by": None, "claimed_until": None}
            connection.execute(update(table).where(table.c.id == row["id"]).values(**changed))


def prune(engine: Engine, before: datetime) -> int:
    """Forget delivered messages older than ``before``; what waits is kept for ever. Returns how many went."""
    table = tables.outbox
    with engine.begin() as connection:
        return connection.execute(table.delete().where(table.c.delivered < before)).rowcount
