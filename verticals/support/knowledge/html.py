"""HTML: what a reader of the page sees, and nothing that is hidden from them."""

import re
from collections.abc import Iterator
from typing import Any

from verticals.support.knowledge.documents import Parsed, Writer, clean

_SKIPPED = frozenset(
    """script style template noscript head nav footer form button select input textarea svg iframe object""".split()  # noqa: SIM905
)
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_BLOCKS = frozenset(
    """p div section article main aside header li ul ol dl dt dd table tr blockquote pre figure br hr body html
    details summary figcaption caption tbody thead tfoot address""".split()  # noqa: SIM905 - thirty strings in quotes read worse
)
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|font-size\s*:\s*0(?![.\d]*[1-9])|opacity\s*:\s*0(?![.\d]*[1-9])"
    r"|(?:left|top|text-indent)\s*:\s*-\d{3,}|(?<![-\w])(?:width|height)\s*:\s*0(?:px)?\s*(?:;|$)|clip\s*:\s*rect\(0",
    re.IGNORECASE,
)
_WHITE = re.compile(r"color\s*:\s*(?:white|#fff(?:fff)?)\b", re.IGNORECASE)


def parse_html(text: str) -> Parsed:
    """Headings make sections; scripts, navigation, comments and hidden elements go. The title is <title> or <h1>."""
    root = _root(text)
    writer = Writer()
    for heading, line in _lines(root):
        writer.heading(line) if heading else writer.block(line)
    title = clean(" ".join(root.xpath("//title/text()"))) if root is not None else ""
    language = (root.get("lang") or "")[:2].lower() if root is not None else ""
    return writer.done(title=writer.first_heading or title, language=language or None)


def html_blocks(text: str) -> list[tuple[bool, str]]:
    """(is a heading, text) of each visible block."""
    return list(_lines(_root(text)))


def _root(text: str) -> Any:
    from lxml import etree, html

    # huge_tree stays off: the parser's own limits on depth and text size are wanted.
    parser = html.HTMLParser(remove_comments=True, remove_pis=True, encoding="utf-8")
    data = text.encode("utf-8", "replace")
    try:
        return html.fromstring(data, parser=parser)
    except etree.ParserError:  # nothing but comments or blanks
        return None


def _lines(root: Any) -> Iterator[tuple[bool, str]]:
    if root is None:
        return
    line: list[str] = []
    inside = 0  # headings around
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:  # a stack of one's own: deep nesting must not end in a RecursionError
        element, closing = stack.pop()
        if isinstance(element, str):
            line.append(element)
            continue
        tag = element.tag if isinstance(element.tag, str) else ""
        if closing or tag in _BLOCKS or tag in _HEADINGS:
            joined = clean("".join(line))
            if joined:
                yield bool(inside), joined
            line = []
        if closing:
            inside -= tag in _HEADINGS
            continue
        if tag in _SKIPPED or _hidden(element):
            continue
        if tag in ("td", "th") and line:
            line.append("; ")
        inside += tag in _HEADINGS
        if tag in _BLOCKS or tag in _HEADINGS:
            stack.append((element, True))
        for child in reversed(element):
            if child.tail:
                stack.append((child.tail, False))
            stack.append((child, False))
        if element.text:
            stack.append((element.text, False))
    joined = clean("".join(line))
    if joined:
        yield False, joined


def _hidden(element: Any) -> bool:
    style = element.get("style") or ""
    return (
        element.get("hidden") is not None
        or (element.get("aria-hidden") or "").lower() == "true"
        or bool(_HIDING.search(style))
        or bool(_WHITE.search(style))
    )
