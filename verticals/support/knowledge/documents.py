"""Documents as plain text with sections, and what every reader gives."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

PUBLIC = ("public",)

_SPACES = re.compile(r"[^\S\n]+")
_JOINERS = re.compile(r"(?<![\u0600-\u06ff\u0750-\u077f\u0900-\u0dff])[\u200c\u200d]")
_LINES = re.compile(r"\s*\n\s*")


@dataclass(frozen=True)
class Section:
    """``text[start:end]`` stands under this heading; the heading itself is not in it."""

    heading: str
    start: int
    end: int


@dataclass(frozen=True)
class Parsed:
    """What a reader found: plain text and what the file says about itself. None: the file does not say."""

    text: str
    sections: tuple[Section, ...]
    title: str = ""
    id: str | None = None
    language: str | None = None
    groups: tuple[str, ...] | None = None
    updated: str | None = None
    url: str | None = None
    questions: tuple[str, ...] = ()


@dataclass(frozen=True)
class KnowledgeDocument:
    """One document of the knowledge base.

    ``text`` is plain: positions of passages and citations are positions in it. ``groups`` may read it. ``questions``
    are what an FAQ entry answers. ``source`` is the file or address it came from, ``digest`` the SHA-256 of those
    bytes; the same digest means that nothing has to be read again.
    """

    id: str
    title: str
    text: str
    sections: tuple[Section, ...]
    language: str
    groups: tuple[str, ...]
    source: str
    digest: str
    updated: str | None = None
    url: str | None = None
    questions: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "KnowledgeDocument":
        """The inverse of ``to_dict``."""
        sections = tuple(Section(**section) for section in values["sections"])
        lists = {"groups": tuple(values["groups"]), "questions": tuple(values["questions"])}
        return cls(**{**values, **lists, "sections": sections})


@dataclass
class Writer:
    """Collects plain text block by block and remembers which heading it stands under."""

    blocks: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    length: int = 0
    first_heading: str = ""
    _heading: str = ""
    _start: int = 0

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._close()
        self._heading = clean(text)
        self.first_heading = self.first_heading or self._heading

    def block(self, text: str) -> None:
        """Add a paragraph, a list item or a table row."""
        text = clean(text)
        if text:
            self.blocks.append(text)
            self.length += len(text) + 1

    def done(self, **about: Any) -> Parsed:
        """Everything as one text, a line a block."""
        self._close()
        return Parsed("\n".join(self.blocks), tuple(self.sections), **about)

    def _close(self) -> None:
        end = max(self.length - 1, 0)
        if end > self._start:
            self.sections.append(Section(self._heading, self._start, end))
        self._start = self.length


def clean(text: str) -> str:
    """One line without characters that nobody sees: zero-width, bidirectional controls, tags, soft hyphens.

    Such characters can carry text that a reader of the page never sees. Joiners stay where a script needs them.
    """
    text = unicodedata.normalize("NFC", _JOINERS.sub("", text))
    seen = (c for c in text if c in "\n\t\u200c\u200d" or unicodedata.category(c) not in ("Cf", "Cc", "Cs", "Co", "Cn"))
    return _SPACES.sub(" ", _LINES.sub(" ", "".join(" " if c == "\t" else c for c in seen))).strip()


def digest(data: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
