"""RSS 0.9x-2.0, RDF (RSS 1.0), Atom and JSON Feed, read whatever state they are in.

XML is read by lxml in its recovering mode with entities, document types and the network switched off: a document type
declaration is cut out before parsing, so nothing can be expanded (billion laughs) or included (XXE).
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from html.entities import html5
from typing import Any

from verticals.finance.fetching.dates import parse_date
from verticals.finance.fetching.items import MAX_TEXT, MAX_TITLE, Item, plain_text, tag_list, web_url

MAX_ITEMS = 20_000
_XML_BASE = "{http://www.w3.org/XML/1998/namespace}base"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_RDF_ABOUT = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about"
# First published before last touched: the date of the news, not of a correction.
_DATE_NAMES = ("pubdate", "published", "issued", "date", "created", "updated", "modified", "lastbuilddate")
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_DOCTYPE = re.compile(r"<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>", re.IGNORECASE | re.DOTALL)
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")  # XML 1.0 2.2
_NAMED = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31});")
_XML_ENTITIES = frozenset({"lt", "gt", "amp", "quot", "apos"})
_PERIODS = {"hourly": 3600, "daily": 86400, "weekly": 604800, "monthly": 2592000, "yearly": 31536000}


class Unreadable(Exception):
    """The document came but is not what it should be; the message says what it is."""


@dataclass(frozen=True)
class Feed:
    """What a feed says: its items in its order, and how long it wants to be left alone."""

    format: str
    items: tuple[Item, ...]
    title: str = ""
    language: str | None = None
    ttl: timedelta | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What every item of one reading shares."""

    source: str
    url: str
    now: datetime
    language: str | None = None
    timezone: str = "UTC"
    tags: tuple[str, ...] = ()
    clamp: bool = True  # dates ahead of now become now; off for an archive that is replayed under another clock


def parse_feed(text: str, context: Context, max_items: int = MAX_ITEMS) -> Feed:
    """Read a feed of any of the formats; raises Unreadable for what is none."""
    start = text.lstrip("\ufeff \t\r\n")[:1]
    if start == "{":
        return _json_feed(text, context, max_items)
    if start != "<":
        raise Unreadable(
            "the answer is empty" if not start else "the answer is no feed: it begins with neither < nor {"
        )
    return _xml_feed(text, context, max_items)


def parse_xml(text: str) -> tuple[Any, list[str]]:
    """An element tree of possibly broken XML and notes on what was done; raises Unreadable without a root."""
    from lxml import etree

    notes = []
    text = _ILLEGAL.sub("", _DECLARATION.sub("", text.lstrip("\ufeff"), count=1))
    text, declared = _DOCTYPE.subn("", text)
    if declared:
        notes.append("a document type declaration was left out")
    text = _NAMED.sub(_numeric, text)
    parser = etree.XMLParser(
        encoding="utf-8", recover=True, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(text.strip().encode("utf-8"), parser)
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"the XML cannot be read ({error})") from error
    if root is None:
        raise Unreadable("the answer holds no XML")
    if any(entry.level_name in ("ERROR", "FATAL") for entry in parser.error_log):
        notes.append(f"the XML is broken in line {parser.error_log[0].line} and was mended")
    return root, notes


def _numeric(match: re.Match[str]) -> str:
    name = match[1]
    if name in _XML_ENTITIES:
        return match[0]
    characters = html5.get(name + ";")
    return "".join(f"&#{ord(c)};" for c in characters) if characters else f"&amp;{name};"


@lru_cache(maxsize=4096)
def _local(tag: str) -> str:
    return tag.rpartition("}")[2].rpartition(":")[2].lower()


def local(element: Any) -> str:
    """The element's name without namespace or undeclared prefix, in lower case; empty for comments and the like."""
    tag = element.tag
    return _local(tag) if isinstance(tag, str) else ""


def _xml_feed(text: str, context: Context, max_items: int) -> Feed:
    root, notes = parse_xml(text)
    name = local(root)
    if name == "html":
        links = root.xpath("//*[local-name()='link'][contains(@type,'rss') or contains(@type,'atom')]/@href")
        found = web_url(links[0], context.url) if links else None
        raise Unreadable("the answer is a web page, not a feed" + (f"; it names the feed {found}" if found else ""))
    if name not in ("rss", "rdf", "feed", "channel"):
        raise Unreadable(f"the answer is XML of another kind (<{name}>), not a feed")
    channel = next((e for e in root.iter() if local(e) in ("channel", "feed")), root)
    language = _first(channel, "language") or channel.get(_XML_LANG) or root.get(_XML_LANG)
    entries = [e for e in root.iter() if local(e) in ("item", "entry")]
    if len(entries) > max_items:
        notes.append(f"only the first {max_items} of {len(entries)} items were read")
    items = tuple(i for i in (_entry(e, context, language) for e in entries[:max_items]) if i is not None)
    if dropped := min(len(entries), max_items) - len(items):
        notes.append(f"{dropped} items had neither title nor text")
    format = {"rss": "rss", "channel": "rss", "rdf": "rdf", "feed": "atom"}[name]
    return Feed(format, items, plain_text(_first(channel, "title"), 200), language, _ttl(channel), tuple(notes))


def _first(element: Any, *names: str) -> str:
    """Text of the first child that has one of the names, tried in their order."""
    for name in names:
        for child in element:
            if local(child) == name and (text := _content(child)):
                return text
    return ""


