"""What a rule book would have done: the stored history judged with a simulated clock, by the code that judges live."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, create_engine, select
from sqlalchemy.pool import StaticPool

from core.errors import InputError
from verticals.finance import detection
from verticals.finance.alerts import tables as alert_tables
from verticals.finance.alerts.rules import RuleBook
from verticals.finance.alerts.store import Target
from verticals.finance.detection import Observe

LONGEST = timedelta(days=366)


@dataclass(frozen=True)
class Rehearsed:
    """The alerts that would have been raised in a span, oldest first."""

    since: datetime
    until: datetime
    alerts: tuple[dict[str, Any], ...]

    @property
    def per_week(self) -> float:
        """Alerts in a week, on average."""
        return len(self.alerts) / max((self.until - self.since) / timedelta(weeks=1), 1 / 7)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `headwater finance replay` gives them."""
        span = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        return {**span, "alerts": list(self.alerts), "alerts_per_week": round(self.per_week, 3)}


def rehearse(
    engine: Engine, book: RuleBook, since: datetime, until: datetime, observe: Observe | None = None
) -> Rehearsed:
    """Judge every full hour of a span by a book and tell which alerts fire; nothing is stored, nothing is sent.

    Outages are not judged: how sources were doing in the past is not kept. Raises InputError for a span that is
    empty or longer than a year.
    """
    if not timedelta(0) < until - since <= LONGEST:
        raise InputError("choose a span of at least an hour and at most a year.")
    if observe is None:
        from verticals.finance.surges import observe as own

        observe = own
    times = detection.due_times(since, until)
    silent = book.model_copy(update={"receivers": ()})
    seen = list(detection.observed(engine, silent, [], observe, times))
    scratch = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    try:
        alert_tables.metadata.create_all(scratch)
        detection.advance(scratch, silent, seen)
        return Rehearsed(since, until, tuple(_fired(scratch, [target for target, _ in seen])))
    finally:
        scratch.dispose()


def _fired(scratch: Engine, targets: Sequence[Target]) -> list[dict[str, Any]]:
    """One row for each episode that fired."""
    by_print = {target.fingerprint: target for target in targets}
    alerts, events = alert_tables.alerts, alert_tables.events
    found = []
    with scratch.connect() as connection:
        rows = {row.fingerprint: row for row in connection.execute(select(alerts))}
        query = select(events).where(events.c.kind == "transition").order_by(events.c.at, events.c.id)
        begun: dict[tuple[str, int], str] = {}
        for event in connection.execute(query):
            key = (event.fingerprint, event.episode)
            if event.detail["to"] == "pending":
                begun[key] = event.at.isoformat()
            if event.detail["to"] == "firing" and event.detail["from"] == "pending":
                target, row = by_print[event.fingerprint], rows[event.fingerprint]
                last = row.state["episode"] == event.episode
                found.append(
                    {
                        "rule": target.rule.id,
                        "title": target.rule.title,
                        "scope": target.rule.scope,
                        "topic": target.subject,
                        "start": begun.get(key, event.at.isoformat()),
                        "fired": event.at.isoformat(),
                        "peak": row.state["peak_at"] if last else event.at.isoformat(),
                        "severity": target.rule.severity,
                        "score": row.peak_score if last else event.detail["score"],
                        "evidence": list(row.state["evidence"]) if last else [],
                    }
                )
    return found
