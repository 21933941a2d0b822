"""Resolved cases of the logs, shown to an agent beside a new question."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Engine, delete, insert, select

from core.operations.database import open_database
from verticals.support.dialogues.pairs import Pair
from verticals.support.tables import cases as table
from verticals.support.tables import metadata
from verticals.support.vectors import StoredVectors, packed


class Cases:
    """The bot's ``SimilarCases``, over the database."""

    def __init__(self, engine: Engine) -> None:
        """Use ``open``."""
        self.engine = engine
        self._vectors = StoredVectors(engine, table)

    @classmethod
    def open(cls, settings: Any = None) -> "Cases":
        """On the configured database; ``settings`` are the core's."""
        return cls(open_database(metadata, settings))

    def find(self, question_vector: np.ndarray, k: int = 3) -> list[dict[str, Any]]:
        """Up to k cases, nearest first; one a different answer."""
        found: dict[str, dict[str, Any]] = {}
        for row, similarity in self._vectors.find(question_vector, 4 * k):
            case = {"question": row.question, "answer": row.answer, "similarity": round(similarity, 4)}
            found.setdefault(row.answer, {**case, "intent": row.intent, "source": row.source})
            if len(found) == k:
                break
        return list(found.values())

    def any(self) -> bool:
        """Whether there is a case."""
        with self.engine.connect() as connection:
            return connection.execute(select(table.c.id).limit(1)).first() is not None

    def replace(self, pairs: Sequence[Pair], vectors: np.ndarray, source: str, now: datetime | None = None) -> int:
        """Put these in the place of what came from ``source`` before. Returns how many there are."""
        time = now or datetime.now(UTC)
        rows = {
            (name := _name(source, pair)): {
                "id": name,
                "question": pair.question,
                "answer": pair.answer,
                "intent": pair.intent,
                "rating": pair.rating,
                "source": source,
                "vector": packed(vector),
                "changed": time,
            }
            for pair, vector in zip(pairs, vectors, strict=True)
        }
        with self.engine.begin() as connection:
            connection.execute(delete(table).where(table.c.source == source))
            if rows:
                connection.execute(insert(table), list(rows.values()))
        return len(rows)


def _name(source: str, pair: Pair) -> str:
    return hashlib.sha256(f"{source}\n{pair.question}\n{pair.answer}".encode()).hexdigest()[:32]
