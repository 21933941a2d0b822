"""The stage that tells stories: labelled articles join the story they repeat, or begin one."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, delete, insert, select, update

from verticals.finance import tables
from verticals.finance.labelling import unpacked
from verticals.finance.rollup import hour_of, mark_dirty

SENTIMENTS = ("negative", "neutral", "positive")
WINDOW = timedelta(days=4)  # how far around the new articles earlier ones are looked at; no less than stories.WINDOW

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Point:
    """An article as the grouping sees it; ``story`` is known of earlier ones."""

    id: int
    time: datetime
    title: str
    language: str | None
    companies: tuple[str, ...]
    vector: Any  # float32, unit length, or None
    story: int | None = None


class Joined(Protocol):
    """Where a new point belongs: to the story there is, else to the one that ``new[lead]`` begins (itself perhaps)."""

    @property
    def story(self) -> int | None:
        """An existing story."""
        ...

    @property
    def lead(self) -> int | None:
        """The place, among the new points, of the one that begins the story."""
        ...


Assign = Callable[[Sequence[Any], Sequence[Any]], Sequence[Joined]]


def group_some(engine: Engine, assign: Assign, batch: int) -> int:
    """Give up to ``batch`` labelled articles their stories, the oldest first. Returns how many."""
    with engine.connect() as connection:
        new = _points(connection, tables.articles.c.stage == tables.LABELLED, batch)
        if not new:
            return 0
        times = [point.time for point in new]
        around = tables.articles.c.time.between(min(times) - WINDOW, max(times) + WINDOW)
        old = _points(connection, around & (tables.articles.c.stage == tables.TOLD))
    fresh = [point for point in new if point.story is None]
    # A corrected article stays in its story: it must not be counted twice.
    known = [point for point in (*old, *new) if point.story is not None]
    joined = assign(fresh, known) if fresh else ()
    with engine.begin() as connection:
        _settle(connection, fresh, joined)
        for point in new:
            if point.story is not None:
                _stage(connection, point.id, point.story)
        refresh(connection, {p.story for p in new if p.story is not None})
    return len(new)


def _points(connection: Connection, where: Any, limit: int | None = None) -> list[Point]:
    table, labels = tables.articles, tables.labels
    query = (
        select(
            table.c.id,
            table.c.time,
            table.c.title,
            table.c.language,
            table.c.story,
            labels.c.companies,
            labels.c.vector,
        )
        .join(labels, (labels.c.article == table.c.id) & labels.c.current)
        .where(where)
        .order_by(table.c.time, table.c.id)
        .limit(limit)
    )
    return [
        Point(
            row.id,
            row.time,
            row.title,
            row.language,
            tuple(company["code"] for company in row.companies),
            unpacked(row.vector),
            row.story,
        )
        for row in connection.execute(query)
    ]


def _settle(connection: Connection, fresh: Sequence[Point], joined: Sequence[Joined]) -> None:
    begun: dict[int, int] = {}
    touched: set[int] = set()
    for place, (point, where) in enumerate(zip(fresh, joined, strict=True)):
        lead = place if where.lead is None else where.lead
        story = where.story if where.story is not None else begun.get(lead)
        if story is None:
            values = {"first": point.time, "last": point.time, "title": point.title, "sentiment": "neutral"}
            empty = {"negative": 0.0, "score": 0.0, "articles": 0, "sources": [], "companies": {}}
            made = connection.execute(insert(tables.stories).values(**values, **empty).returning(tables.stories.c.id))
            story = begun[lead] = int(made.scalar_one())
        begun.setdefault(place, story)
        _stage(connection, point.id, story)
        touched.add(story)
    refresh(connection, touched)


def _stage(connection: Connection, article: int, story: int) -> None:
    table = tables.articles
    # A correction that came in between has put it back to the start; there it stays.
    ready = (table.c.id == article) & (table.c.stage == tables.LABELLED)
    connection.execute(update(table).where(ready).values(story=story, stage=tables.TOLD))
    connection.execute(update(table).where(table.c.id == article, table.c.story.is_(None)).values(story=story))


def refresh(connection: Connection, stories: Iterable[int]) -> None:
    """Tell these stories anew from their articles and have their hours counted again."""
    wanted = sorted(set(stories))
    if not wanted:
        return
    members: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in labelled(connection, tables.articles.c.story.in_(wanted)):
        members[row["story"]].append(row)
    table = tables.stories
    before = {
        r.id: r.first for r in connection.execute(select(table.c.id, table.c.first).where(table.c.id.in_(wanted)))
    }
    hours = {hour_of(first) for first in before.values()}
    for story in wanted:
        if not members[story]:
            connection.execute(delete(table).where(table.c.id == story))
            continue
        values = told(members[story])
        connection.execute(update(table).where(table.c.id == story).values(**values))
        hours.add(hour_of(values["first"]))
    mark_dirty(connection, hours)


def labelled(connection: Connection, where: Any) -> list[dict[str, Any]]:
    """Articles with their current labels, people's corrections put in their place."""
    table, labels = tables.articles, tables.labels
    columns = [table.c[n] for n in ("id", "story", "time", "source", "title", "url", "language")]
    said = [labels.c[n] for n in (*SENTIMENTS, "sentiment", "topic", "topic_probability", "companies")]
    query = select(*columns, *said).join(labels, (labels.c.article == table.c.id) & labels.c.current).where(where)
    rows = {row["id"]: dict(row) for row in connection.execute(query.order_by(table.c.time, table.c.id)).mappings()}
    if rows:
        relabels = tables.relabels
        newest = select(relabels).where(relabels.c.article.in_(select(table.c.id).where(where))).order_by(relabels.c.id)
        for relabel in connection.execute(newest).mappings():
            if relabel["article"] in rows:
                _correct(rows[relabel["article"]], dict(relabel))
    return list(rows.values())


