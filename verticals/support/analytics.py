"""How the bot does: what it answers, what people make of that, how fast, by day and by intent."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Engine, select

from core.search.encoding import Encoder
from verticals.support import tables
from verticals.support.dialogues.clusters import ClusterConfig, cluster
from verticals.support.dialogues.small_talk import is_small_talk

ANSWERED = ("template", "passage")


def _rows(engine: Engine, since: datetime | None, until: datetime | None) -> list[Any]:
    replies, feedback, talks = tables.replies, tables.feedback, tables.conversations
    wanted = (
        select(
            replies.c.id,
            replies.c.conversation,
            replies.c.question,
            replies.c.kind,
            replies.c.intent,
            replies.c.confidence,
            replies.c.latency_ms,
            replies.c.time,
            feedback.c.verdict,
            talks.c.status,
            talks.c.channel,
        )
        .join(talks, talks.c.id == replies.c.conversation)
        .outerjoin(feedback, feedback.c.reply == replies.c.id)
        .order_by(replies.c.time)
    )
    if since is not None:
        wanted = wanted.where(replies.c.time >= since)
    if until is not None:
        wanted = wanted.where(replies.c.time < until)
    with engine.connect() as connection:
        return list(connection.execute(wanted))


def summary(engine: Engine, since: datetime | None = None, until: datetime | None = None) -> dict[str, Any]:
    """Totals, ``by_day`` (UTC) and ``by_intent``, for replies in [since, until).

    ``acceptance`` is accepted / (accepted + edited + rejected); ``deflection`` the share of conversations that were
    not handed over; both are None without any.
    """
    rows = _rows(engine, since, until)
    handed = {row.conversation for row in rows if row.status == "handed_over" or _handed_over(row)}
    talks = {row.conversation for row in rows}
    return {
        **_totals(rows),
        "conversations": len(talks),
        "deflection": 1 - len(handed) / len(talks) if talks else None,
        "by_day": [
            {"day": day, **_totals(found)}
            for day, found in _grouped(rows, lambda row: row.time.astimezone(UTC).date().isoformat())
        ],
        "by_intent": sorted(
            ({"intent": intent, **_totals(found)} for intent, found in _grouped(rows, lambda row: row.intent or "")),
            key=lambda one: (-one["questions"], one["intent"]),
        ),
    }


def _handed_over(row: Any) -> bool:
    return row.kind == "handoff" or row.verdict == "handed_over"


def _totals(rows: Sequence[Any]) -> dict[str, Any]:
    verdicts = {name: sum(row.verdict == name for row in rows) for name in ("accepted", "edited", "rejected")}
    judged = sum(verdicts.values())
    latencies = [row.latency_ms for row in rows]
    return {
        "questions": len(rows),
        "answered": sum(row.kind in ANSWERED for row in rows),
        "clarified": sum(row.kind == "clarify" for row in rows),
        "handed_over": sum(map(_handed_over, rows)),
        **verdicts,
        "acceptance": verdicts["accepted"] / judged if judged else None,
        "confidence": float(np.mean([row.confidence for row in rows])) if rows else None,
        "latency_ms": {
            "p50": round(float(np.percentile(latencies, 50)), 2) if rows else None,
            "p95": round(float(np.percentile(latencies, 95)), 2) if rows else None,
        },
    }


def _grouped(rows: Iterable[Any], key: Callable[[Any], str]) -> list[tuple[str, list[Any]]]:
    groups: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return sorted(groups.items())


def unanswered(
    engine: Engine,
    encoder: Encoder,
    since: datetime | None = None,
    until: datetime | None = None,
    top: int = 10,
    config: ClusterConfig | None = None,
) -> list[dict[str, Any]]:
    """Groups of questions that were handed over or whose reply was rejected: name, size, examples; largest first."""
    open_rows: list[str] = []
    others: list[str] = []
    for row in _rows(engine, since, until):
        failed = _handed_over(row) or row.verdict == "rejected"
        if not is_small_talk(row.question):
            (open_rows if failed else others).append(row.question)
    found = cluster(open_rows, encoder, config or ClusterConfig(smallest=2), others)
    return [
        {"name": one.name, "size": len(one.rows), "examples": [open_rows[row] for row in one.rows[:5]]}
        for one in found[:top]
    ]
