"""From passages to an answer: the sentences that answer, as they stand in the document."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verticals.support.knowledge.store import Knowledge
from verticals.support.replies import Citation
from verticals.support.retrieval import Found

SENTENCES = 3
_NEAR = 0.12  # a neighbour this much further from the question than the best sentence still belongs to the answer
_LIST = re.compile(r"^(?:first|then|next|finally|also|otherwise|from then on|in that case|it|this|that|they)\b", re.I)


@dataclass(frozen=True)
class Extract:
    """Neighbouring sentences of one passage, and how near the best of them is to the question (cosine)."""

    citation: Citation
    best_sentence: float


def extract(vector: np.ndarray, found: Found, knowledge: Knowledge, most: int = SENTENCES) -> Extract:
    """The run of at most ``most`` sentences of a passage that answers a question with this unit vector [d].

    It grows from the nearest sentence to the nearer neighbour while that is nearly as near or leans on what stands
    before it.
    """
    own = found.indexed.passage.sentences
    near = np.asarray(knowledge.sentence_vectors[found.indexed.sentence_rows], np.float32) @ vector
    first = last = int(np.argmax(near))
    text = found.document.text
    while last - first + 1 < min(most, len(own)):
        before = near[first - 1] if first > 0 else -np.inf
        after = near[last + 1] if last + 1 < len(own) else -np.inf
        leans = first > 0 and _LIST.match(text[own[first].start : own[first].end])
        if leans or before > after:
            first -= 1
        elif after >= near.max() - _NEAR or last == int(np.argmax(near)):
            last += 1
        else:
            break
    start, end = own[first].start, own[last].end
    score = float(np.clip(found.hit.score, 0.0, 1.0))
    document = found.document
    quote = Citation(document.id, document.title, text[start:end], score, start, end, document.url)
    return Extract(quote, float(np.clip(near.max(), 0.0, 1.0)))


def cite(vector: np.ndarray, found: Sequence[Found], knowledge: Knowledge, most: int = 2) -> tuple[Citation, ...]:
    """One quote from each of the first ``most`` documents among the passages."""
    quotes: dict[str, Citation] = {}
    for one in found:
        if one.document.id not in quotes and len(quotes) < most:
            quotes[one.document.id] = extract(vector, one, knowledge).citation
    return tuple(quotes.values())
