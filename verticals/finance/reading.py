"""What people look at: stories, articles, counts over time. Plain rows, newest first unless said otherwise."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, func, select

from core.errors import InputError
from verticals.finance import tables
from verticals.finance.grouping import SENTIMENTS, labelled
from verticals.finance.labelling import unfinished, unpacked
from verticals.finance.rollup import Counts, Series, series
from verticals.finance.settings import FinanceSettings

STEPS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
SIMILAR_WITHIN = timedelta(days=30)
MOST = 1000


def stories(
    engine: Engine,
    since: datetime,
    until: datetime,
    scope: str = "all",
    subject: str = "",
    sentiment: str | None = None,
    containing: str = "",
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Stories that began in a span, newest first; ``sentiment`` is toward the company when one is asked for."""
    table = tables.stories
    query = select(table).where(table.c.first >= since, table.c.first <= until)
    if scope == "topic":
        query = query.where(table.c.topic == subject)
    if containing:
        query = query.where(table.c.title.icontains(containing, autoescape=True))
    if sentiment and scope != "company":
        query = query.where(table.c.sentiment == sentiment)
    found = []
    with engine.connect() as connection:
        for row in connection.execute(query.order_by(table.c.first.desc(), table.c.id.desc())).mappings():
            if scope == "company" and subject not in row["companies"]:
                continue
            if scope == "source" and subject not in row["sources"]:
                continue
            if sentiment and scope == "company" and row["companies"][subject][0] != sentiment:
                continue
            found.append(story_row(dict(row)))
            if len(found) >= min(limit, MOST):
                break
    return found


