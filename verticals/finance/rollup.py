"""Counts of stories by hour: recomputed for the hours that changed, so that a repeated run changes nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from verticals.finance import tables
from verticals.finance.store import chunks

SCOPES = ("all", "topic", "company", "source")
HOURS_AT_ONCE = 200


@dataclass(frozen=True)
class Counts:
    """What one hour holds for one subject. ``score_sum`` adds P(positive) - P(negative) over its stories."""

    stories: int = 0
    negatives: int = 0
    positives: int = 0
    score_sum: float = 0.0

    def plus(self, sentiment: str, score: float) -> "Counts":
        """With one more story."""
        return replace(
            self,
            stories=self.stories + 1,
            negatives=self.negatives + (sentiment == "negative"),
            positives=self.positives + (sentiment == "positive"),
            score_sum=self.score_sum + score,
        )


def hour_of(at: datetime) -> datetime:
    """The hour that holds a time."""
    return at.replace(minute=0, second=0, microsecond=0)


def contributions(story: Mapping[str, Any]) -> Iterator[tuple[str, str, str, float]]:
    """Scope, subject, sentiment and score that one story counts for; a company gets the sentiment toward itself."""
    yield "all", "", story["sentiment"], story["score"]
    if story["topic"]:
        yield "topic", story["topic"], story["sentiment"], story["score"]
    for source in story["sources"]:
        yield "source", source, story["sentiment"], story["score"]
    for code, (sentiment, score) in story["companies"].items():
        yield "company", code, sentiment, score


def count(stories: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, datetime], Counts]:
    """Counts by scope, subject and hour of the first article; stories are rows of ``tables.stories``."""
    found: dict[tuple[str, str, datetime], Counts] = {}
    for story in stories:
        hour = hour_of(story["first"])
        for scope, subject, sentiment, score in contributions(story):
            key = (scope, subject, hour)
            found[key] = found.get(key, Counts()).plus(sentiment, score)
    return found


def mark_dirty(connection: Connection, hours: Iterable[datetime]) -> None:
    """Have these hours counted again, within the transaction that changes their stories.

    A mark that is there already is touched: a count that runs meanwhile then waits for this transaction's end.
    """
    table = tables.dirty
    for hour in sorted({hour_of(hour) for hour in hours}):
        if not connection.execute(update(table).where(table.c.hour == hour).values(hour=hour)).rowcount:
            connection.execute(insert(table).values(hour=hour))


def roll_up(engine: Engine) -> int:
    """Count every changed hour again. Returns how many there were."""
    done = 0
    while True:
        with engine.begin() as connection:
            hours = list(
                connection.scalars(select(tables.dirty.c.hour).order_by(tables.dirty.c.hour).limit(HOURS_AT_ONCE))
            )
            if not hours:
                return done
            _recount(connection, hours)
        done += len(hours)


def _recount(connection: Connection, hours: Sequence[datetime]) -> None:
    # The marks go first: on PostgreSQL a story that comes in between marks its hour again, and that mark stays.
    connection.execute(delete(tables.dirty).where(tables.dirty.c.hour.in_(hours)))
    stories, buckets = tables.stories, tables.buckets
    within = stories.c.first.between(min(hours), max(hours).replace(minute=59, second=59, microsecond=999999))
    wanted = set(hours)
    rows = [
        row for row in connection.execute(select(stories).where(within)).mappings() if hour_of(row["first"]) in wanted
    ]
    connection.execute(delete(buckets).where(buckets.c.hour.in_(hours)))
    counted = [
        {
            "scope": scope,
            "subject": subject,
            "hour": hour,
            "stories": counts.stories,
            "negatives": counts.negatives,
            "positives": counts.positives,
            "score_sum": counts.score_sum,
        }
        for (scope, subject, hour), counts in count([dict(row) for row in rows]).items()
    ]
    for part in chunks(counted):
        connection.execute(insert(buckets), list(part))


Series = dict[datetime, Counts]


def series(
    engine: Engine, since: datetime, until: datetime, scope: str | None = None, subject: str | None = None
) -> dict[tuple[str, str], Series]:
    """Hourly counts of every subject of a scope (or of all), both ends included."""
    table = tables.buckets
    query = select(table).where(table.c.hour.between(since, until))
    if scope is not None:
        query = query.where(table.c.scope == scope)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    found: dict[tuple[str, str], Series] = {}
    with engine.connect() as connection:
        for row in connection.execute(query.order_by(table.c.hour)):
            counts = Counts(row.stories, row.negatives, row.positives, row.score_sum)
            found.setdefault((row.scope, row.subject), {})[row.hour] = counts
    return found
