"""Articles in the database: what a visit brought is deduplicated and stored together with the visit's end."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, insert, select, update

from verticals.finance import tables, watch
from verticals.finance.articles import WINDOW, Article, Deduplicated, Known, KnownArticle, deduplicate
from verticals.finance.fetching.items import Item
from verticals.finance.fetching.poll import PollResult
from verticals.finance.retries import retrying

T = TypeVar("T")
_CHUNK = 500  # values in one IN (…)
_KNOWN = ("key", "source", "title_print", "text_print", "signature", "time", "published")


@dataclass(frozen=True)
class Stored:
    """What became of some items; ``new`` and ``updated`` are article ids."""

    new: tuple[int, ...] = ()
    updated: tuple[int, ...] = ()
    duplicates: int = 0
    near: int = 0
    ids: tuple[int, ...] = ()  # of every item's article, in the items' order

    def to_dict(self) -> dict[str, int]:
        """Counts for a report."""
        return {"new": len(self.new), "updated": len(self.updated), "duplicates": self.duplicates, "near": self.near}


def keep_visit(engine: Engine, source: str, result: PollResult) -> Stored:
    """Store a visit's items and its end in one transaction: apart, a crash in between would lose the items."""

    def once() -> Stored:
        with engine.begin() as connection:
            stored = _keep(connection, result.items)
            watch.visited(connection, source, result.state, result.report)
            return stored

    return retrying(once)


def keep(engine: Engine, items: Sequence[Item]) -> Stored:
    """Store items that were pushed rather than fetched; twice the same is once."""

    def once() -> Stored:
        with engine.begin() as connection:
            return _keep(connection, items)

    return retrying(once)


def _keep(connection: Connection, items: Sequence[Item]) -> Stored:
    if not items:
        return Stored()
    found = deduplicate(items, _known(connection, items))
    ids = _identities(connection, [a.key for a in (*found.new, *found.updated)])
    new = [_insert(connection, article) for article in found.new]
    changed = [ids[article.key] for article in found.updated if article.key in ids]
    for article in found.updated:
        if article.key in ids:
            _update(connection, ids[article.key], article)
    near = sum(article.near is not None for article in found.new)
    return Stored(tuple(new), tuple(changed), len(found.duplicates), near, _places(connection, items, found))


def _places(connection: Connection, items: Sequence[Item], found: Deduplicated) -> tuple[int, ...]:
    """Where each item went; of two that are one article the later one's item is the article's."""
    key_of = {id(item): key for item, key in found.duplicates}
    key_of |= {id(article.item): article.key for article in (*found.new, *found.updated)}
    keys = [key_of.get(id(item)) or Article.of(item).key for item in items]
    ids = _identities(connection, keys)
    return tuple(ids[key] for key in keys if key in ids)


def _identities(connection: Connection, keys: Iterable[str]) -> dict[str, int]:
    table = tables.articles
    found: dict[str, int] = {}
    for part in chunks(list(dict.fromkeys(keys))):
        rows = connection.execute(select(table.c.key, table.c.id).where(table.c.key.in_(part)))
        found.update({row.key: row.id for row in rows})
    return found


def chunks(values: Sequence[T], size: int = _CHUNK) -> Iterator[Sequence[T]]:
    """The values in pieces that fit one statement."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _known(connection: Connection, items: Sequence[Item]) -> Known:
    """What is stored around the items' times, and what has their identities whatever its time."""
    table = tables.articles
    columns = [table.c[name] for name in _KNOWN]
    times = [item.time for item in items]
    around = table.c.time.between(min(times) - WINDOW, max(times) + WINDOW)
    rows = {row.key: row for row in connection.execute(select(*columns).where(around))}
    for part in chunks([Article.of(item).key for item in items]):
        rows.update({row.key: row for row in connection.execute(select(*columns).where(table.c.key.in_(part)))})
    ordered = sorted(rows.values(), key=lambda row: row.time)
    return Known.of(
        KnownArticle(
            row.key, row.source, row.title_print, row.text_print, row.signature, row.time, row.published is not None
        )
        for row in ordered
    )


def _insert(connection: Connection, article: Article) -> int:
    item = article.item
    values = {
        **_content(article),
        "key": article.key,
        "source": item.source,
        "guid": item.guid,
        "published": item.published,
        "found": item.found,
        "time": item.time,
        "near": article.near,
        "revision": 1,
        "stage": tables.STORED,
        "attempts": 0,
    }
    made = connection.execute(insert(tables.articles).values(**values).returning(tables.articles.c.id))
    return int(made.scalar_one())


def _update(connection: Connection, number: int, article: Article) -> None:
    """A correction: its labels have to be made again. Text that is missing this time does not take the old one away."""
    table = tables.articles
    values = _content(article)
    if not article.item.text:
        values = {name: value for name, value in values.items() if name not in ("text", "text_print")}
    values |= {"revision": table.c.revision + 1, "stage": tables.STORED, "attempts": 0, "problem": None}
    connection.execute(update(table).where(table.c.id == number).values(**values))


def _content(article: Article) -> dict[str, Any]:
    item = article.item
    return {
        "url": item.url,
        "canonical": article.canonical,
        "title": item.title,
        "summary": item.summary,
        "text": item.text,
        "language": item.language,
        "tags": list(item.tags),
        "title_print": article.title_print,
        "text_print": article.text_print,
        "signature": article.signature,
    }


def seen_by(engine: Engine, source: str) -> Callable[[str], bool]:
    """Whether an address of this source is stored, asked many times in one visit."""
    table = tables.articles
    with engine.connect() as connection:
        query = select(table.c.canonical).where(table.c.source == source, table.c.canonical.is_not(None))
        known = set(connection.scalars(query))
    return lambda canonical: canonical in known


def mark(connection: Connection, name: str, at: datetime, detail: Mapping[str, Any] | None = None) -> None:
    """Remember when something was done last."""
    table = tables.marks
    values = {"at": at, "detail": dict(detail) if detail is not None else None}
    if not connection.execute(update(table).where(table.c.name == name).values(**values)).rowcount:
        connection.execute(insert(table).values(name=name, **values))


def marked(connection: Connection, name: str) -> tuple[datetime, Mapping[str, Any]] | None:
    """When it was done last, and the detail; None when it never was."""
    row = connection.execute(select(tables.marks).where(tables.marks.c.name == name)).first()
    return (row.at, row.detail or {}) if row is not None else None
