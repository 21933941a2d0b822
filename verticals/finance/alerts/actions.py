"""What people do with alerts: acknowledge, assign, note, snooze, silence. Every act is in the audit trail."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from core.errors import InputError
from verticals.finance.alerts import tables
from verticals.finance.alerts.rules import Matcher
from verticals.finance.alerts.states import ACTIVE, AlertState
from verticals.finance.alerts.store import load, record, retrying, write

Change = Callable[[AlertState], tuple[AlertState, dict[str, Any]]]


def acknowledge(engine: Engine, alert: str, actor: str, now: datetime) -> None:
    """Somebody has seen it: no more reminders in this episode."""
    _change(
        engine,
        alert,
        actor,
        now,
        "acknowledged",
        {},
        lambda s: (replace(s, acknowledged=now), {"acknowledged_by": actor}),
    )


def assign(engine: Engine, alert: str, actor: str, now: datetime, assignee: str) -> None:
    """Give it to somebody; a blank name takes it back."""
    name = assignee.strip() or None
    _change(engine, alert, actor, now, "assigned", {"assignee": name}, lambda s: (s, {"assignee": name}))


def note(engine: Engine, alert: str, actor: str, now: datetime, text: str) -> None:
    """Write a remark into the audit trail. Raises InputError when it is blank."""
    if not text.strip():
        raise InputError("the note is empty; write what you found.")
    _change(engine, alert, actor, now, "note", {"text": text.strip()}, lambda s: (s, {}))


def resolve(engine: Engine, alert: str, actor: str, now: datetime, text: str = "") -> None:
    """Close it: what is unusual now raises it no more; it must be calm once before it can be raised again.

    Receivers hear of it with the next evaluation. Raises InputError when it is not open.
    """

    def change(state: AlertState) -> tuple[AlertState, dict[str, Any]]:
        if state.status not in ACTIVE:
            raise InputError(f"the alert is {state.status} already.")
        return replace(state, status="resolved", since=now, closed=True, blind_since=None), {}

    _change(engine, alert, actor, now, "resolved", {"text": text.strip()}, change)


def snooze(engine: Engine, alert: str, actor: str, now: datetime, until: datetime) -> None:
    """Send nothing about this alert before ``until``. Raises InputError when that is past."""
    if until <= now:
        raise InputError(f"{until:%Y-%m-%d %H:%M} UTC is not in the future; give a later time.")
    _change(engine, alert, actor, now, "snoozed", {"until": until.isoformat()}, lambda s: (s, {"snoozed_until": until}))


def silence(
    engine: Engine, matchers: Sequence[Matcher], author: str, starts: datetime, ends: datetime, comment: str = ""
) -> int:
    """Send nothing about alerts that match all conditions, until it expires. Returns the silence's number."""
    if not matchers:
        raise InputError("a silence needs at least one condition; without one it would hide every alert.")
    if ends <= starts:
        raise InputError("a silence must end after it starts.")
    values = {"matchers": [m.model_dump() for m in matchers], "starts": starts, "ends": ends}
    with engine.begin() as connection:
        new = insert(tables.silences).values(**values, author=author, comment=comment).returning(tables.silences.c.id)
        return int(connection.execute(new).scalar_one())


def expire(engine: Engine, number: int, now: datetime) -> None:
    """End a silence now. Raises InputError when there is none of that number."""
    table = tables.silences
    with engine.begin() as connection:
        ends = connection.execute(select(table.c.ends).where(table.c.id == number)).scalar()
        if ends is None:
            raise InputError(f"there is no silence {number}.")
        if ends > now:
            connection.execute(update(table).where(table.c.id == number).values(ends=now))


def open_alerts(engine: Engine) -> list[dict[str, Any]]:
    """Alerts that wait for somebody, the gravest first."""
    with engine.connect() as connection:
        return rows(connection, tables.alerts.c.status.in_(ACTIVE))


def rows(connection: Connection, *where: Any) -> list[dict[str, Any]]:
    """Alert rows with their state as values, the gravest and newest first."""
    found = [dict(row) for row in connection.execute(select(tables.alerts).where(*where)).mappings()]
    rank = {"critical": 0, "warning": 1, "info": 2}
    return sorted(found, key=lambda row: (rank[row["severity"]], -row["peak_score"], row["subject"]))


def history(engine: Engine, alert: str) -> list[dict[str, Any]]:
    """The audit trail of one alert, oldest first."""
    with engine.connect() as connection:
        row = find(connection, alert)
        where = tables.events.c.fingerprint == row["fingerprint"]
        found = connection.execute(select(tables.events).where(where).order_by(tables.events.c.id)).mappings()
        return [dict(event) for event in found]


def _change(
    engine: Engine, alert: str, actor: str, now: datetime, kind: str, detail: Mapping[str, Any], change: Change
) -> None:
    def once() -> None:
        with engine.begin() as connection:
            row = find(connection, alert)
            state, columns = change(AlertState.from_dict(row["state"]))
            write(connection, row["fingerprint"], state, row, now, **columns)
            record(connection, row["fingerprint"], state.episode, now, kind, actor, detail)

    retrying(once)


def find(connection: Connection, alert: str) -> Mapping[str, Any]:
    """The row whose fingerprint begins so. Raises InputError when none or several do."""
    if len(alert) < 8 or not all(c in "0123456789abcdef" for c in alert):
        raise InputError(f"{alert!r} is not an alert's id; copy it from the list of alerts.")
    exact = load(connection, alert)
    if exact:
        return exact
    where = tables.alerts.c.fingerprint.like(f"{alert}%")
    found = connection.execute(select(tables.alerts).where(where).limit(2)).mappings().all()
    if len(found) != 1:
        raise InputError(f"{'several alerts begin' if found else 'no alert begins'} with {alert!r}.")
    return dict(found[0])
