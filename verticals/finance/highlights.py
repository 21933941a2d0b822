"""Which words drove a label: each is left out in turn, and what that does to the score is its weight."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.errors import InputError
from verticals.finance import sentiment

MOST_WORDS = 96  # of a text; what follows is not explained
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+(?:[.,'\u2019%-][^\W_]+)*%?")


@dataclass(frozen=True)
class Highlight:
    """One word at [start, end). ``weight`` is how much more negative it makes the text, from -2 to 2."""

    word: str
    start: int
    end: int
    weight: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def explain(text: str, predictor: Any | None = None, company: str | None = None) -> list[Highlight]:
    """Occlusion (Zeiler and Fergus, ECCV 2014): P(positive) - P(negative) without a word, less that of the whole.

    All texts with one word left out are one batch. ``company``: toward it, with a model for pairs. Returns nothing
    for a text without words. Raises InputError when the model cannot be opened.
    """
    words = list(_WORD.finditer(text))[:MOST_WORDS]
    if not words:
        return []
    if predictor is None:
        from verticals.finance.labels import language_of
        from verticals.finance.served import served

        desk = served().desks["en" if language_of(text) == "en" else "*"]
        if desk is None:
            raise InputError("no model for this text's language is installed: make weights, then tune one.")
        predictor = desk.entities if company and desk.entities else desk.sentiment
    without = [text[: word.start()] + text[word.end() :] for word in words]
    scores = _scores(predictor, [text, *without], company)
    return [
        Highlight(word.group(), word.start(), word.end(), score - scores[0])
        for word, score in zip(words, scores[1:], strict=True)
    ]


def _scores(predictor: Any, texts: Sequence[str], company: str | None) -> list[float]:
    if company is None:
        return [sentiment.score_of(found) for found in sentiment.of_texts(predictor, texts)]
    return [sentiment.score_of(found) for found in sentiment.toward(predictor, texts, [company] * len(texts))]
