"""Conversations, feedback and annotated answers as CSV, Parquet or JSON lines."""

import io
import json
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Engine, select

from core.errors import InputError
from verticals.support import tables

Kind = Literal["turns", "replies", "annotations"]
Format = Literal["csv", "parquet", "jsonl"]
MEDIA = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet", "jsonl": "application/x-ndjson"}


def export(
    engine: Engine,
    kind: Kind = "replies",
    format: Format = "csv",
    since: datetime | None = None,
    until: datetime | None = None,
) -> bytes:
    """``turns``: each message; ``replies``: each reply with its feedback and citations; ``annotations``.

    ``turns`` as CSV or JSON lines is a log that ``headwater support mine`` reads. Raises InputError for another kind
    or format.
    """
    if format not in MEDIA:
        raise InputError(f"{format!r} is no export format; known: {', '.join(MEDIA)}.")
    makers = {"turns": _turns, "replies": _replies, "annotations": _annotations}
    if kind not in makers:
        raise InputError(f"{kind!r} cannot be exported; known: {', '.join(makers)}.")
    with engine.connect() as connection:
        columns, rows = makers[kind](connection, since, until)
    return _written(columns, rows, format, kind)


def _between(wanted: Any, column: Any, since: datetime | None, until: datetime | None) -> Any:
    if since is not None:
        wanted = wanted.where(column >= since)
    return wanted.where(column < until) if until is not None else wanted


def _turns(connection: Any, since: datetime | None, until: datetime | None) -> tuple[list[str], list[dict[str, Any]]]:
    turns, talks, judged = tables.turns, tables.conversations, tables.feedback
    wanted = (
        select(
            turns.c.conversation.label("id"),
            turns.c.role,
            turns.c.text,
            turns.c.time.label("minutes"),
            talks.c.channel,
            talks.c.status,
            judged.c.verdict,
        )
        .join(talks, talks.c.id == turns.c.conversation)
        .outerjoin(judged, judged.c.reply == turns.c.reply)
        .order_by(talks.c.started, turns.c.conversation, turns.c.number)
    )
    columns = ["id", "channel", "role", "text", "minutes", "accepted", "outcome"]
    outcome = {"handed_over": "handed_over", "closed": "resolved"}
    rows = [
        {
            "id": row.id,
            "channel": row.channel,
            "role": row.role,
            "text": row.text,
            "minutes": row.minutes.isoformat(),
            "accepted": {"accepted": True, "edited": True, "rejected": False}.get(row.verdict or ""),
            "outcome": outcome.get(row.status),
        }
        for row in connection.execute(_between(wanted, turns.c.time, since, until))
    ]
    return columns, rows


def _replies(connection: Any, since: datetime | None, until: datetime | None) -> tuple[list[str], list[dict[str, Any]]]:
    replies, judged = tables.replies, tables.feedback
    wanted = (
        select(
            replies,
            judged.c.verdict,
            judged.c.answer.label("sent"),
            judged.c.reason,
            judged.c.actor,
        )
        .outerjoin(judged, judged.c.reply == replies.c.id)
        .order_by(replies.c.time, replies.c.id)
    )
    cited: dict[str, list[str]] = {}
    for row in connection.execute(select(tables.citations).order_by(tables.citations.c.rank)):
        cited.setdefault(row.reply, []).append(row.document)
    columns = [
        *("id", "conversation", "time", "question", "answer", "kind", "intent", "confidence", "latency_ms"),
        *("verdict", "sent", "reason", "actor", "documents"),
    ]
    rows = []
    for row in connection.execute(_between(wanted, replies.c.time, since, until)):
        values = {name: row._mapping[name] for name in columns[:-1]}
        rows.append({**values, "time": row.time.isoformat(), "documents": cited.get(row.id, [])})
    return columns, rows


def _annotations(
    connection: Any, since: datetime | None, until: datetime | None
) -> tuple[list[str], list[dict[str, Any]]]:
    table = tables.annotations
    columns = ["id", "question", "answer", "intent", "groups", "actor", "changed"]
    wanted = _between(select(table).where(table.c.active), table.c.changed, since, until).order_by(table.c.changed)
    rows = [
        {**{name: row._mapping[name] for name in columns}, "changed": row.changed.isoformat()}
        for row in connection.execute(wanted)
    ]
    return columns, rows


def _written(columns: list[str], rows: list[dict[str, Any]], format: Format, kind: Kind) -> bytes:
    if format == "jsonl" and kind == "turns":
        return _lines(_conversations(rows))
    if format == "jsonl":
        return _lines(rows)
    import pandas as pd

    flat = [{k: ", ".join(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
    frame = pd.DataFrame(flat, columns=columns)
    if format == "csv":
        return frame.to_csv(index=False).encode("utf-8")
    out = io.BytesIO()
    frame.to_parquet(out, index=False)
    return out.getvalue()


def _conversations(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One a line, as in ``data/support/dialogues.jsonl``."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        about = {name: row[name] for name in ("id", "channel", "outcome")}
        turn = {name: row[name] for name in ("role", "text", "minutes", "accepted") if row[name] is not None}
        found.setdefault(row["id"], {**about, "turns": []})["turns"].append(turn)
    return list(found.values())


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")
