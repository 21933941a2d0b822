"""JSON interfaces: items by JMESPath expressions, page after page."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from verticals.finance.fetching.feeds import Context, Unreadable, make_item
from verticals.finance.fetching.items import MAX_TEXT, MAX_TITLE, Item, plain_text, web_url
from verticals.finance.sources import Paths


@dataclass(frozen=True)
class Page:
    """One answer of an interface: its items and the address of the next page, if it goes on."""

    items: tuple[Item, ...]
    next_url: str | None = None
    notes: tuple[str, ...] = ()


def first_url(url: str, paths: Paths) -> str:
    """The address of the first page."""
    return _with(url, paths.page_parameter, str(paths.first_page)) if paths.page_parameter else url


def read_page(text: str, context: Context, paths: Paths, number: int) -> Page:
    """Read the ``number``-th page (from 0), fetched from ``context.url``; raises Unreadable."""
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        document = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the JSON cannot be read ({error})") from error

    def find(expression: str, node: Any) -> Any:
        if not expression:
            return None
        try:
            return jmespath.search(expression, node)
        except (JMESPathError, RecursionError, TypeError, ValueError) as error:
            raise Unreadable(f"the expression {expression!r} fails on this answer ({error})") from error

    rows = find(paths.items, document)
    if rows is None and number > 0:
        rows = []
    if not isinstance(rows, list):
        raise Unreadable(f"the expression {paths.items!r} finds no list in the answer; the interface may have changed")
    items = []
    for row in rows:
        item = make_item(
            context,
            title=plain_text(_text(find(paths.title, row)), MAX_TITLE),
            url=web_url(_text(find(paths.url, row)), context.url),
            guid=_text(find(paths.id, row)) or None,
            date=_text(find(paths.published, row)),
            summary=plain_text(_text(find(paths.summary, row))),
            text=plain_text(_text(find(paths.text, row)), MAX_TEXT),
        )
        if item is not None:
            items.append(item)
    if rows and not items:
        raise Unreadable(f"the expression {paths.title!r} finds a title in none of {len(rows)} items")
    missing = len(rows) - len(items)
    notes = (f"{missing} items had neither title nor text",) if missing else ()
    return Page(tuple(items), _next(find(paths.next, document), context.url, paths, number, bool(rows)), notes)


def _next(found: Any, url: str, paths: Paths, number: int, any_rows: bool) -> str | None:
    if number + 1 >= paths.max_pages or not any_rows:
        return None
    mark = _text(found)
    if paths.next and not mark:
        return None
    if paths.next and not paths.cursor_parameter:
        address = web_url(mark, url)
        # The key in the headers goes to every page; a page must not lead it to another host.
        return address if address and urlsplit(address).netloc == urlsplit(url).netloc else None
    if paths.next:
        return _with(url, paths.cursor_parameter, mark)
    return _with(url, paths.page_parameter, str(paths.first_page + number + 1)) if paths.page_parameter else None


def _with(url: str, name: str, value: str) -> str:
    parts = urlsplit(url)
    pairs = [(n, v) for n, v in parse_qsl(parts.query, keep_blank_values=True) if n != name]
    return urlunsplit(parts._replace(query=urlencode([*pairs, (name, value)])))


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
