"""Web pages: lists of articles by CSS selectors, sitemaps, and an article's text."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from core.fetching.bodies import Damaged, TooLarge, gunzip
from core.fetching.charsets import decode
from verticals.finance.fetching.dates import parse_date
from verticals.finance.fetching.feeds import Context, Unreadable, local, make_item, parse_xml
from verticals.finance.fetching.items import MAX_TEXT, MAX_TITLE, Item, plain_text, squeeze, tag_list, web_url
from verticals.finance.sources import Selectors

_log = logging.getLogger(__name__)

MAX_ENTRIES = 50_000  # of a sitemap file (sitemaps.org)
MAX_SITEMAP = 50 * 1024 * 1024
MAX_TREE = 50_000  # elements; trafilatura's time grows with them
_SHORT = 40  # characters; shorter paragraphs are captions, buttons and notices
_DATES = (
    "//meta[@property='article:published_time' or @property='og:published_time']/@content",
    "//meta[@itemprop='datePublished' or @name='date' or @name='pubdate' or @name='publish-date']/@content",
    "//*[@itemprop='datePublished']/@datetime",
    "//article//time/@datetime",
)


@dataclass(frozen=True)
class Article:
    """What an article's page says."""

    title: str
    text: str
    published: datetime | None = None
    date_only: bool = False
    language: str | None = None
    canonical: str | None = None  # the address the page calls its own
    method: str = "trafilatura"  # or "paragraphs", "description" where that found nothing


@dataclass(frozen=True)
class Sitemap:
    """One sitemap file: pages, or further sitemaps with the time of their latest change."""

    items: tuple[Item, ...] = ()
    children: tuple[tuple[str, datetime | None], ...] = ()
    notes: tuple[str, ...] = ()


def _tree(text: str) -> Any:
    import lxml.html
    from lxml import etree

    # lxml refuses text that carries an encoding declaration; it is decoded already.
    cleaned = re.sub(r"\A\s*<\?xml[^>]*\?>", "", text).replace("\x00", "")
    try:
        parser = lxml.html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False)
        root = lxml.html.document_fromstring(cleaned.encode("utf-8", "replace"), parser=parser)
    except (etree.LxmlError, ValueError) as error:
        raise Unreadable(f"the page cannot be read ({error})") from error
    if root is None:
        raise Unreadable("the page is empty")
    return root


def read_list(text: str, context: Context, selectors: Selectors, limit: int = 1000) -> list[Item]:
    """The articles that a page lists, each address once; raises Unreadable when the selectors find none."""
    root = _tree(text)
    base = web_url(next(iter(root.xpath("//base/@href")), ""), context.url) or context.url
    found: dict[str, Item] = {}
    elements = root.cssselect(selectors.item)
    for element in elements[: limit * 5]:
        link = element if selectors.link == ":self" or element.get("href") else _one(element, selectors.link)
        url = web_url(link.get("href"), base) if link is not None else None
        if url is None or url in found:
            continue
        named = _one(element, selectors.title) if selectors.title else link
        published = _one(element, selectors.published) if selectors.published else None
        item = make_item(
            context,
            title=_words(named, MAX_TITLE),
            url=url,
            guid=None,
            date=None if published is None else published.get("datetime") or _words(published, 100),
            summary=_words(_one(element, selectors.summary), 5000) if selectors.summary else "",
        )
        if item is not None:
            found[url] = item
        if len(found) == limit:
            break
    if not found:
        what = "finds nothing" if not elements else f"finds {len(elements)} elements but no links with titles in them"
        raise Unreadable(f"the selector {selectors.item!r} {what}; the page may have changed")
    return list(found.values())


def _one(element: Any, selector: str) -> Any:
    matches = element.cssselect(selector)
    return matches[0] if matches else None


def _words(element: Any, limit: int) -> str:
    return "" if element is None else squeeze(" ".join(element.itertext()), limit)


def read_sitemap(body: bytes, context: Context, charset: str | None = None) -> Sitemap:
    """Read a sitemap or sitemap index, gzipped or not, with Google News's extension; or a plain list of addresses."""
    if body.startswith(b"\x1f\x8b"):
        try:
            body = gunzip(body, MAX_SITEMAP)
        except (TooLarge, Damaged) as error:
            raise Unreadable(f"the sitemap cannot be read ({error})") from error
    text = decode(body, charset)
    if not text.lstrip("\ufeff \r\n\t").startswith("<"):
        rows = [(line.strip(), "", "") for line in text.splitlines()[:MAX_ENTRIES] if line.strip()]
        items = tuple(_pages(rows, context))
        if not items:
            raise Unreadable("the answer is no sitemap")
        return Sitemap(items)
    root, notes = parse_xml(text)
    kind, entries = local(root), [e for e in root if local(e) in ("url", "sitemap")][:MAX_ENTRIES]
    if kind == "sitemapindex":
        children = []
        for entry in entries:
            if (url := web_url(_value(entry, "loc"), context.url)) is not None:
                children.append((url, parse_date(_value(entry, "lastmod"), context.now).at))
        return Sitemap(children=tuple(children), notes=tuple(notes))
    if kind != "urlset":
        raise Unreadable(f"the answer is XML of another kind (<{kind}>), not a sitemap")
    rows = [
        (_value(e, "loc"), _value(e, "title"), _value(e, "publication_date") or _value(e, "lastmod")) for e in entries
    ]
    return Sitemap(tuple(_pages(rows, context)), notes=tuple(notes))


