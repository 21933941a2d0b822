"""What mining proposes, held until somebody approves, edits or rejects it. Nothing is published by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import Engine, insert, select, update

from core.errors import InputError
from core.operations.database import open_database
from core.operations.feedback import Correction, record
from verticals.support.redaction import redact
from verticals.support.tables import metadata
from verticals.support.tables import proposals as table

Kind = Literal["faq", "intent"]
KINDS: tuple[Kind, ...] = ("faq", "intent")
STATUSES = ("pending", "approved", "rejected")
_SAME = 0.5  # share of common questions from which a proposal is an earlier one, grown
_GROWN = 2.0  # a rejected proposal comes back when it has this many times the questions


@dataclass(frozen=True)
class Proposal:
    """What mining found: a name (its most central question), a label (an intent's name), and a draft of the answer."""

    kind: Kind
    name: str
    label: str
    questions: tuple[str, ...]
    dialogues: tuple[str, ...]
    cohesion: float
    answer: str = ""


@dataclass(frozen=True)
class Publication:
    """A question and its answer, to be written into the knowledge base under an id and for groups."""

    id: str
    question: str
    answer: str
    groups: tuple[str, ...]


Publish = Callable[[Publication], str]
"""Writes into the knowledge base and returns the document's id."""


class Review:
    """The queue, in the database."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Use ``open``."""
        self.engine, self.clock = engine, clock

    @classmethod
    def open(cls, settings: Any = None) -> "Review":
        """On the configured database; ``settings`` are the core's."""
        return cls(open_database(metadata, settings))

    def propose(self, found: Sequence[Proposal]) -> list[str]:
        """Queue proposals; ids of those that are new or have grown.

        One with at least half of its questions in a pending proposal of its kind renews that one. One that was decided
        comes back only if it was rejected and has since doubled.
        """
        changed = []
        with self.engine.begin() as connection:
            known = [dict(row._mapping) for row in connection.execute(select(table))]
            for proposal in found:
                earlier = _earlier(proposal, known)
                now = self.clock()
                if earlier is None or (earlier["status"] == "rejected" and _grown(proposal, earlier)):
                    name = uuid4().hex
                    connection.execute(insert(table).values(_row(name, proposal, now)))
                    changed.append(name)
                elif earlier["status"] == "pending" and set(proposal.questions) != set(earlier["questions"]):
                    values: dict[str, Any] = {
                        "questions": list(proposal.questions),
                        "dialogues": list(proposal.dialogues),
                    }
                    values |= {"size": len(proposal.questions), "cohesion": proposal.cohesion, "changed": now}
                    connection.execute(update(table).where(table.c.id == earlier["id"]).values(values))
                    changed.append(earlier["id"])
        return changed

    def list(self, status: str | None = "pending", kind: str | None = None) -> list[dict[str, Any]]:
        """Largest first."""
        wanted = select(table).order_by(table.c.size.desc(), table.c.created, table.c.id)
        if status is not None:
            wanted = wanted.where(table.c.status == status)
        if kind is not None:
            wanted = wanted.where(table.c.kind == kind)
        with self.engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(wanted)]

    def read(self, proposal: str) -> dict[str, Any]:
        """One of them. Raises InputError when there is none."""
        with self.engine.connect() as connection:
            row = connection.execute(select(table).where(table.c.id == proposal)).one_or_none()
        if row is None:
            raise InputError(f"there is no proposal {proposal!r}.")
        return dict(row._mapping)

    def edit(self, proposal: str, actor: str, **values: Any) -> None:
        """Change ``name``, ``label``, ``answer`` or ``questions`` of a pending one. Raises InputError."""
        unknown = set(values) - {"name", "label", "answer", "questions"}
        if unknown:
            raise InputError(f"{sorted(unknown)[0]!r} of a proposal cannot be changed.")
        clean: dict[str, Any] = {
            k: redact(v).text.strip() if isinstance(v, str) else [redact(q).text for q in v] for k, v in values.items()
        }
        if not clean.get("name", "x") or clean.get("questions") == []:
            raise InputError("a proposal needs a question.")
        if "questions" in clean:
            clean["size"] = len(clean["questions"])
        self._change(proposal, actor, **clean)

    def approve(
        self, proposal: str, actor: str, publish: Publish, groups: Sequence[str] = ("public",)
    ) -> dict[str, Any]:
        """An FAQ entry goes into the knowledge base by ``publish``; an intent's questions become training rows.

        Raises InputError for an entry without an answer, an intent without a name, and one already decided.
        """
        found = self.read(proposal)
        self._require_pending(found)
        if found["kind"] == "faq":
            if not found["answer"].strip():
                raise InputError("the entry has no answer yet; write one, then approve it.")
            document = publish(Publication(f"faq-{proposal[:12]}", found["name"], found["answer"], tuple(groups)))
            self._change(proposal, actor, status="approved", document=document)
        else:
            if not found["label"].strip():
                raise InputError("the intent has no name yet; write one, then approve it.")
            self._change(proposal, actor, status="approved")
            self._train(found, actor)
        return self.read(proposal)

    def reject(self, proposal: str, actor: str, reason: str = "") -> None:
        """It does not come back unless it grows. Raises InputError when it is already decided."""
        self._change(proposal, actor, status="rejected", reason=redact(reason.strip()).text)

    def _train(self, found: dict[str, Any], actor: str) -> None:
        with self.engine.begin() as connection:
            for number, question in enumerate(found["questions"]):
                correction = Correction(
                    vertical="support",
                    task="intents",
                    text=question,
                    label=found["label"],
                    actor=actor,
                    time=self.clock(),
                    source=f"proposal:{found['id']}:{number}",
                )
                record(connection, correction)

    def _change(self, proposal: str, actor: str, **values: Any) -> None:
        change = update(table).where(table.c.id == proposal, table.c.status == "pending")
        with self.engine.begin() as connection:
            done = connection.execute(change.values(**values, actor=actor, changed=self.clock()))
        if not done.rowcount:  # two people may decide at once: the first one counts
            self._require_pending(self.read(proposal))

    def _require_pending(self, found: dict[str, Any]) -> None:
        if found["status"] != "pending":
            raise InputError(f"this proposal has been {found['status']} by {found['actor'] or 'somebody'} already.")


