"""Conversations in the database: what was asked, answered and cited, and how long it took."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol
from uuid import uuid4

from sqlalchemy import Connection, Engine, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from core.errors import InputError
from core.operations.database import open_database
from verticals.support import tables
from verticals.support.redaction import redact
from verticals.support.replies import Reply, Turn

Status = Literal["open", "handed_over", "closed"]
STATUSES: tuple[Status, ...] = ("open", "handed_over", "closed")
HISTORY = 20  # messages that the bot is told
_TRIES = 5


class Answering(Protocol):
    """What a bot can do."""

    def reply(
        self,
        text: str,
        history: Sequence[Turn] = (),
        groups: Sequence[str] = ("public",),
        slots: Mapping[str, str] | None = None,
    ) -> Reply:
        """Answer a question."""


@dataclass(frozen=True)
class Recorded:
    """A reply, and where it is kept."""

    conversation: str
    reply_id: str
    reply: Reply

    def to_dict(self) -> dict[str, Any]:
        """The reply's keys, with ``conversation`` and ``reply_id``."""
        return {**self.reply.to_dict(), "conversation": self.conversation, "reply_id": self.reply_id}


class Conversations:
    """Reads and writes conversations; customers' words are redacted on the way in."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Use ``open``; ``clock`` gives the UTC time."""
        self.engine, self.clock = engine, clock

    @classmethod
    def open(cls, settings: Any = None) -> "Conversations":
        """On the configured database; ``settings`` are the core's."""
        return cls(open_database(tables.metadata, settings))

    def start(self, channel: str = "desk") -> str:
        """Begin one; returns its id."""
        name, now = uuid4().hex, self.clock()
        row = {"id": name, "channel": channel[:32], "status": "open", "started": now, "updated": now, "summary": ""}
        with self.engine.begin() as connection:
            connection.execute(insert(tables.conversations).values(row))
        return name

    def say(self, conversation: str, role: str, text: str, reply: str | None = None) -> None:
        """Add a message. Raises InputError for a blank one and when there is no such conversation."""
        if not text.strip():
            raise InputError("the message is blank; write something.")
        for attempt in range(_TRIES):
            try:
                with self.engine.begin() as connection:
                    self._require(connection, conversation)
                    _append(connection, conversation, role, redact(text.strip()).text, self.clock(), reply)
                return
            except IntegrityError:  # somebody else wrote to it at the same moment and took the number
                if attempt == _TRIES - 1:
                    raise

    def history(self, conversation: str) -> tuple[Turn, ...]:
        """The last messages, oldest first."""
        wanted = (
            select(tables.turns.c.role, tables.turns.c.text)
            .where(tables.turns.c.conversation == conversation)
            .order_by(tables.turns.c.number.desc())
            .limit(HISTORY)
        )
        with self.engine.connect() as connection:
            rows = connection.execute(wanted).all()
        return tuple(Turn(row.role, row.text) for row in reversed(rows))

    def answer(
        self,
        bot: Answering,
        text: str,
        conversation: str | None = None,
        groups: Sequence[str] = ("public",),
        slots: Mapping[str, str] | None = None,
        channel: str = "api",
        send: bool = True,
    ) -> Recorded:
        """Ask the bot and keep question, reply and citations. ``send``: the answer goes out as it is.

        Raises InputError for a blank question and an unknown conversation; then nothing is stored.
        """
        if conversation is not None:
            with self.engine.connect() as connection:
                self._require(connection, conversation)
        history = self.history(conversation) if conversation else ()
        reply = bot.reply(text, history, groups, slots or {})
        name = conversation or self.start(channel)
        self.say(name, "customer", text)
        reply_id = self.keep(name, text, reply, groups, _readers(bot, reply))
        if send:
            self.say(name, "agent", _said(reply), reply_id)
            if reply.kind == "handoff":
                self.set_status(name, "handed_over", reply.summary)
        return Recorded(name, reply_id, reply)

    def keep(
        self, conversation: str, question: str, reply: Reply, groups: Sequence[str], readers: Sequence[str] = ()
    ) -> str:
        """Store a reply; returns its id. ``readers``: groups that may read all it cites (empty: everybody)."""
        name = uuid4().hex
        row = {
            "id": name,
            "conversation": conversation,
            "question": redact(question.strip()).text,
            "answer": reply.answer,
            "kind": reply.kind,
            "intent": reply.intent,
            "confidence": reply.confidence,
            "latency_ms": reply.latency_ms,
            "groups": list(groups),
            "time": self.clock(),
            "detail": {**_plain(reply.detail), "choices": list(reply.choices), "readers": list(readers)},
        }
        cited = [
            {"reply": name, "rank": rank, **vars(citation)} for rank, citation in enumerate(reply.citations, start=1)
        ]
        with self.engine.begin() as connection:
            connection.execute(insert(tables.replies).values(row))
            if cited:
                connection.execute(insert(tables.citations), cited)
        return name

    def set_status(self, conversation: str, status: Status, summary: str = "") -> None:
        """Hand over, close or reopen. Raises InputError for another status or an unknown conversation."""
        if status not in STATUSES:
            raise InputError(f"{status!r} is no status; known: {', '.join(STATUSES)}.")
        values: dict[str, Any] = {"status": status, "updated": self.clock()}
        if summary:
            values["summary"] = redact(summary).text
        with self.engine.begin() as connection:
            change = update(tables.conversations).where(tables.conversations.c.id == conversation)
            if not connection.execute(change.values(values)).rowcount:
                raise InputError(f"there is no conversation {conversation!r}.")

    def list(self, status: str | None = None, limit: int = 50, offset: int = 0) -> list[dict[str, Any]]:
        """Those changed last come first, each with its last message and how many there are."""
        turns = tables.turns
        last = (
            select(turns.c.conversation, func.count().label("messages"), func.max(turns.c.number).label("number"))
            .group_by(turns.c.conversation)
            .subquery()
        )
        wanted = (
            select(tables.conversations, last.c.messages, turns.c.text.label("last"))
            .outerjoin(last, last.c.conversation == tables.conversations.c.id)
            .outerjoin(turns, (turns.c.conversation == last.c.conversation) & (turns.c.number == last.c.number))
            .order_by(tables.conversations.c.updated.desc(), tables.conversations.c.id)
            .limit(limit)
            .offset(offset)
        )
        if status is not None:
            wanted = wanted.where(tables.conversations.c.status == status)
        with self.engine.connect() as connection:
            rows = [dict(row._mapping) for row in connection.execute(wanted)]
        return [{**row, "messages": row["messages"] or 0, "last": row["last"] or ""} for row in rows]

    def read(self, conversation: str) -> dict[str, Any]:
        """A conversation with its turns, and its replies with citations and feedback. Raises InputError."""
        with self.engine.connect() as connection:
            about = self._require(connection, conversation)
            said = connection.execute(
                select(tables.turns).where(tables.turns.c.conversation == conversation).order_by(tables.turns.c.number)
            )
            turns = [dict(row._mapping) for row in said]
            wanted = select(tables.replies).where(tables.replies.c.conversation == conversation)
            replies = [dict(row._mapping) for row in connection.execute(wanted.order_by(tables.replies.c.time))]
            ids = [reply["id"] for reply in replies]
            cited = _by_reply(
                connection.execute(
                    select(tables.citations).where(tables.citations.c.reply.in_(ids)).order_by(tables.citations.c.rank)
                )
            )
            judged = _by_reply(connection.execute(select(tables.feedback).where(tables.feedback.c.reply.in_(ids))))
        for reply in replies:
            reply["citations"] = cited.get(reply["id"], [])
            reply["feedback"] = next(iter(judged.get(reply["id"], [])), None)
        return {**about, "turns": turns, "replies": replies}

    def question(self, reply_id: str) -> str | None:
        """What a reply answered, with the conversation where it leans on that; None when there is no such reply."""
        wanted = select(tables.replies.c.question, tables.replies.c.detail).where(tables.replies.c.id == reply_id)
        with self.engine.connect() as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else str(row.detail.get("question") or row.question)

    def forget(self, conversation: str) -> None:
        """Delete a conversation and all that hangs on it. Raises InputError when there is none."""
        with self.engine.begin() as connection:
            self._require(connection, conversation)
            ids = select(tables.replies.c.id).where(tables.replies.c.conversation == conversation)
            connection.execute(delete(tables.feedback).where(tables.feedback.c.reply.in_(ids)))
            connection.execute(delete(tables.citations).where(tables.citations.c.reply.in_(ids)))
            connection.execute(delete(tables.replies).where(tables.replies.c.conversation == conversation))
            connection.execute(delete(tables.turns).where(tables.turns.c.conversation == conversation))
            connection.execute(delete(tables.conversations).where(tables.conversations.c.id == conversation))

    def _require(self, connection: Connection, conversation: str) -> dict[str, Any]:
        wanted = select(tables.conversations).where(tables.conversations.c.id == conversation)
        row = connection.execute(wanted).one_or_none()
        if row is None:
            raise InputError(f"there is no conversation {conversation!r}.")
        return dict(row._mapping)


