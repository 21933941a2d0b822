"""One piece of news as a source gave it, before anything is known about it."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

MAX_TITLE = 500
MAX_SUMMARY = 5_000
MAX_TEXT = 100_000

_TAG = re.compile(r"<(?:[a-zA-Z/!?][^<>]*)>")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_BLOCK = (
    *("p", "div", "br", "li", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6"),
    *("blockquote", "ul", "ol", "table", "section", "article"),
)
_SPACE = re.compile(r"\s+")
# Invisible: control characters, zero-width marks, bidirectional overrides, byte order mark, lone surrogates.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Item:
    """A headline with what came along. Times are UTC; ``found`` is when it was read."""

    source: str
    title: str
    found: datetime
    url: str | None = None
    guid: str | None = None
    published: datetime | None = None
    date_only: bool = False  # the source gave a day without a time; published is its midnight
    summary: str = ""
    text: str = ""
    language: str | None = None
    tags: tuple[str, ...] = ()
    row: int | None = None  # of an archive's file, as an editor counts lines
    notes: tuple[str, ...] = ()  # what had to be mended

    @property
    def time(self) -> datetime:
        """When it was published, or else found."""
        return self.published or self.found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, times in ISO 8601."""
        values = asdict(self)
        values["found"] = self.found.isoformat()
        values["published"] = self.published.isoformat() if self.published else None
        values["tags"], values["notes"] = list(self.tags), list(self.notes)
        return values


def squeeze(text: str, limit: int) -> str:
    """White space to single blanks, invisible characters away, cut after ``limit`` characters at a word."""
    text = _SPACE.sub(" ", _INVISIBLE.sub("", text[: limit * 20])).strip()
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[limit // 2 :] else cut).rstrip() + "…"


def plain_text(markup: str, limit: int = MAX_SUMMARY) -> str:
    """The text of a piece of HTML; of plain text, the text itself ('profit < 5%' stays)."""
    if len(markup) > limit * 20:
        markup = markup[: limit * 20]
    if not _TAG.search(markup):
        if _ENTITY.search(markup):
            import html

            markup = html.unescape(markup)
        return squeeze(markup, limit)
    import lxml.html
    from lxml import etree

    try:
        root = lxml.html.fromstring(f"<div>{_INVISIBLE.sub('', markup)}</div>")
    except (etree.LxmlError, ValueError):
        return squeeze(_TAG.sub(" ", markup), limit)
    etree.strip_elements(root, "script", "style", "iframe", "object", "noscript", etree.Comment, with_tail=False)
    for element in root.iter(*_BLOCK):
        element.tail = " " + (element.tail or "")
        element.text = " " + (element.text or "")
    return squeeze("".join(root.itertext()), limit)


def web_url(value: str | None, base: str) -> str | None:
    """An absolute http(s) address, or None for anything else (javascript:, data:, mailto:, nonsense)."""
    value = _INVISIBLE.sub("", value or "").strip().replace("\n", "").replace("\r", "").replace("\t", "")
    if not value or len(value) > 2048:
        return None
    try:
        url = urljoin(base, value)
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    return url.replace(" ", "%20")


def tag_list(values: Sequence[str | None]) -> tuple[str, ...]:
    """Up to twenty different short labels in their order."""
    found = dict.fromkeys(squeeze(value, 80) for value in values if value)
    return tuple([tag for tag in found if tag][:20])
