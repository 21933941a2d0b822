"""Alerts as people read them: a list, one with its whole story, the silences in force."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Engine, select

from core.errors import InputError
from verticals.finance.alerts import tables
from verticals.finance.alerts.actions import find, history, rows
from verticals.finance.alerts.rules import Matcher
from verticals.finance.alerts.states import ACTIVE

ID = 12  # characters of the fingerprint that people see


def listed(engine: Engine, everything: bool = False) -> list[dict[str, Any]]:
    """Open alerts, the gravest first; with ``everything`` also those that are over, below."""
    with engine.connect() as connection:
        found = rows(connection) if everything else rows(connection, tables.alerts.c.status.in_(ACTIVE))
    found = [row for row in found if everything is False or row["started"] is not None or row["status"] in ACTIVE]
    return [plain(row) for row in sorted(found, key=lambda row: row["status"] not in ACTIVE)]


def shown(engine: Engine, alert: str) -> dict[str, Any]:
    """One alert with its audit trail and the messages about it. Raises InputError when there is none."""
    with engine.connect() as connection:
        row = find(connection, alert)
        where = tables.outbox.c.fingerprint == row["fingerprint"]
        sent = connection.execute(select(tables.outbox).where(where).order_by(tables.outbox.c.id)).mappings().all()
    messages = [
        {
            "receiver": message["receiver"],
            "kind": message["payload"]["kind"],
            "created": _text(message["created"]),
            "delivered": _text(message["delivered"]),
            "attempts": message["attempts"],
            "error": message["last_error"],
        }
        for message in sent
    ]
    trail = [
        {"at": _text(event["at"]), **{name: event[name] for name in ("episode", "kind", "actor", "detail")}}
        for event in history(engine, row["fingerprint"])
    ]
    return {**plain(row), "trail": trail, "messages": messages}


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values of an alert's row."""
    state = row["state"]
    return {
        "id": row["fingerprint"][:ID],
        "rule": row["rule"],
        "subject": row["subject"],
        "severity": row["severity"],
        "status": row["status"],
        "started": _text(row["started"]),
        "fired": state.get("fired"),
        "since": state.get("since"),
        "peak": state.get("peak_at"),
        "score": row["peak_score"],
        "value": state.get("peak_value"),
        "reason": state.get("reason"),
        "evidence": list(state.get("evidence", ())),
        "episode": state.get("episode"),
        "observed": state.get("observed"),
        "assignee": row["assignee"],
        "acknowledged_by": row["acknowledged_by"],
        "snoozed_until": _text(row["snoozed_until"]),
        "labels": row["labels"],
        "updated": _text(row["updated"]),
    }


def silences(engine: Engine, now: datetime, ended: bool = False) -> list[dict[str, Any]]:
    """Silences that are in force or to come (with ``ended`` also those that are over), the next to end first."""
    table = tables.silences
    query = select(table) if ended else select(table).where(table.c.ends > now)
    with engine.connect() as connection:
        found = connection.execute(query.order_by(table.c.ends)).mappings().all()
    return [
        {
            "id": row["id"],
            "matchers": row["matchers"],
            "starts": _text(row["starts"]),
            "ends": _text(row["ends"]),
            "author": row["author"],
            "comment": row["comment"],
        }
        for row in found
    ]


def matcher(text: str) -> Matcher:
    """Read ``company=VLTMOB`` or ``topic~Energy.*``. Raises InputError."""
    found = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*(=|~)\s*(.+?)\s*", text)
    if found is None:
        raise InputError(f"{text!r} is no condition; write label=value, or label~expression.")
    try:
        return Matcher(label=found[1], value=found[3], regex=found[2] == "~")
    except ValidationError as error:
        raise InputError(f"{text!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}.") from None


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