def _correct(row: dict[str, Any], relabel: Mapping[str, Any]) -> None:
    after = relabel["after"]
    corrected = dict(row.get("corrected", {}))
    if relabel["field"] == "topic":
        row |= {"topic": after, "topic_probability": 1.0}
    elif relabel["field"] == "sentiment":
        row |= {"sentiment": after, **{name: float(name == after) for name in SENTIMENTS}}
    else:
        sure = {"sentiment": after, "probabilities": {name: float(name == after) for name in SENTIMENTS}}
        row["companies"] = [c | sure if c["code"] == relabel["subject"] else c for c in row["companies"]]
    corrected[f"{relabel['field']}:{relabel['subject']}".rstrip(":")] = relabel["actor"]
    row["corrected"] = corrected


def told(articles: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A story from its articles, oldest first: mean probabilities, the topic most of them see, companies by mean."""
    n = len(articles)
    means = {name: sum(row[name] for row in articles) / n for name in SENTIMENTS}
    topics: dict[str, float] = defaultdict(float)
    companies: dict[str, list[Mapping[str, float]]] = defaultdict(list)
    for row in articles:
        if row["topic"]:
            topics[row["topic"]] += row["topic_probability"] or 0.0
        for company in row["companies"]:
            companies[company["code"]].append(company["probabilities"])
    return {
        "first": articles[0]["time"],
        "last": articles[-1]["time"],
        "title": articles[0]["title"],
        "topic": max(topics, key=lambda name: topics[name]) if topics else None,
        "sentiment": max(SENTIMENTS, key=lambda name: means[name]),
        "negative": means["negative"],
        "score": means["positive"] - means["negative"],
        "articles": n,
        "sources": sorted({row["source"] for row in articles}),
        "companies": {code: list(_toward(rows)) for code, rows in sorted(companies.items())},
    }


def _toward(rows: Sequence[Mapping[str, float]]) -> tuple[str, float]:
    means = {name: sum(row[name] for row in rows) / len(rows) for name in SENTIMENTS}
    return max(SENTIMENTS, key=lambda name: means[name]), means["positive"] - means["negative"]