def _value(entry: Any, name: str) -> str:
    return next(((e.text or "").strip() for e in entry.iter() if local(e) == name), "")


def _pages(rows: list[tuple[str, str, str]], context: Context) -> Iterator[Item]:
    for address, title, date in rows:
        if (url := web_url(address, context.url)) is None:
            continue
        item = make_item(context, plain_text(title, MAX_TITLE) or title_from(url), url, None, date)
        if item is not None:
            yield item


def title_from(url: str) -> str:
    """A stand-in for a headline from an address, until the page has been read."""
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(url)
    words = unquote(parts.path).rstrip("/").rpartition("/")[2].rpartition(".")[0] or unquote(parts.path).strip("/")
    return squeeze(re.sub(r"[-_/+]+", " ", words), MAX_TITLE) or (parts.hostname or "")


def read_article(text: str, url: str, now: datetime | None, timezone: str = "UTC") -> Article:
    """Title, text and date of an article's page.

    The text is trafilatura's (Barbaresi, ACL 2021); where it finds none, the longer paragraphs, then the page's
    description. Raises Unreadable when there is nothing at all.
    """
    root = _tree(text)
    title = _meta(root, "og:title") or squeeze(" ".join(root.xpath("//h1[1]//text()")), MAX_TITLE)
    title = title or squeeze(" ".join(root.xpath("//title[1]//text()")), MAX_TITLE)
    body, method = _extracted(text, url), "trafilatura"
    if not body:
        paragraphs = (squeeze(" ".join(p.itertext()), MAX_TEXT) for p in root.xpath("//p"))
        body, method = squeeze(" ".join(p for p in paragraphs if len(p) >= _SHORT), MAX_TEXT), "paragraphs"
    if not body:
        body, method = _meta(root, "og:description") or _meta(root, "description"), "description"
    if not body and not title:
        raise Unreadable("the page has no text")
    moment = parse_date(next(_dates(root), None), now, timezone)
    canonical = next(iter(root.xpath("//link[@rel='canonical']/@href")), None)
    return Article(
        title=title,
        text=body,
        published=moment.at,
        date_only=moment.date_only,
        language=(root.get("lang") or "").strip().replace("_", "-")[:20] or None,
        canonical=web_url(canonical, url),
        method=method,
    )


@cache
def _extractor() -> Any:
    try:
        import trafilatura
    except ImportError as error:  # one broken package must not stop the polling; the paragraphs are text, too
        _log.warning(
            "trafilatura cannot be used (%s); articles are read by their paragraphs", str(error).splitlines()[0]
        )
        return None
    return trafilatura


def _extracted(text: str, url: str) -> str:
    trafilatura = _extractor()
    if trafilatura is None:
        return ""
    try:
        found = trafilatura.extract(
            text, url=url, include_comments=False, include_tables=False, max_tree_size=MAX_TREE, with_metadata=False
        )
    except Exception:  # whatever a page does to the extractor, the paragraphs remain
        return ""
    return squeeze(found or "", MAX_TEXT)


def _meta(root: Any, name: str) -> str:
    values = root.xpath("//meta[@property=$name or @name=$name]/@content", name=name)
    return plain_text(values[0], MAX_TITLE) if values else ""


def _dates(root: Any) -> Iterator[str]:
    for path in _DATES:
        yield from (str(value) for value in root.xpath(path)[:1] if str(value).strip())
    for script in root.xpath("//script[@type='application/ld+json']/text()")[:10]:
        try:
            document = json.loads(str(script))
        except (ValueError, RecursionError):
            continue
        nodes = document.get("@graph", [document]) if isinstance(document, dict) else document
        for node in nodes if isinstance(nodes, list) else []:
            if isinstance(node, dict) and isinstance(node.get("datePublished"), str):
                yield node["datePublished"]


def with_article(item: Item, article: Article) -> Item:
    """The item with what its page adds; the source's own date and summary stay where it gave any."""
    from dataclasses import replace

    guessed = item.title == title_from(item.url or "")
    return replace(
        item,
        title=article.title if guessed and article.title else item.title,
        text=article.text or item.text,
        url=item.url,
        published=item.published or article.published,
        date_only=item.date_only if item.published else article.date_only,
        language=item.language or article.language,
        tags=tag_list(item.tags),
        notes=tuple(n for n in item.notes if not (n == "it had no date" and article.published)),
    )
