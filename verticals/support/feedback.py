"""What agents thought of a reply, and what is learned from it: an annotated answer, and rows to train on."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, delete, insert, select

from core.errors import InputError
from core.operations.feedback import Correction, record
from verticals.support import tables
from verticals.support.annotations import Annotation, Annotations
from verticals.support.redaction import redact
from verticals.support.replies import Citation

Verdict = Literal["accepted", "edited", "rejected", "handed_over"]
VERDICTS: tuple[Verdict, ...] = ("accepted", "edited", "rejected", "handed_over")


@dataclass(frozen=True)
class Judged:
    """What became of a verdict. ``annotation`` is the id of the answer that is used from now on."""

    reply: str
    verdict: Verdict
    annotation: str | None = None
    trained: tuple[str, ...] = ()
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "trained": list(self.trained)}


def judge(
    annotations: Annotations,
    reply_id: str,
    verdict: Verdict,
    actor: str,
    answer: str = "",
    reason: str = "",
    intent: str | None = None,
    vector: np.ndarray | None = None,
    now: datetime | None = None,
) -> Judged:
    """Record a verdict; the last one on a reply counts.

    ``answer`` is what was sent instead (edited), ``intent`` the right one where the agent names it, ``vector`` the
    question's: with it an edited answer is used again for nearly the same question, by those who may read what it was
    based on. An answer that holds personal data is for one customer only and is neither used again nor trained on.
    Raises InputError for an unknown reply or verdict, and for an edit without an answer.
    """
    if verdict not in VERDICTS:
        raise InputError(f"{verdict!r} is no verdict; known: {', '.join(VERDICTS)}.")
    if verdict == "edited" and not answer.strip():
        raise InputError("an edited reply needs the answer that was sent.")
    time = now or datetime.now(UTC)
    clean = redact(answer.strip())
    with annotations.engine.begin() as connection:
        reply = _reply(connection, reply_id)
        _store(connection, reply_id, verdict, clean.text, redact(reason.strip()).text, actor, time)
        personal = bool(clean.finds)
        name = None
        if verdict == "edited" and vector is not None and not personal:
            name = annotations.save(_annotation(connection, reply, clean.text, intent), vector, actor, time, connection)
        trained = _train(connection, reply, verdict, "" if personal else clean.text, intent, actor, time)
    return Judged(reply_id, verdict, name, trained, "personal" if personal else "")


def _reply(connection: Connection, reply_id: str) -> Any:
    row = connection.execute(select(tables.replies).where(tables.replies.c.id == reply_id)).one_or_none()
    if row is None:
        raise InputError(f"there is no reply {reply_id!r}.")
    return row


def _store(
    connection: Connection, reply_id: str, verdict: str, answer: str, reason: str, actor: str, time: datetime
) -> None:
    connection.execute(delete(tables.feedback).where(tables.feedback.c.reply == reply_id))
    row = {
        "reply": reply_id,
        "verdict": verdict,
        "answer": answer or None,
        "reason": reason,
        "actor": actor,
        "time": time,
    }
    connection.execute(insert(tables.feedback).values(row))


def _annotation(connection: Connection, reply: Any, answer: str, intent: str | None) -> Annotation:
    wanted = select(tables.citations).where(tables.citations.c.reply == reply.id).order_by(tables.citations.c.rank)
    cited = tuple(
        Citation(row.document, row.title, row.quote, row.score, row.start, row.end, row.url)
        for row in connection.execute(wanted)
    )
    readers = tuple(reply.detail.get("readers", ()))
    asked = str(reply.detail.get("question") or reply.question)  # with the conversation, for a follow-up
    return Annotation(asked, answer, intent or reply.intent, readers, cited)


def _train(
    connection: Connection, reply: Any, verdict: str, answer: str, intent: str | None, actor: str, time: datetime
) -> tuple[str, ...]:
    """A question with its right answer, and a question with its right intent. One act counts once."""
    rows: list[tuple[str, str | None, str | None]] = []
    sent = answer if verdict == "edited" else reply.answer if verdict == "accepted" else ""
    if sent and reply.kind in ("template", "passage", "handoff"):
        rows.append(("matching", None, sent))
    label = intent or (reply.intent if verdict == "accepted" and reply.kind in ("template", "passage") else None)
    if label:
        rows.append(("intents", label, None))
    for task, category, pair in rows:
        act = sha256(f"{category}\n{pair}".encode()).hexdigest()[:16]
        correction = Correction(
            vertical="support",
            task=task,
            text=reply.question,
            label=category,
            pair=pair,
            actor=actor,
            time=time,
            source=f"{reply.id}:{act}",
            detail={"verdict": verdict, "was": reply.answer if task == "matching" else reply.intent},
        )
        record(connection, correction)
    return tuple(task for task, _, _ in rows)
