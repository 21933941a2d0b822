"""Answers that agents wrote: found again by the vector of a question that is nearly the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np
from sqlalchemy import Connection, Engine, delete, insert, select, update

from core.errors import InputError
from core.operations.database import open_database
from verticals.support.redaction import redact
from verticals.support.replies import AnnotatedAnswer, Citation
from verticals.support.tables import annotations as table
from verticals.support.tables import metadata
from verticals.support.vectors import StoredVectors, packed

SAME = 0.98
"""Cosine from which two questions are the same one, so that the newer answer replaces the older."""


@dataclass(frozen=True)
class Annotation:
    """A question, the answer to give, and who may read it (an empty ``groups``: everybody)."""

    question: str
    answer: str
    intent: str | None = None
    groups: tuple[str, ...] = ()
    citations: tuple[Citation, ...] = ()


class Annotations:
    """The bot's ``Annotated``, over the database. Safe for several threads and processes."""

    def __init__(self, engine: Engine) -> None:
        """Use ``open``."""
        self.engine = engine
        self._vectors = StoredVectors(engine, table, keep=lambda row: bool(row.active))

    @classmethod
    def open(cls, settings: Any = None) -> "Annotations":
        """On the configured database; ``settings`` are the core's."""
        return cls(open_database(metadata, settings))

    def find(self, question_vector: np.ndarray, groups: Sequence[str] | None = None) -> AnnotatedAnswer | None:
        """The nearest answer that one of ``groups`` may read; without groups only what everybody may read."""
        readable = set(groups or ())
        hits = self._vectors.find(question_vector, 1, lambda row: not row.groups or bool(readable & set(row.groups)))
        if not hits:
            return None
        row, similarity = hits[0]
        citations = tuple(Citation(**values) for values in row.citations)
        return AnnotatedAnswer(row.id, row.question, row.answer, similarity, row.intent, citations)

    def save(
        self,
        annotation: Annotation,
        vector: np.ndarray,
        actor: str,
        now: datetime | None = None,
        connection: Connection | None = None,
    ) -> str:
        """Keep an answer, in place of an earlier one to the same question for the same readers. Returns its id.

        Raises InputError when question or answer is blank, or the answer holds personal data.
        """
        question, answer = redact(annotation.question.strip()).text, annotation.answer.strip()
        if not question or not answer:
            raise InputError("an annotated answer needs both a question and an answer.")
        if redact(answer).finds:
            raise InputError("the answer holds personal data, so it cannot be given to others; take it out.")
        groups = sorted(annotation.groups)
        hits = self._vectors.find(vector, 1, lambda row: sorted(row.groups) == groups)
        values = {
            "question": question,
            "answer": answer,
            "intent": annotation.intent,
            "groups": groups,
            "citations": [vars(citation) for citation in annotation.citations],
            "vector": packed(vector),
            "active": True,
            "actor": actor,
            "changed": now or datetime.now(UTC),
        }
        name = hits[0][0].id if hits and hits[0][1] >= SAME else uuid4().hex
        if connection is None:
            with self.engine.begin() as connection:
                return _put(connection, name, values)
        return _put(connection, name, values)

    def remove(self, name: str, now: datetime | None = None) -> None:
        """Use an answer no longer. Raises InputError when there is none of that id."""
        change = update(table).where(table.c.id == name, table.c.active)
        with self.engine.begin() as connection:
            done = connection.execute(change.values(active=False, changed=now or datetime.now(UTC)))
        if not done.rowcount:
            raise InputError(f"there is no annotated answer {name!r}.")

    def list(self) -> list[dict[str, Any]]:
        """Those in use, newest first."""
        wanted = select(table).where(table.c.active).order_by(table.c.changed.desc())
        with self.engine.connect() as connection:
            return [
                {name: value for name, value in row._mapping.items() if name not in ("vector", "active")}
                for row in connection.execute(wanted)
            ]


def _put(connection: Connection, name: str, values: dict[str, Any]) -> str:
    # Two people may correct the same answer at the same moment: the row is replaced as a whole.
    connection.execute(delete(table).where(table.c.id == name))
    connection.execute(insert(table).values(id=name, **values))
    return name
