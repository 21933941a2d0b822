"""What a rule expected of one subject over time, for a chart: value, expectation, bounds, and where it was unusual."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from verticals.finance.alerts.rules import Rule
from verticals.finance.detection import HISTORY
from verticals.finance.rollup import Series, series

MOST = 400  # points of one line


def hours(rule: Rule) -> int:
    """The width of what the rule judges, in hours."""
    return max(1, round(rule.window.total_seconds() / 3600))


def _any(counts: Series, at: datetime, rule: Rule) -> bool:
    """Whether there is a story in the window; without one a share is not nought but unknown."""
    return any(counts[hour].stories for hour in counts if at - rule.window <= hour < at)


def rows(engine: Engine, rule: Rule, subject: str, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """One row for each time, the latest included; each judged from what came before it alone."""
    from verticals.finance.surges import band

    key = "" if rule.scope == "all" else subject
    counts = series(engine, since - HISTORY, until, rule.scope, key).get((rule.scope, key), {})
    begun = min(series(engine, since - HISTORY, until, "all").get(("all", ""), ()), default=None)
    step = timedelta(hours=max(1, -(-int((until - since).total_seconds()) // 3600 // MOST)))
    last = until.replace(minute=0, second=0, microsecond=0)
    times = []
    at = last
    while at >= since:
        times.append(at)
        at -= step
    times.reverse()
    return [
        {
            "time": point.time.isoformat(),
            "value": point.value if rule.measure == "volume" or _any(counts, point.time, rule) else None,
            "expected": point.expected,
            "low": point.low,
            "high": point.high,
            "anomaly": bool(point.anomaly),
            "score": point.score,
        }
        for point in band(rule, counts, times, begun)
    ]
