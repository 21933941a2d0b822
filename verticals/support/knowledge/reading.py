"""From bytes to documents: which reader a file has, what is refused, and what language it is in."""

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.errors import InputError
from verticals.support.knowledge.documents import PUBLIC, KnowledgeDocument, Parsed, Writer
from verticals.support.knowledge.faq import parse_csv, parse_jsonl
from verticals.support.knowledge.html import parse_html
from verticals.support.knowledge.markdown import parse_markdown
from verticals.support.knowledge.office import parse_docx, parse_pdf

FILE_BYTES = 50 * 2**20
TEXT_CHARACTERS = 5_000_000
_NAME = re.compile(r"[^\w.-]+")
_LANGUAGES = ["en", "zh", "de", "fr", "es", "it", "pt", "nl", "pl", "ja", "ko", "ru", "ar", "tr", "sv"]
_identifying = threading.Lock()


def parse_text(text: str) -> Parsed:
    """A blank line separates paragraphs; there are no headings."""
    writer = Writer()
    for paragraph in re.split(r"\n\s*\n", text):
        writer.block(paragraph)
    return writer.done()


Reader = Callable[[bytes], list[Parsed]]


def _from_text(parse: Callable[[str], Any]) -> Reader:
    def read(data: bytes) -> list[Parsed]:
        found = parse(decode(data))
        return found if isinstance(found, list) else [found]

    return read


READERS: dict[str, Reader] = {
    ".md": _from_text(parse_markdown),
    ".markdown": _from_text(parse_markdown),
    ".html": _from_text(parse_html),
    ".htm": _from_text(parse_html),
    ".txt": _from_text(parse_text),
    ".csv": _from_text(parse_csv),
    ".tsv": _from_text(lambda text: parse_csv(text, "\t")),
    ".jsonl": _from_text(parse_jsonl),
    ".pdf": lambda data: [parse_pdf(data)],
    ".docx": lambda data: [parse_docx(data)],
}


def decode(data: bytes) -> str:
    """Text of unknown encoding. Raises InputError for bytes that are none."""
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError("it is not text but binary data")
    try:
        return data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        best = from_bytes(data[: 1 << 20]).best()
        if best is None:
            raise InputError("its encoding cannot be told; save it as UTF-8") from None
        return data.decode(best.encoding, "replace")


def read_documents(
    data: bytes, name: str, source: str, digest: str, groups: Sequence[str] | None = None
) -> list[KnowledgeDocument]:
    """The documents in a file's bytes; ``name`` gives the kind by its ending. ``groups`` come before the file's own.

    Raises InputError with the reason when there is none to be had.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in READERS:
        raise InputError(f"there is no reader for {suffix or 'a file without an ending'}; known: {', '.join(READERS)}")
    if not data.strip():
        raise InputError("it is empty")
    if len(data) > FILE_BYTES:
        raise InputError(f"it has {len(data):,} bytes; at most {FILE_BYTES:,} are read: split it")
    found = [parsed for parsed in READERS[suffix](data) if parsed.text]
    if not found:
        raise InputError("it holds no text that can be seen")
    if sum(len(parsed.text) for parsed in found) > TEXT_CHARACTERS:
        raise InputError(f"it holds more than {TEXT_CHARACTERS:,} characters of text: split it")
    stem = _NAME.sub("-", Path(name).stem).strip("-") or "document"
    made = []
    for number, parsed in enumerate(found, 1):
        fallback = stem if len(found) == 1 else f"{stem}-{number}"
        made.append(
            KnowledgeDocument(
                id=parsed.id or fallback,
                title=parsed.title or stem,
                text=parsed.text,
                sections=parsed.sections,
                language=parsed.language or language(parsed.text),
                groups=tuple(groups) if groups else parsed.groups or PUBLIC,
                source=source,
                digest=digest,
                updated=parsed.updated,
                url=parsed.url or (source if source.startswith(("http://", "https://")) else None),
                questions=parsed.questions,
            )
        )
    ids = [document.id for document in made]
    if len(set(ids)) != len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise InputError(f"the id {twice!r} is there twice; ids must be unique")
    return made


def language(text: str) -> str:
    """ISO 639-1 code, by py3langid among the languages a help desk is likely to have."""
    import py3langid

    with _identifying:  # its model is shared and sets its languages once
        if getattr(language, "ready", None) is None:
            py3langid.set_languages(_LANGUAGES)
            language.ready = True  # type: ignore[attr-defined]
        return str(py3langid.classify(text[:2000])[0])
