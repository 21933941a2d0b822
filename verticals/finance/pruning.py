"""The last stage: forget what is older than it is kept. Counts by hour, alerts and corrections stay."""

from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, func, select

from verticals.finance import tables
from verticals.finance.alerts import delivery
from verticals.finance.settings import FinanceSettings
from verticals.finance.store import chunks, mark

DELIVERED_KEPT = timedelta(days=90)
AT_ONCE = 2000  # articles in one transaction


def prune(engine: Engine, settings: FinanceSettings, now: datetime) -> dict[str, int]:
    """Forget old articles with labels and stories, and old delivered messages. Returns how many went.

    Age is told from the newest article found as well as from the clock: one that jumped ahead deletes nothing.
    """
    articles, stories = tables.articles, tables.stories
    with engine.connect() as connection:
        newest = connection.scalar(select(func.max(articles.c.found)))
    gone = told = 0
    if newest is not None:
        before = min(now, newest + timedelta(days=1)) - timedelta(days=settings.keep_days)
        while True:
            with engine.begin() as connection:
                old = list(connection.scalars(select(articles.c.id).where(articles.c.time < before).limit(AT_ONCE)))
                for part in chunks(old):
                    # Labels and corrections go with their article where the database cascades; not all are set to.
                    connection.execute(delete(tables.labels).where(tables.labels.c.article.in_(part)))
                    connection.execute(delete(tables.relabels).where(tables.relabels.c.article.in_(part)))
                    connection.execute(delete(articles).where(articles.c.id.in_(part)))
            gone += len(old)
            if len(old) < AT_ONCE:
                break
        with engine.begin() as connection:
            told = connection.execute(delete(stories).where(stories.c.last < before)).rowcount
    sent = delivery.prune(engine, now - DELIVERED_KEPT)
    with engine.begin() as connection:
        mark(connection, "pruned", now, {"articles": gone, "stories": told, "messages": sent})
    return {"articles": gone, "stories": told, "messages": sent}
