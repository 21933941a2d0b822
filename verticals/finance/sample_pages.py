"""How the sample server writes its articles: RSS, Atom, JSON Feed, HTML, sitemaps and JSON pages."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verticals.finance.sample_feed import SampleArticle

TTL = 5  # minutes, announced in RSS
NOTICE = "Synthetic sample: written for this software, about fictional companies. Not news, not advice."
_ATOM = "http://www.w3.org/2005/Atom"
_CONTENT = "http://purl.org/rss/1.0/modules/content/"
_SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"
_NEWS = "http://www.google.com/schemas/sitemap-news/0.9"
for _prefix, _uri in (("atom", _ATOM), ("content", _CONTENT), ("news", _NEWS)):
    ET.register_namespace(_prefix, _uri)


@dataclass(frozen=True)
class Outlet:
    """One fictional publisher; ``feed`` is the path of its list of articles below its folder."""

    id: str
    name: str
    feed: str
    language: str = "en"

    @property
    def title(self) -> str:
        """The name with the label that every feed carries."""
        return f"{self.name} (synthetic sample)"


OUTLETS = {
    outlet.id: outlet
    for outlet in (
        Outlet("harbour-wire", "Harbour Wire", "rss.xml"),
        Outlet("ledger-post", "The Ledger Post", "atom.xml"),
        Outlet("tapeside", "Tapeside", "feed.json"),
        Outlet("meridian-desk", "Meridian Desk", "index.html"),
        Outlet("filing-room", "The Filing Room", "api/articles"),
        Outlet("kiln-and-grid", "Kiln & Grid", "sitemap.xml"),
        Outlet("shuchao", "数潮财经", "rss.xml", "zh"),
        Outlet("slow-money", "Slow Money Letter", "atom.xml"),
    )
}


@dataclass(frozen=True)
class Document:
    """The body of an answer with what its headers need; ``modified`` is UTC."""

    body: bytes
    media_type: str
    modified: datetime | None = None
    status: int = 200


def address(article: "SampleArticle", base: str) -> str:
    """Where an article's page lies."""
    return f"{base}/{article.source}/articles/{article.id}.html"


def _newest(rows: Sequence["SampleArticle"]) -> datetime | None:
    return max((row.published for row in rows), default=None)


def _xml(root: ET.Element, media_type: str, modified: datetime | None) -> Document:
    return Document(ET.tostring(root, encoding="utf-8", xml_declaration=True), media_type, modified)


def _json(values: Any, media_type: str = "application/json", modified: datetime | None = None) -> Document:
    return Document(json.dumps(values, ensure_ascii=False, indent=1).encode(), f"{media_type}; charset=utf-8", modified)


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text or None
    return element


def rss(outlet: Outlet, rows: Sequence["SampleArticle"], base: str, own: str) -> Document:
    """RSS 2.0 with a TTL and full text in content:encoded."""
    root = ET.Element("rss", version="2.0")
    channel = _add(root, "channel")
    _add(channel, "title", outlet.title)
    _add(channel, "link", f"{base}/{outlet.id}/index.html")
    _add(channel, "description", NOTICE)
    _add(channel, "language", outlet.language)
    _add(channel, "ttl", str(TTL))
    _add(channel, f"{{{_ATOM}}}link", href=own, rel="self", type="application/rss+xml")
    for row in rows:
        item = _add(channel, "item")
        _add(item, "title", row.title)
        _add(item, "link", address(row, base))
        _add(item, "guid", row.id, isPermaLink="false")
        _add(item, "pubDate", format_datetime(row.published, usegmt=True))
        _add(item, "description", row.summary)
        _add(item, f"{{{_CONTENT}}}encoded", f"<p>{escape(row.body)}</p>")
    return _xml(root, "application/rss+xml; charset=utf-8", _newest(rows))


