"""Reading a source of each kind within one visit, and completing its items with their articles' pages."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from core.fetching.client import Client
from core.fetching.outcomes import TRANSIENT, Fetched, Request
from core.fetching.targets import may_have_headers
from verticals.finance.fetching.archives import read_csv, read_folder
from verticals.finance.fetching.canonical import canonical_url
from verticals.finance.fetching.feeds import Context, Unreadable, parse_feed
from verticals.finance.fetching.interfaces import Page, first_url, read_page
from verticals.finance.fetching.items import Item
from verticals.finance.fetching.pages import MAX_SITEMAP, read_article, read_list, read_sitemap, with_article
from verticals.finance.sources import Paths, Source, SourceState

Seen = Callable[[str], bool]  # canonical address -> whether its article is stored
MAX_CHILDREN = 10  # sitemaps of an index read in one poll
_FEED = ("xml", "rss", "atom", "json", "text/", "octet-stream", "html")  # many feeds are labelled wrongly
_PAGE = ("html", "xml", "text/plain")


@dataclass
class Visit:
    """What one visit gathers."""

    source: Source
    state: SourceState
    client: Client
    context: Context
    seen: Seen
    items: tuple[Item, ...] = ()
    notes: list[str] = field(default_factory=list)
    ttl: timedelta | None = None
    asked: timedelta | None = None  # the longest Retry-After met, on an article's page too
    cursor: str = ""
    first: Fetched | None = None  # the answer to the source's own address
    failed: Fetched | None = None
    requests: int = 0
    bytes: int = 0
    articles: int = 0
    incomplete: bool = False  # more is waiting there: the next visit must not be answered "unchanged"

    async def get(
        self, url: str, accept: tuple[str, ...], conditional: bool = False, max_body: int | None = None
    ) -> Fetched:
        """Fetch with the source's headers; they go to its own host alone."""
        headers = self.source.request_headers()
        fetched = await self.client.fetch(
            Request(
                url,
                headers=headers if may_have_headers(self.source.url, url) else {},
                etag=self.state.etag if conditional else None,
                last_modified=self.state.last_modified if conditional else None,
                accept=accept,
                robots=self.source.robots,
                max_body=max_body,
            )
        )
        self.requests += fetched.requests
        self.bytes += len(fetched.body)
        if self.first is None:
            self.first = fetched
        if fetched.retry_after is not None:
            self.asked = max(fetched.retry_after, self.asked or fetched.retry_after)
        return fetched

    def at(self, url: str) -> Context:
        """The context of what was read from ``url``."""
        return replace(self.context, url=url)


async def _feed(visit: Visit) -> None:
    fetched = await visit.get(visit.source.url, _FEED, conditional=True)
    if not fetched.ok:
        visit.failed = fetched if fetched.outcome != "unchanged" else None
        return
    feed = await asyncio.to_thread(lambda: parse_feed(fetched.text(), visit.at(fetched.url)))
    visit.ttl = feed.ttl
    visit.notes += feed.notes
    visit.items = feed.items
    if visit.source.full_text:
        await _complete(visit)


async def _web(visit: Visit) -> None:
    fetched = await visit.get(visit.source.url, _PAGE, conditional=True)
    selectors = visit.source.selectors
    if not fetched.ok or selectors is None:
        visit.failed = fetched if fetched.outcome != "unchanged" else None
        return
    found = await asyncio.to_thread(lambda: read_list(fetched.text(), visit.at(fetched.url), selectors))
    visit.items = tuple(found)
    await _complete(visit)


async def _sitemap(visit: Visit) -> None:
    fetched = await visit.get(visit.source.url, (), conditional=True, max_body=MAX_SITEMAP)
    if not fetched.ok:
        visit.failed = fetched if fetched.outcome != "unchanged" else None
        return
    read = await asyncio.to_thread(read_sitemap, fetched.body, visit.at(fetched.url), fetched.charset)
    visit.notes += read.notes
    items = list(read.items)
    since = datetime.fromisoformat(visit.state.cursor) if visit.state.cursor else None
    children = [(u, at) for u, at in read.children if since is None or at is None or at >= since]
    children.sort(key=lambda child: child[1].timestamp() if child[1] else 0.0, reverse=True)
    if len(children) > MAX_CHILDREN:
        visit.notes.append(f"the {MAX_CHILDREN} latest of {len(children)} sitemaps were read")
    for url, _ in children[:MAX_CHILDREN]:
        child = await visit.get(url, (), max_body=MAX_SITEMAP)
        if not child.ok:
            visit.failed = child
            return
        part = await asyncio.to_thread(read_sitemap, child.body, visit.at(child.url), child.charset)
        items += part.items
        visit.notes += part.notes
        if part.children:
            visit.notes.append(f"{url} is an index within an index and was passed over")
    # Pages without a date may be new at any time; dated ones only since the last visit that read all.
    fresh = [i for i in items if since is None or i.published is None or i.published >= since]
    fresh.sort(key=lambda item: item.time, reverse=True)
    visit.items = tuple(fresh)
    await _complete(visit)
    if not visit.incomplete and items:
        # A day is as fine as most sitemaps' dates are.
        latest = max(item.published or visit.context.now - timedelta(days=1) for item in items)
        visit.cursor = (latest - timedelta(days=1)).isoformat()