def _content(element: Any) -> str:
    """Text of an element; markup inside it (Atom's xhtml, forgotten escapes) is kept as markup."""
    if len(element) == 0:
        return (element.text or "").strip()
    from lxml import etree

    inner = "".join(etree.tostring(child, encoding="unicode") for child in element)
    return ((element.text or "") + inner).strip()


def _entry(entry: Any, context: Context, language: str | None) -> Item | None:
    base = context.url
    for holder in reversed([entry, *entry.iterancestors()]):
        if own := holder.get(_XML_BASE):
            base = web_url(own, base) or base
    fields: dict[str, str] = {}
    for child in entry:
        if (name := local(child)) not in fields and (text := _content(child)):
            fields[name] = text

    def first(*names: str) -> str:
        return next((fields[name] for name in names if name in fields), "")

    guid = first("guid", "id") or entry.get(_RDF_ABOUT) or None
    return make_item(
        context,
        title=plain_text(first("title", "headline"), MAX_TITLE),
        url=_link(entry, base, guid, first("origlink")),
        guid=guid,
        date=first(*_DATE_NAMES),
        summary=plain_text(first("description", "summary", "subtitle")),
        text=plain_text(first("encoded", "content", "body"), MAX_TEXT),
        language=entry.get(_XML_LANG) or language,
        tags=[child.get("term") or _content(child) for child in entry if local(child) in ("category", "subject")],
    )


def _link(entry: Any, base: str, guid: str | None, original: str) -> str | None:
    candidates: list[str | None] = [original]  # FeedBurner's, ahead of its own redirect
    links = [child for child in entry if local(child) == "link"]
    candidates += [c.get("href") for c in links if c.get("rel", "alternate") == "alternate" and c.get("href")]
    candidates += [_content(child) for child in links if not child.get("href")]
    guids = [child for child in entry if local(child) in ("guid", "id")]
    if guid and guid.startswith(("http://", "https://")) and all(g.get("isPermaLink") != "false" for g in guids):
        candidates.append(guid)
    return next((url for url in (web_url(c, base) for c in candidates if c) if url), None)


def make_item(
    context: Context,
    title: str,
    url: str | None,
    guid: str | None,
    date: str | int | float | None,
    summary: str = "",
    text: str = "",
    language: str | None = None,
    tags: Iterable[str | None] = (),
    row: int | None = None,
) -> Item | None:
    """An item with its date read and a title in any case (the text's beginning when it has none), or None if empty."""
    notes = []
    if not title:
        title = plain_text(summary or text, 120)
        notes.append("it had no title; its text's beginning was taken")
    if not title:
        return None
    moment = parse_date(date, context.now if context.clamp else None, context.timezone)
    if moment.note:
        notes.append(moment.note)
    elif moment.at is None:
        notes.append("it had no date")
    return Item(
        source=context.source,
        title=title,
        found=context.now,
        url=url,
        guid=guid[:1000] if guid else None,
        published=moment.at,
        date_only=moment.date_only,
        summary=summary if summary != title else "",
        text=text,
        language=context.language or (language or "").strip().replace("_", "-")[:20] or None,
        tags=tag_list([*context.tags, *tags]),
        row=row,
        notes=tuple(notes),
    )


def _ttl(channel: Any) -> timedelta | None:
    """RSS <ttl> in minutes, or the syndication module's period (web.resource.org/rss/1.0/modules/syndication)."""
    minutes = _first(channel, "ttl")
    if minutes.isascii() and minutes.isdigit() and int(minutes[:9]) > 0:
        return min(timedelta(minutes=int(minutes[:9])), timedelta(days=1))
    period, frequency = _PERIODS.get(_first(channel, "updateperiod").lower()), _first(channel, "updatefrequency")
    if period is None:
        return None
    times = int(frequency[:6]) if frequency.isascii() and frequency.isdigit() else 1
    return min(timedelta(seconds=period / max(times, 1)), timedelta(days=1))


def _json_feed(text: str, context: Context, max_items: int) -> Feed:
    try:
        document = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the JSON cannot be read ({error})") from error
    rows = document.get("items") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise Unreadable("the JSON is no JSON Feed: it has no list of items")
    language = _text(document.get("language")) or None
    items = tuple(_json_items(rows[:max_items], context, language))
    notes = [f"only the first {max_items} of {len(rows)} items were read"] if len(rows) > max_items else []
    if dropped := min(len(rows), max_items) - len(items):
        notes.append(f"{dropped} items had neither title nor text")
    return Feed("json_feed", items, plain_text(_text(document.get("title")), 200), language, None, tuple(notes))


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _json_items(rows: list[Any], context: Context, language: str | None) -> Iterator[Item]:
    for row in rows:
        if not isinstance(row, dict):
            continue
        body = _text(row.get("content_text")) or _text(row.get("content_html"))
        tags = row.get("tags")
        item = make_item(
            context,
            title=plain_text(_text(row.get("title")), MAX_TITLE),
            url=web_url(_text(row.get("url")) or _text(row.get("external_url")), context.url),
            guid=_text(row.get("id")) or None,
            date=_text(row.get("date_published")) or _text(row.get("date_modified")),
            summary=plain_text(_text(row.get("summary"))),
            text=plain_text(body, MAX_TEXT),
            language=_text(row.get("language")) or language,
            tags=[_text(tag) for tag in tags] if isinstance(tags, list) else [],
        )
        if item is not None:
            yield item
