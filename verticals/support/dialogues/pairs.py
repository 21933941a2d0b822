"""From conversations: which question was answered by what, and which was not answered at all."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.search.encoding import Encoder
from verticals.support.dialogues.logs import Dialogue, Message
from verticals.support.dialogues.small_talk import is_chinese, is_small_talk, passes_on
from verticals.support.redaction import redact

_THANKS = re.compile(
    r"\b(?:thanks?|thx|ta|cheers|great|perfect|brilliant|done|works?|worked|sorted|got it|lovely|phew|ok)\b"
    r"|谢|好的|解开",
    re.IGNORECASE,
)
_SHORTEST = 4  # words of an answer that can stand alone


@dataclass(frozen=True)
class Pair:
    """A customer's question and the best answer it got. ``rating`` orders answers to the same question."""

    question: str
    answer: str
    rating: float
    intent: str | None
    dialogues: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "rating": round(self.rating, 3), "dialogues": list(self.dialogues)}


@dataclass(frozen=True)
class Unanswered:
    """A question that nobody settled."""

    question: str
    dialogue: str
    intent: str | None


@dataclass(frozen=True)
class Learned:
    """What a log holds. ``redacted`` counts finds by kind, ``small_talk`` the conversations about nothing."""

    pairs: tuple[Pair, ...]
    unanswered: tuple[Unanswered, ...]
    merged: int
    small_talk: int
    redacted: dict[str, int]


def learn(dialogues: Sequence[Dialogue], encoder: Encoder | None = None, near: float = 0.95) -> Learned:
    """Pairs, best answer first where a question came more than once, and what stayed open.

    Personal data goes before anything else looks at a text. Questions whose vectors have a cosine of ``near`` or more
    count as the same one; without an encoder only those that differ in case and signs do.
    """
    counts: Counter[str] = Counter()
    pairs: list[Pair] = []
    unanswered: list[Unanswered] = []
    nothing = 0
    for dialogue in dialogues:
        messages = tuple(_clean(message, counts) for message in dialogue.messages)
        issues = list(_issues(messages))
        nothing += not issues
        for question, answers in issues:
            best = _best(answers, dialogue)
            if best is None:
                if _open(answers, dialogue):
                    unanswered.append(Unanswered(question, dialogue.id, dialogue.intent))
            else:
                pairs.append(Pair(question, best[1], best[0], dialogue.intent, (dialogue.id,)))
    kept = _merge(pairs, encoder, near)
    return Learned(tuple(kept), tuple(unanswered), len(pairs) - len(kept), nothing, dict(counts))


def _clean(message: Message, counts: Counter[str]) -> Message:
    found = redact(message.text)
    counts.update(found.counts)
    return replace(message, text=found.text)


def _issues(messages: Sequence[Message]) -> Iterator[tuple[str, list[tuple[Message, str]]]]:
    """Each question with the agent's messages until the next one, and what the customer said right after each."""
    question, answers = "", list[tuple[Message, str]]()
    for place, message in enumerate(messages):
        before = messages[place - 1] if place else None
        if message.role == "agent":
            after = messages[place + 1] if place + 1 < len(messages) else None
            if question:
                answers.append((message, after.text if after and after.role == "customer" else ""))
            continue
        if is_small_talk(message.text):
            continue
        if not question:
            question = message.text
        elif before is not None and before.role == "customer" and not answers:
            question = f"{question} {message.text}"
        elif _another(message, before, answers):
            yield question, answers
            question, answers = message.text, []
    if question:
        yield question, answers


def _another(message: Message, before: Message | None, answers: Sequence[tuple[Message, str]]) -> bool:
    """A further question, not a reply to the agent's question and not a repetition because the answer was wrong."""
    asked_back = before is not None and before.role == "agent" and before.text.rstrip().endswith(("?", "？"))
    refused = bool(answers) and answers[-1][0].accepted is False
    settled = any(answer.accepted for answer, _ in answers)
    return message.text.rstrip().endswith(("?", "？")) and settled and not asked_back and not refused


def _best(answers: Sequence[tuple[Message, str]], dialogue: Dialogue) -> tuple[float, str] | None:
    rated = []
    for place, (message, after) in enumerate(answers):
        if message.accepted is False or _says_nothing(message.text):
            continue
        if message.accepted is None and (dialogue.outcome not in (None, "resolved") or (dialogue.csat or 3) < 3):
            continue
        rating = 2.0 * bool(message.accepted) + (dialogue.csat or 3) / 5 + 0.5 * bool(_THANKS.search(after))
        rated.append((rating, -place, message.text))
    if not rated:
        return None
    rating, _, text = max(rated)
    return rating, text


def _says_nothing(text: str) -> bool:
    words = len(re.findall(r"[^\W\d_]+", text)) + len(re.findall(r"[\u3400-\u9fff]", text)) // 2
    asks = text.rstrip().endswith(("?", "？")) and text.count(".") + text.count("。") == 0
    return words < _SHORTEST or asks or is_small_talk(text) or passes_on(text)


def _open(answers: Sequence[tuple[Message, str]], dialogue: Dialogue) -> bool:
    """Without an outcome in the log, a question is open when no agent said anything of substance."""
    if dialogue.outcome is None:
        return all(_says_nothing(message.text) for message, _ in answers)
    return dialogue.outcome != "resolved" or (dialogue.csat or 3) < 3


def _merge(pairs: Sequence[Pair], encoder: Encoder | None, near: float) -> list[Pair]:
    by_text: dict[str, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: -pair.rating):
        by_text.setdefault(" ".join(re.findall(r"\w+", pair.question.casefold())), []).append(pair)
    groups = list(by_text.values())
    if encoder is not None and groups:
        groups = _merge_near(groups, encoder, near)
    return [replace(group[0], dialogues=tuple(name for pair in group for name in pair.dialogues)) for group in groups]


def _merge_near(groups: Sequence[list[Pair]], encoder: Encoder, near: float) -> list[list[Pair]]:
    """Best first. Chinese questions are left alone: to an English encoder many of them look the same."""
    vectors = np.asarray(encoder.encode([group[0].question for group in groups]), dtype=np.float32)
    kept: list[int] = []
    merged: list[list[Pair]] = []
    for row, group in enumerate(groups):
        likeness = vectors[kept] @ vectors[row] if kept else np.empty(0)
        if likeness.size and likeness.max() >= near and not is_chinese(group[0].question):
            merged[int(likeness.argmax())].extend(group)
        else:
            kept.append(row)
            merged.append(list(group))
    return merged