def _page_of(fetched: Fetched, context: Context, paths: Paths, number: int) -> Page:
    return read_page(fetched.text(), context, paths, number)


async def _json_api(visit: Visit) -> None:
    paths = visit.source.paths
    if paths is None:
        raise Unreadable("the source has no paths")
    url: str | None = first_url(visit.source.url, paths)
    items: list[Item] = []
    for number in range(paths.max_pages):
        if url is None:
            break
        fetched = await visit.get(url, ("json", "text/plain", "javascript"), conditional=number == 0)
        if not fetched.ok:
            visit.failed = fetched if fetched.outcome != "unchanged" else None
            break
        page = await asyncio.to_thread(_page_of, fetched, visit.at(fetched.url), paths, number)
        items += page.items
        visit.notes += page.notes
        url = page.next_url
        if page.items and all(item.url and visit.seen(canonical_url(item.url)) for item in page.items):
            break  # the rest is older still
    visit.items = tuple(items)
    if visit.failed is None and visit.source.full_text:
        await _complete(visit)


async def _csv(visit: Visit) -> None:
    path = Path(visit.source.url)
    try:
        stat = await asyncio.to_thread(path.stat)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read ({error.strerror or error})") from error
    mark = f"{stat.st_mtime_ns}-{stat.st_size}"
    if mark == visit.state.cursor:
        return
    archive = await asyncio.to_thread(read_csv, path, visit.context)
    visit.items, visit.cursor = archive.items, mark
    visit.notes += archive.notes


async def _folder(visit: Visit) -> None:
    archive = await asyncio.to_thread(read_folder, Path(visit.source.url), visit.context, visit.state.cursor)
    visit.items, visit.cursor = archive.items, archive.cursor
    visit.notes += archive.notes


async def _complete(visit: Visit) -> None:
    """Read the pages of articles that are not stored yet, a bounded number.

    Those beyond it, and those whose page fails in a way that may pass, are left for the next visit; those whose page
    cannot be had come without text.
    """
    done: list[Item] = []
    left = visit.source.max_articles
    waiting = unread = 0
    for item in visit.items:
        if item.url is None:
            done.append(item)
        elif visit.seen(canonical_url(item.url)):
            # What is stored has the page's words; the list's shorter ones must not look like a change. A sitemap's
            # titles may be guesses from the address.
            if visit.source.kind != "sitemap":
                done.append(replace(item, text=""))
        elif left == 0:
            waiting += 1
        else:
            left -= 1
            fetched = await visit.get(item.url, _PAGE)
            if not fetched.ok and fetched.outcome in TRANSIENT:
                waiting += 1
                continue
            completed = await asyncio.to_thread(_completed, visit, item, fetched) if fetched.ok else None
            unread += completed is None
            visit.articles += completed is not None
            done.append(completed or item)
    if waiting:
        visit.notes.append(f"{waiting} articles are left for the next visit")
        visit.incomplete = True
    if unread:
        visit.notes.append(f"{unread} article pages could not be read; their items came without text")
    visit.items = tuple(done)


def _completed(visit: Visit, item: Item, fetched: Fetched) -> Item | None:
    try:
        article = read_article(fetched.text(), fetched.url, visit.context.now, visit.source.timezone)
    except Unreadable:
        return None
    return with_article(item, article)


READERS: dict[str, Callable[[Visit], Awaitable[None]]] = {
    "rss": _feed,
    "atom": _feed,
    "json_feed": _feed,
    "web": _web,
    "sitemap": _sitemap,
    "json_api": _json_api,
    "csv": _csv,
    "folder": _folder,
}
