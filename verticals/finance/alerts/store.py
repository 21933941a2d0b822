"""Evaluations in the database: state, audit trail and outgoing messages change in one transaction or not at all."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from verticals.finance.alerts import tables
from verticals.finance.alerts.rules import SEVERITIES, Matcher, Receiver, Rule, RuleBook
from verticals.finance.alerts.states import ACTIVE, AlertState, Kind, Observation, Step, advance

SYSTEM = "system"
_ATTEMPTS = 20
_TIMES = ("since", "started", "fired", "peak_at", "observed", "blind_since", "told_at")


@dataclass(frozen=True)
class Target:
    """What one observation is about. ``subject`` identifies it within its rule; labels are for matching."""

    rule: Rule
    subject: str
    labels: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Stable over restarts and over changes of the labels."""
        return hashlib.sha256(json.dumps([self.rule.id, self.subject]).encode()).hexdigest()

    @property
    def all_labels(self) -> dict[str, Any]:
        """The labels with the rule's own."""
        own = {"rule": self.rule.id, "severity": self.rule.severity, self.rule.scope: self.subject}
        return {**{k: list(v) if isinstance(v, tuple | set) else v for k, v in self.labels.items()}, **own}


class Conflict(Exception):
    """Another writer kept changing the same alert."""


def evaluate(
    engine: Engine, book: RuleBook, seen: Iterable[tuple[Target, Observation]], now: datetime
) -> list[tuple[Target, Step]]:
    """Advance the alerts of all observations, each in a transaction of its own.

    Sources come first: an outage found in this round mutes its topics in the same round. Evaluating the same
    observation again, as after a crash, changes nothing.
    """
    ordered = sorted(seen, key=lambda pair: pair[0].rule.scope != "source")
    return [
        (target, retrying(lambda t=target, o=found: _evaluate_one(engine, book, t, o, now)))
        for target, found in ordered
    ]


def retrying(change: Any) -> Any:
    """Run a read-compute-write again when another writer came between. Raises Conflict after twenty times."""
    for _ in range(_ATTEMPTS):
        try:
            return change()
        except (Conflict, IntegrityError):
            continue
    raise Conflict("the same alert is being changed by others again and again")


def _evaluate_one(engine: Engine, book: RuleBook, target: Target, seen: Observation, now: datetime) -> Step:
    with engine.begin() as connection:
        row = load(connection, target.fingerprint)
        state = AlertState.from_dict(row["state"]) if row else AlertState()
        why = muted_by(connection, book, target.fingerprint, target.all_labels, row, now)
        step = advance(state, seen, target.rule, muted=why is not None)
        if step.state == state:
            return step
        save(connection, target, step.state, row, now)
        for old, new in step.transitions:
            detail = {"from": old, "to": new, "score": seen.score, "value": seen.value, "reason": seen.reason}
            record(connection, target.fingerprint, step.state.episode, now, "transition", SYSTEM, detail)
        for kind in step.muted:
            if step.transitions:  # said once, not at every evaluation while it lasts
                detail = {"notification": kind, "by": why or "flapping"}
                record(connection, target.fingerprint, step.state.episode, now, "muted", SYSTEM, detail)
        for kind in step.notifications:
            _enqueue(connection, book.receivers, target, step.state, kind, now)
        return step


def states(engine: Engine) -> dict[str, AlertState]:
    """The state of every alert there is, by fingerprint."""
    with engine.connect() as connection:
        rows = connection.execute(select(tables.alerts.c.fingerprint, tables.alerts.c.state))
        return {row.fingerprint: AlertState.from_dict(row.state) for row in rows}


def idle(state: AlertState) -> bool:
    """Whether another calm observation would change nothing that matters."""
    return state.status == "normal" and not state.told and state.blind_since is None and not state.closed


def rewind(engine: Engine, now: datetime) -> int:
    """The clock went back: what was seen in a time that is yet to come must not keep alerts from being judged.

    Returns how many alerts had such a time.
    """

    def once() -> int:
        changed = 0
        with engine.begin() as connection:
            for row in connection.execute(select(tables.alerts)).mappings().all():
                state = AlertState.from_dict(row["state"])
                later: dict[str, Any] = {
                    name: now for name in _TIMES if (at := getattr(state, name)) is not None and at > now
                }
                if later:
                    write(connection, row["fingerprint"], replace(state, **later), dict(row), now)
                    record(
                        connection,
                        row["fingerprint"],
                        state.episode,
                        now,
                        "clock",
                        SYSTEM,
                        {"back_to": now.isoformat()},
                    )
                    changed += 1
            table = tables.outbox
            ahead = table.c.delivered.is_(None) & (table.c.created > now)
            values = {"not_before": now, "created": now, "claimed_by": None, "claimed_until": None}
            connection.execute(update(table).where(ahead).values(**values))
        return changed

    return int(retrying(once))


def load(connection: Connection, fingerprint: str) -> Mapping[str, Any] | None:
    """The alert's row, or None."""
    found = connection.execute(select(tables.alerts).where(tables.alerts.c.fingerprint == fingerprint)).mappings()
    row = found.first()
    return dict(row) if row else None


def save(
    connection: Connection, target: Target, state: AlertState, row: Mapping[str, Any] | None, now: datetime, **more: Any
) -> None:
    """Write the row. Raises Conflict when it changed since it was read."""
    values = {
        "rule": target.rule.id,
        "subject": target.subject,
        "labels": target.all_labels,
        "severity": target.rule.severity,
    }
    write(connection, target.fingerprint, state, row, now, **values, **more)