def _earlier(proposal: Proposal, known: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    mine, best, share = set(proposal.questions), None, 0.0
    for row in known:
        if row["kind"] == proposal.kind:
            theirs = set(row["questions"])
            common = len(mine & theirs) / max(1, min(len(mine), len(theirs)))
            if common > share:
                best, share = row, common
    return best if share >= _SAME else None


def _grown(proposal: Proposal, earlier: dict[str, Any]) -> bool:
    return len(proposal.questions) >= _GROWN * earlier["size"]


def _row(name: str, proposal: Proposal, now: datetime) -> dict[str, Any]:
    return {
        "id": name,
        "kind": proposal.kind,
        "status": "pending",
        "name": proposal.name,
        "label": proposal.label,
        "answer": proposal.answer,
        "questions": list(proposal.questions),
        "dialogues": list(proposal.dialogues),
        "size": len(proposal.questions),
        "cohesion": proposal.cohesion,
        "created": now,
        "changed": now,
        "actor": "",
        "reason": "",
        "document": "",
    }


def publisher(bot: Any) -> Publish:
    """Write approved entries into the index of a bot, as a new version of it."""

    def publish(entry: Publication) -> str:
        import json

        from verticals.support.knowledge.ingest import Blob, ingest_blobs

        row = {"id": entry.id, "question": entry.question, "answer": entry.answer}
        data = (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8")
        blob = Blob(f"review:{entry.id}", f"{entry.id}.jsonl", lambda: data)
        settings = bot.settings
        done = ingest_blobs([blob], settings.index, bot.retrieval.encoder, list(entry.groups), settings.keep_versions)
        if done.failed:
            raise InputError(f"the entry could not be published: {done.failed[0].reason}.")
        bot.retrieval.refresh()
        return entry.id

    return publish
