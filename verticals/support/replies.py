"""What the bot answers, and what it is told: the shapes that commands, API, database and dashboard share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

Kind = Literal["template", "passage", "clarify", "handoff"]
Role = Literal["customer", "agent"]


@dataclass(frozen=True)
class Turn:
    """One message of a conversation, oldest first in a history."""

    role: Role
    text: str


@dataclass(frozen=True)
class Citation:
    """A quote of a document. ``start`` and ``end`` are character positions in the document's plain text, to highlight;
    ``score`` lies in [0, 1]; ``url`` is where the document came from, where it came from the web.
    """

    document: str
    title: str
    quote: str
    score: float
    start: int
    end: int
    url: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The contract's keys and the positions; ``url`` only when there is one."""
        shown = {
            "document": self.document,
            "title": self.title,
            "quote": self.quote,
            "score": round(self.score, 4),
            "start": self.start,
            "end": self.end,
        }
        return {**shown, "url": self.url} if self.url else shown


@dataclass(frozen=True)
class Reply:
    """The bot's answer to one question.

    ``confidence`` is the calibrated chance in [0, 1] that the answer is right (for a hand-over: that one of the
    answers at hand would have been). ``choices`` are the questions of a clarify, ``missing_slots`` what a template
    still asks for, ``summary`` what the human who takes over should know, ``similar`` resolved cases like this one,
    ``detail`` how the reply came about: source, reason, scores, redactions and stages with their milliseconds.
    """

    answer: str
    kind: Kind
    intent: str | None
    confidence: float
    citations: tuple[Citation, ...] = ()
    latency_ms: float = 0.0
    choices: tuple[str, ...] = ()
    missing_slots: tuple[str, ...] = ()
    summary: str = ""
    similar: tuple[Mapping[str, Any], ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The contract's keys; the others where they hold something."""
        result: dict[str, Any] = {
            "answer": self.answer,
            "kind": self.kind,
            "intent": self.intent,
            "confidence": round(self.confidence, 4),
            "citations": [citation.to_dict() for citation in self.citations],
            "latency_ms": round(self.latency_ms, 2),
        }
        extra = {
            "choices": list(self.choices),
            "missing_slots": list(self.missing_slots),
            "summary": self.summary,
            "similar": [dict(case) for case in self.similar],
            "detail": dict(self.detail),
        }
        return {**result, **{name: value for name, value in extra.items() if value}}


@dataclass(frozen=True)
class AnnotatedAnswer:
    """An agent's own answer to an earlier question; ``similarity`` is the cosine to the question asked now."""

    id: str
    question: str
    answer: str
    similarity: float
    intent: str | None = None
    citations: tuple[Citation, ...] = ()


class Annotated(Protocol):
    """Where the bot looks for annotated answers first."""

    def find(self, question_vector: np.ndarray, groups: Sequence[str] | None = None) -> AnnotatedAnswer | None:
        """The nearest annotated answer that one of ``groups`` may read, by the unit vector [d] of a question.

        However far it is; None without any.
        """


class SimilarCases(Protocol):
    """Where the bot looks for earlier cases that were resolved."""

    def find(self, question_vector: np.ndarray, k: int = 3) -> Sequence[Mapping[str, Any]]:
        """Up to k cases, nearest first, each with ``question``, ``answer`` and ``similarity``."""