def atom(outlet: Outlet, rows: Sequence["SampleArticle"], base: str, own: str) -> Document:
    """Atom (RFC 4287) with summaries and full content."""
    root = ET.Element(f"{{{_ATOM}}}feed", {"{http://www.w3.org/XML/1998/namespace}lang": outlet.language})

    def add(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
        return _add(parent, f"{{{_ATOM}}}{tag}", text, **attributes)

    newest = _newest(rows)
    add(root, "title", outlet.title)
    add(root, "subtitle", NOTICE)
    add(root, "id", f"tag:sample.invalid,2026:{outlet.id}")
    if newest is not None:
        add(root, "updated", newest.isoformat())
    add(root, "link", href=own, rel="self", type="application/atom+xml")
    add(add(root, "author"), "name", outlet.title)
    for row in rows:
        entry = add(root, "entry")
        add(entry, "title", row.title)
        add(entry, "id", f"tag:sample.invalid,2026:{row.id}")
        add(entry, "link", href=address(row, base), rel="alternate", type="text/html")
        add(entry, "published", row.published.isoformat())
        add(entry, "updated", row.published.isoformat())
        add(entry, "summary", row.summary)
        add(entry, "content", f"<p>{escape(row.body)}</p>", type="html")
    return _xml(root, "application/atom+xml; charset=utf-8", newest)


def json_feed(outlet: Outlet, rows: Sequence["SampleArticle"], base: str, own: str) -> Document:
    """JSON Feed 1.1 (jsonfeed.org)."""
    items = [
        {
            "id": row.id,
            "url": address(row, base),
            "title": row.title,
            "summary": row.summary,
            "content_text": row.body,
            "date_published": row.published.isoformat(),
            "language": row.language,
        }
        for row in rows
    ]
    head = {"version": "https://jsonfeed.org/version/1.1", "title": outlet.title, "description": NOTICE}
    links = {"home_page_url": f"{base}/{outlet.id}/index.html", "feed_url": own, "language": outlet.language}
    return _json({**head, **links, "items": items}, "application/feed+json", _newest(rows))


def interface(rows: Sequence["SampleArticle"], page: int, size: int, base: str, own: str) -> Document:
    """One page of the JSON interface; ``next`` is null on the last one."""
    pages = max(1, -(-len(rows) // size))
    shown = rows[(page - 1) * size : page * size]
    items = [
        {
            "id": row.id,
            "headline": row.title,
            "url": address(row, base),
            "abstract": row.summary,
            "body": row.body,
            "published_at": row.published.isoformat(),
            "language": row.language,
        }
        for row in shown
    ]
    following = f"{own}?page={page + 1}&per_page={size}" if page < pages else None
    head = {"synthetic": True, "notice": NOTICE, "page": page, "pages": pages, "total": len(rows), "next": following}
    return _json({**head, "articles": items}, modified=_newest(rows))


def sitemap(outlet: Outlet, rows: Sequence["SampleArticle"], base: str, own: str) -> Document:
    """A sitemap (sitemaps.org) with Google News's extension."""
    root = ET.Element(f"{{{_SITEMAP}}}urlset")
    for row in rows:
        url = _add(root, f"{{{_SITEMAP}}}url")
        _add(url, f"{{{_SITEMAP}}}loc", address(row, base))
        _add(url, f"{{{_SITEMAP}}}lastmod", row.published.isoformat())
        news = _add(url, f"{{{_NEWS}}}news")
        publication = _add(news, f"{{{_NEWS}}}publication")
        _add(publication, f"{{{_NEWS}}}name", outlet.title)
        _add(publication, f"{{{_NEWS}}}language", row.language)
        _add(news, f"{{{_NEWS}}}publication_date", row.published.isoformat())
        _add(news, f"{{{_NEWS}}}title", row.title)
    return _xml(root, "application/xml; charset=utf-8", _newest(rows))


def sitemap_index(newest: Mapping[str, datetime], base: str) -> Document:
    """The list of all sitemaps with the time of their newest article."""
    root = ET.Element(f"{{{_SITEMAP}}}sitemapindex")
    for outlet, modified in newest.items():
        entry = _add(root, f"{{{_SITEMAP}}}sitemap")
        _add(entry, f"{{{_SITEMAP}}}loc", f"{base}/archive/{outlet}/sitemap.xml")
        _add(entry, f"{{{_SITEMAP}}}lastmod", modified.isoformat())
    return _xml(root, "application/xml; charset=utf-8", max(newest.values(), default=None))


def _page(title: str, main: str, base: str = "", language: str = "en", modified: datetime | None = None) -> Document:
    links = "".join(f'<li><a href="{base}/{o.id}/index.html">{escape(o.name)}</a></li>' for o in OUTLETS.values())
    body = f"""<!DOCTYPE html>
<html lang="{language}"><head><meta charset="utf-8"><title>{escape(title)} – synthetic sample</title>
<meta name="robots" content="noindex"><style>body{{font:1rem/1.5 serif;margin:2rem auto;max-width:44rem}}</style></head>
<body><header><div class="notice">{NOTICE}</div><nav aria-label="Outlets"><ul>{links}</ul></nav>
<form action="/" role="search"><input name="q" aria-label="Search"><button>Search</button></form></header>
{main}
<footer><nav><a href="{base}/">All sample feeds</a> <a href="{base}/robots.txt">Robots</a></nav>
<div>We use no cookies. Subscribe to nothing. {NOTICE}</div></footer></body></html>
"""
    return Document(body.encode(), "text/html; charset=utf-8", modified)


def list_page(outlet: Outlet, rows: Sequence["SampleArticle"], base: str, own: str) -> Document:
    """A page that lists articles: ``li.story`` with ``a``, ``time`` and ``p.teaser``."""
    items = "\n".join(
        f'<li class="story"><h2><a href="{address(row, base)}">{escape(row.title)}</a></h2>'
        f'<time datetime="{row.published.isoformat()}">{row.published:%Y-%m-%d %H:%M} UTC</time>'
        f'<p class="teaser">{escape(row.summary)}</p></li>'
        for row in rows
    )
    main = f'<main><h1>{escape(outlet.title)}</h1><ol class="stories">\n{items}\n</ol></main>'
    return _page(outlet.title, main, base, outlet.language, _newest(rows))


def article_page(article: "SampleArticle", related: Sequence["SampleArticle"], base: str) -> Document:
    """An article between the navigation and advertisements that an extractor has to leave out."""
    sentences = re.split(r"(?<=[.?!])\s+(?=[A-Z0-9])", article.body)  # a Chinese body stays one paragraph
    half = (len(sentences) + 1) // 2
    paragraphs = "\n".join(f"<p>{escape(' '.join(p))}</p>" for p in (sentences[:half], sentences[half:]) if p)
    others = "".join(f'<li><a href="{address(row, base)}">{escape(row.title)}</a></li>' for row in related)
    at = article.published
    main = f"""<main><article class="post"><h1>{escape(article.title)}</h1>
<div class="byline">{escape(OUTLETS[article.source].title)}, <time datetime="{at.isoformat()}"
 itemprop="datePublished">{at:%Y-%m-%d %H:%M} UTC</time></div>
<div class="article-body" itemprop="articleBody">
{paragraphs}
</div></article>
<aside class="related"><h2>More headlines</h2><ul>{others}</ul></aside>
<aside class="advertisement"><div>Advertisement: nothing is for sale on this page.</div></aside></main>"""
    return _page(article.title, main, base, article.language, at)


def index(base: str) -> Document:
    """The front page: where each outlet's feed lies."""
    rows = "".join(
        f'<li>{escape(o.title)}: <a href="{base}/{o.id}/{o.feed}">latest</a>, '
        f'<a href="{base}/archive/{o.id}/{o.feed}">everything</a></li>'
        for o in OUTLETS.values()
    )
    return _page("Sample feeds", f"<main><h1>Sample feeds</h1><ul>{rows}</ul></main>", base)


def drafts() -> Document:
    """The page that robots.txt closes to robots; a poller that asks for it is impolite."""
    return _page("Drafts", "<main><h1>Drafts</h1><p>Robots were asked not to come here.</p></main>")


def robots(base: str) -> Document:
    """robots.txt: one closed folder and the address of the sitemap."""
    text = f"User-agent: *\nDisallow: /desk/\nAllow: /\nSitemap: {base}/sitemap.xml\n"
    return Document(text.encode(), "text/plain; charset=utf-8")


def not_found() -> Document:
    """404, also for the icon that browsers ask for."""
    return Document(b"Not found.\n", "text/plain; charset=utf-8", status=404)


def bad_request(reason: str) -> Document:
    """400 of the JSON interface."""
    return Document(json.dumps({"error": reason}).encode(), "application/json", status=400)


Writer = Callable[[Outlet, Sequence["SampleArticle"], str, str], Document]
FEEDS: dict[str, Writer] = {
    "rss.xml": rss,
    "atom.xml": atom,
    "feed.json": json_feed,
    "index.html": list_page,
    "sitemap.xml": sitemap,
}