def _append(connection: Connection, conversation: str, role: str, text: str, now: datetime, reply: str | None) -> None:
    latest = select(func.coalesce(func.max(tables.turns.c.number), 0)).where(
        tables.turns.c.conversation == conversation
    )
    number = connection.execute(latest).scalar_one() + 1
    row = {"conversation": conversation, "number": number, "role": role, "text": text, "time": now, "reply": reply}
    connection.execute(insert(tables.turns).values(row))
    connection.execute(
        update(tables.conversations).where(tables.conversations.c.id == conversation).values(updated=now)
    )


def _readers(bot: Any, reply: Reply) -> list[str]:
    """The groups that may read everything a reply cites; empty when everybody may."""
    knowledge = getattr(getattr(bot, "retrieval", None), "knowledge", None)
    if knowledge is None:
        return []
    readers: set[str] | None = None
    for citation in reply.citations:
        try:
            groups = set(knowledge.document(citation.document).groups)
        except InputError:  # gone since
            continue
        if "public" not in groups:
            readers = groups if readers is None else readers & groups
    # An answer from documents that no single group may read together is for nobody but this reader.
    return sorted(readers) or ["nobody"] if readers is not None else []


def _said(reply: Reply) -> str:
    """The answer with its choices, as the customer reads it."""
    return "\n".join([reply.answer, *(f"{n}. {choice}" for n, choice in enumerate(reply.choices, 1))])


def _plain(detail: Mapping[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(dict(detail), default=str)))


def _by_reply(rows: Iterable[Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        values = dict(row._mapping)
        found.setdefault(values["reply"], []).append(values)
    return found


def open_annotated(settings: Any = None) -> Any:
    """The annotated answers that a bot looks at first."""
    from verticals.support.annotations import Annotations

    return Annotations.open()


def open_similar(settings: Any = None) -> Any:
    """The resolved cases that a bot shows beside its reply."""
    from verticals.support.cases import Cases

    return Cases.open()