def story_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values of a story."""
    values = dict(row)
    values["first"], values["last"] = row["first"].isoformat(), row["last"].isoformat()
    values["companies"] = {code: {"sentiment": s, "score": score} for code, (s, score) in row["companies"].items()}
    return values


def story(engine: Engine, number: int) -> dict[str, Any]:
    """One story with its articles, oldest first. Raises InputError when there is none."""
    with engine.connect() as connection:
        row = connection.execute(select(tables.stories).where(tables.stories.c.id == number)).mappings().first()
        if row is None:
            raise InputError(f"there is no story {number}.")
        members = labelled(connection, tables.articles.c.story == number)
    return {**story_row(dict(row)), "members": [_plain(member) for member in members]}


def article(engine: Engine, number: int) -> dict[str, Any]:
    """One article with text, current labels, corrections and who made them. Raises InputError when there is none."""
    table = tables.articles
    with engine.connect() as connection:
        row = connection.execute(select(table).where(table.c.id == number)).mappings().first()
        if row is None:
            raise InputError(f"there is no article {number}.")
        rows = labelled(connection, table.c.id == number)
        versions = connection.execute(
            select(tables.labels).where(tables.labels.c.article == number).order_by(tables.labels.c.made.desc())
        ).mappings()
        said = [{k: v for k, v in version.items() if k != "vector"} for version in versions]
        relabels = connection.execute(
            select(tables.relabels).where(tables.relabels.c.article == number).order_by(tables.relabels.c.id)
        ).mappings()
        corrections = [_plain(dict(relabel)) for relabel in relabels]
    shown = (
        "id",
        "source",
        "url",
        "title",
        "summary",
        "text",
        "language",
        "tags",
        "published",
        "found",
        "time",
        "story",
    )
    values = _plain({name: row[name] for name in (*shown, "revision", "stage", "problem")})
    labels = _plain(rows[0]) if rows else None
    return {**values, "labels": labels, "versions": [_plain(v) for v in said], "corrections": corrections}


def articles(
    engine: Engine, since: datetime, until: datetime, source: str = "", containing: str = "", limit: int = 100
) -> list[dict[str, Any]]:
    """Articles of a span with their labels where they have some, newest first."""
    table = tables.articles
    query = select(table.c.id).where(table.c.time >= since, table.c.time <= until)
    if source:
        query = query.where(table.c.source == source)
    if containing:
        query = query.where(table.c.title.icontains(containing, autoescape=True))
    with engine.connect() as connection:
        wanted = list(
            connection.scalars(query.order_by(table.c.time.desc(), table.c.id.desc()).limit(min(limit, MOST)))
        )
        rows = {row["id"]: row for row in labelled(connection, table.c.id.in_(wanted))}
        columns = [table.c[n] for n in ("id", "story", "time", "source", "title", "url", "language")]
        bare = {r["id"]: dict(r) for r in connection.execute(select(*columns).where(table.c.id.in_(wanted))).mappings()}
    return [_plain(rows.get(number, bare[number])) for number in wanted]


def similar(engine: Engine, number: int, limit: int = 8) -> list[dict[str, Any]]:
    """Articles of the weeks around that mean nearly the same, the nearest first, with their cosine similarity."""
    import numpy as np

    table, labels = tables.articles, tables.labels
    columns = [table.c[n] for n in ("id", "story", "time", "source", "title")]
    current = (labels.c.article == table.c.id) & labels.c.current
    query = select(*columns, labels.c.sentiment, labels.c.vector).join(labels, current)
    with engine.connect() as connection:
        own = connection.execute(query.where(table.c.id == number)).first()
        if own is None or own.vector is None:
            return []
        near = table.c.time.between(own.time - SIMILAR_WITHIN, own.time + SIMILAR_WITHIN)
        same = labels.c.vector.is_not(None) & (table.c.id != number)
        rows = connection.execute(query.where(near, same).order_by(table.c.time.desc()).limit(20_000)).all()
    rows = [row for row in rows if len(row.vector) == len(own.vector)]
    if not rows:
        return []
    scores = np.stack([unpacked(row.vector) for row in rows]) @ unpacked(own.vector)
    best = np.argsort(-scores, kind="stable")[:limit]
    return [
        _plain({n: getattr(rows[i], n) for n in ("id", "story", "time", "source", "title", "sentiment")})
        | {"similarity": round(float(scores[i]), 4)}
        for i in best
    ]


def trend(
    engine: Engine, since: datetime, until: datetime, scope: str = "all", subject: str | None = None, step: str = "day"
) -> list[dict[str, Any]]:
    """Counts in steps of an hour, a day or a week, oldest first, for each subject of a scope; empty steps are rows too.

    Raises InputError for an unknown step.
    """
    if step not in STEPS:
        raise InputError(f"step {step!r} is unknown; choose from {', '.join(STEPS)}.")
    found = series(engine, floor(since, step), until, scope, "" if scope == "all" else subject)
    rows = []
    for (_, name), hours in sorted(found.items()):
        rows += [_counted(name, at, counts) for at, counts in resampled(hours, since, until, step)]
    return rows


def floor(at: datetime, step: str) -> datetime:
    """The beginning of the hour, day or ISO week (UTC) that holds a time."""
    at = at.replace(minute=0, second=0, microsecond=0)
    if step == "hour":
        return at
    at = at.replace(hour=0)
    return at - timedelta(days=at.weekday()) if step == "week" else at


def resampled(hours: Series, since: datetime, until: datetime, step: str) -> list[tuple[datetime, Counts]]:
    """Hourly counts in wider steps, without gaps."""
    at, width = floor(since, step), STEPS[step]
    sums: dict[datetime, Counts] = {}
    while at <= until:
        sums[at] = Counts()
        at += width
    for hour, counts in hours.items():
        place = floor(hour, step)
        if place in sums:
            old = sums[place]
            sums[place] = Counts(
                old.stories + counts.stories,
                old.negatives + counts.negatives,
                old.positives + counts.positives,
                old.score_sum + counts.score_sum,
            )
    return list(sums.items())


def _counted(subject: str, at: datetime, counts: Counts) -> dict[str, Any]:
    n = counts.stories
    return {
        "subject": subject or "all",
        "time": at.isoformat(),
        "stories": n,
        "negatives": counts.negatives,
        "positives": counts.positives,
        "negative_share": round(counts.negatives / n, 4) if n else None,
        "mean_score": round(counts.score_sum / n, 4) if n else None,
    }


def status(engine: Engine, settings: FinanceSettings) -> dict[str, Any]:
    """How much there is and when each stage ran last."""
    with engine.connect() as connection:
        counts = {
            "articles": connection.scalar(select(func.count()).select_from(tables.articles)),
            "stories": connection.scalar(select(func.count()).select_from(tables.stories)),
        }
        marks = {row.name: row.at.isoformat() for row in connection.execute(select(tables.marks))}
        latest = connection.scalar(select(func.max(tables.articles.c.time)))
    return {
        **counts,
        "waiting": unfinished(engine),
        "latest": latest.isoformat() if latest else None,
        "polled": marks.get("polled"),
        "evaluated": marks.get("evaluated"),
        "pruned": marks.get("pruned"),
    }


def subjects(engine: Engine, scope: str, since: datetime, until: datetime) -> list[tuple[str, int]]:
    """Subjects of a scope with their numbers of stories, the most frequent first."""
    table = tables.buckets
    query = (
        select(table.c.subject, func.sum(table.c.stories).label("n"))
        .where(table.c.scope == scope, table.c.hour.between(since, until))
        .group_by(table.c.subject)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return sorted(((row.subject, int(row.n)) for row in rows), key=lambda pair: (-pair[1], pair[0]))


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()}


__all__ = ["SENTIMENTS", "article", "articles", "similar", "status", "stories", "story", "subjects", "trend"]
