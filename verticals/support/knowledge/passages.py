"""Sentences and passages of a document, with their positions in its text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from verticals.support.knowledge.documents import KnowledgeDocument

WORDS = 70  # a passage's most, about: a short one is about one thing, and MiniLM reads it whole
_CJK = re.compile(r"[\u3400-\u9fff]")
_ABBREVIATIONS = frozenset("mr mrs ms dr prof st no vs etc e.g i.e approx incl max min fig p pp nr".split())  # noqa: SIM905
_END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s)|[。！？；]+[”’」』）]*|\n")


@dataclass(frozen=True)
class Sentence:
    """``text[start:end]`` of a document."""

    start: int
    end: int


@dataclass(frozen=True)
class Passage:
    """Neighbouring sentences of one section, ``text[start:end]``."""

    heading: str
    start: int
    end: int
    sentences: tuple[Sentence, ...]


def sentences(text: str, start: int = 0, end: int | None = None) -> Iterator[Sentence]:
    """Sentences of ``text[start:end]``; a line break always ends one. None is blank, and none overlap."""
    end = len(text) if end is None else end
    begin = start
    for match in _END.finditer(text, start, end):
        if match[0].startswith(".") and _goes_on(text, begin, match.start(), match.end(), end):
            continue
        yield from _stripped(text, begin, match.end())
        begin = match.end()
    yield from _stripped(text, begin, end)


def _goes_on(text: str, begin: int, dot: int, after: int, end: int) -> bool:
    """A full stop behind an abbreviation or an initial, or before a small letter, ends nothing."""
    word = re.search(r"[\w.]*$", text[begin:dot])
    last = word[0].lower() if word else ""
    if last in _ABBREVIATIONS or (len(last) == 1 and last.isalpha()):
        return True
    following = text[after:end].lstrip(" ")
    return bool(following) and following[0].islower()


def _stripped(text: str, start: int, end: int) -> Iterator[Sentence]:
    piece = text[start:end]
    begin = start + len(piece) - len(piece.lstrip())
    finish = start + len(piece.rstrip())
    if finish > begin:
        yield Sentence(begin, finish)


def passages(document: KnowledgeDocument, words: int = WORDS) -> list[Passage]:
    """Passages by sections and sentences; one sentence that is longer than ``words`` is a passage of its own."""
    found: list[Passage] = []
    for section in document.sections:
        waiting: list[Sentence] = []
        size = 0
        for sentence in sentences(document.text, section.start, section.end):
            length = _words(document.text[sentence.start : sentence.end])
            if waiting and size + length > words:
                found.append(_passage(section.heading, waiting))
                waiting, size = [], 0
            waiting.append(sentence)
            size += length
        if waiting:
            found.append(_passage(section.heading, waiting))
    return found


def _passage(heading: str, own: list[Sentence]) -> Passage:
    return Passage(heading, own[0].start, own[-1].end, tuple(own))


def _words(text: str) -> int:
    """Words, with two Chinese characters counted as one."""
    return len(text.split()) + len(_CJK.findall(text)) // 2
