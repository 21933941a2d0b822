"""What waits in the monitor: messages to send, articles to label, sources that are due."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, func, or_, select

from core.vertical import Queue
from verticals.finance.alerts.tables import outbox
from verticals.finance.labelling import MAX_ATTEMPTS
from verticals.finance.tables import LABELLED, articles

LATE_S = 900.0  # jobs run every few seconds; a quarter of an hour behind is a fault


def queues(engine: Engine, now: datetime) -> Sequence[Queue]:
    """The monitor's queues. A message that a receiver refused is due again later, and is not late before that."""
    unsent = outbox.c.delivered.is_(None)
    due = unsent & (outbox.c.not_before <= now) & or_(outbox.c.claimed_until.is_(None), outbox.c.claimed_until <= now)
    refused = unsent & (outbox.c.attempts > 0)
    with engine.connect() as connection:
        waiting, oldest = connection.execute(select(func.count(), func.min(outbox.c.not_before)).where(due)).one()
        again, first = connection.execute(select(func.count(), func.min(outbox.c.created)).where(refused)).one()
        unread = connection.execute(
            select(func.count(), func.min(articles.c.found)).where(
                articles.c.stage < LABELLED, articles.c.attempts < MAX_ATTEMPTS
            )
        ).one()
    return (
        Queue("messages to send", waiting, oldest, LATE_S),
        Queue("messages that a receiver refused", again, first, 4 * LATE_S),
        Queue("articles to label", unread[0], unread[1], LATE_S),
    )