def write(
    connection: Connection,
    fingerprint: str,
    state: AlertState,
    row: Mapping[str, Any] | None,
    now: datetime,
    **values: Any,
) -> None:
    """Write a state and other columns. Raises Conflict when the row changed since it was read."""
    if row and state.episode != AlertState.from_dict(row["state"]).episode:
        values |= {"acknowledged_by": None, "assignee": None, "snoozed_until": None}
    values |= {
        "status": state.status,
        "started": state.started,
        "peak_score": state.peak_score,
        "state": state.to_dict(),
        "updated": now,
    }
    if row is None:
        connection.execute(insert(tables.alerts).values(fingerprint=fingerprint, version=1, **values))
        return
    table = tables.alerts
    same = (table.c.fingerprint == fingerprint) & (table.c.version == row["version"])
    changed = connection.execute(update(table).where(same).values(version=row["version"] + 1, **values))
    if changed.rowcount != 1:
        raise Conflict(fingerprint)


def record(
    connection: Connection,
    fingerprint: str,
    episode: int,
    at: datetime,
    kind: str,
    actor: str,
    detail: Mapping[str, Any],
) -> None:
    """One line of the audit trail."""
    values = {"fingerprint": fingerprint, "episode": episode, "at": at, "kind": kind, "actor": actor}
    connection.execute(insert(tables.events).values(**values, detail=dict(detail)))


def muted_by(
    connection: Connection,
    book: RuleBook,
    fingerprint: str,
    labels: Mapping[str, Any],
    row: Mapping[str, Any] | None,
    now: datetime,
) -> str | None:
    """Why this alert must not be sent now: a snooze, a silence or another alert; None when it may."""
    if row and row["snoozed_until"] and row["snoozed_until"] > now:
        return f"snoozed until {row['snoozed_until']:%Y-%m-%d %H:%M} UTC"
    current = (tables.silences.c.starts <= now) & (tables.silences.c.ends > now)
    for silence in connection.execute(select(tables.silences).where(current)).mappings():
        if all(Matcher.model_validate(m).matches(labels) for m in silence["matchers"]):
            return f"silence {silence['id']}"
    if not book.inhibitions:
        return None
    active = tables.alerts.c.status.in_([s for s in ACTIVE if s != "pending"])
    others = select(tables.alerts).where(active, tables.alerts.c.fingerprint != fingerprint)
    for other in connection.execute(others).mappings():
        if any(inhibition.mutes(other["labels"], labels) for inhibition in book.inhibitions):
            return f"alert {other['rule']} on {other['subject']}"
    return None


def _enqueue(
    connection: Connection, receivers: Sequence[Receiver], target: Target, state: AlertState, kind: Kind, now: datetime
) -> None:
    rule = target.rule
    labels = target.all_labels
    group = json.dumps([rule.id, *(labels.get(name) for name in rule.group_by)], ensure_ascii=False)[:250]
    payload = describe(target, state, kind)
    observed = state.observed.isoformat() if state.observed else ""
    for receiver in receivers:
        if not wants(receiver, rule, kind):
            continue
        if kind == "reminder" and _just_told(connection, target.fingerprint, receiver.name, now - rule.repeat / 2):
            continue
        key = _unused(connection, f"{target.fingerprint}:{state.episode}:{kind}:{observed}:{receiver.name}"[:240])
        values = {"fingerprint": target.fingerprint, "receiver": receiver.name, "group_key": group, "attempts": 0}
        connection.execute(
            insert(tables.outbox).values(
                dedupe_key=key,
                payload={**payload, "dedupe_key": key},
                created=now,
                not_before=now + rule.group_wait,
                **values,
            )
        )
    detail = {"notification": kind, "receivers": [r.name for r in receivers if wants(r, rule, kind)]}
    record(connection, target.fingerprint, state.episode, now, "queued", SYSTEM, detail)


def _unused(connection: Connection, key: str) -> str:
    """The key, numbered when it was used before: a clock that went back lives through an hour twice."""
    table, number, free = tables.outbox, 1, key
    while connection.execute(select(table.c.id).where(table.c.dedupe_key == free)).first() is not None:
        number += 1
        free = f"{key}#{number}"
    return free


def _just_told(connection: Connection, fingerprint: str, receiver: str, since: datetime) -> bool:
    """Whether the message before is still on its way, or came after ``since``: that needs no reminder.

    It happens when hours are judged that passed while nothing ran.
    """
    table = tables.outbox
    query = select(table.c.id).where(table.c.fingerprint == fingerprint, table.c.receiver == receiver)
    recent = table.c.delivered.is_(None) | (table.c.delivered > since)
    return connection.execute(query.where(recent).limit(1)).first() is not None


def wants(receiver: Receiver, rule: Rule, kind: Kind) -> bool:
    """Whether this receiver is to hear of it."""
    loud_enough = SEVERITIES.index(rule.severity) >= SEVERITIES.index(receiver.minimum_severity)
    in_scope = not receiver.scopes or rule.scope in receiver.scopes
    return loud_enough and in_scope and (receiver.resolved or kind != "resolved")


def describe(target: Target, state: AlertState, kind: Kind) -> dict[str, Any]:
    """What a message says about one alert; plain values."""

    def text(at: datetime | None) -> str | None:
        return at.isoformat() if at else None

    return {
        "alert": target.fingerprint[:12],
        "kind": kind,
        "rule": target.rule.id,
        "title": target.rule.title or target.rule.id,
        "scope": target.rule.scope,
        "subject": target.subject,
        "severity": target.rule.severity,
        "episode": state.episode,
        "started": text(state.started),
        "fired": text(state.fired),
        "peak": text(state.peak_at),
        "score": state.peak_score,
        "value": state.peak_value,
        "reason": state.reason,
        "evidence": list(state.evidence),
        "labels": target.all_labels,
    }
