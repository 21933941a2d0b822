"""What a replay found: alerts as episodes, how many a week, and how early they were against marked events."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from core.errors import InputError
from verticals.finance.alerts import tables
from verticals.finance.alerts.states import Observation
from verticals.finance.alerts.store import Target
from verticals.finance.fetching.dates import parse_date

BEFORE = timedelta(days=7)  # an alert so long before an event may be about it
AFTER = timedelta(days=14)


@dataclass(frozen=True)
class ReplayResult:
    """One replay. ``alerts`` are episodes that fired, oldest first; those that others muted are marked, not counted."""

    articles: int
    duplicates: int
    stories: int
    since: datetime
    until: datetime
    alerts: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...] = ()

    @property
    def alerts_per_week(self) -> float:
        """Alerts that would have been sent in a week, on average."""
        return self.per_week(self.since, self.until)

    def per_week(self, since: datetime, until: datetime) -> float:
        """The same within a span of the archive."""
        fired = [datetime.fromisoformat(alert["fired"]) for alert in self.alerts if not alert["muted"]]
        return sum(since <= at < until for at in fired) / max((until - since) / timedelta(weeks=1), 1 / 7)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        found: dict[str, Any] = {
            "articles": self.articles,
            "duplicates": self.duplicates,
            "stories": self.stories,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "alerts": list(self.alerts),
            "alerts_per_week": round(self.alerts_per_week, 3),
        }
        return {**found, "events": list(self.events)} if self.events else found


@dataclass(frozen=True)
class MarkedEvent:
    """Something that is known to have happened."""

    at: datetime
    name: str

    def against(self, alerts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The first alert sent around it; ``lead_hours`` is positive when the alert came first."""
        near = [
            alert
            for alert in alerts
            if not alert["muted"] and -BEFORE <= datetime.fromisoformat(alert["fired"]) - self.at <= AFTER
        ]
        first = min(near, key=lambda alert: alert["fired"], default=None)
        lead = (self.at - datetime.fromisoformat(first["fired"])) / timedelta(hours=1) if first else None
        return {
            "event": self.name,
            "at": self.at.isoformat(),
            "rule": first["rule"] if first else None,
            "topic": first["topic"] if first else None,
            "fired": first["fired"] if first else None,
            "lead_hours": None if lead is None else round(lead, 1),
        }


def read_events(path: Path) -> list[MarkedEvent]:
    """Marked events from a CSV with the columns time (or date) and name. Raises InputError naming file and row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    found = []
    for number, row in enumerate(rows, 2):
        text, name = row.get("time") or row.get("date") or "", (row.get("name") or row.get("event") or "").strip()
        at = parse_date(text, None).at
        if at is None:
            raise InputError(f"{path}, row {number}, column time: {text!r} is no date; write it like 2020-02-24.")
        if not name:
            raise InputError(f"{path}, row {number}, column name: it is empty; say what happened.")
        found.append(MarkedEvent(at.astimezone(UTC), name))
    return sorted(found, key=lambda event: event.at)


def episodes(engine: Engine, seen: Sequence[tuple[Target, Sequence[Observation]]]) -> list[dict[str, Any]]:
    """Every episode that fired, from the alerts' audit trail, oldest first; peak and evidence from what was seen."""
    by_print = {target.fingerprint: (target, observations) for target, observations in seen}
    events = tables.events
    found: dict[tuple[str, int], dict[str, Any]] = {}
    with engine.connect() as connection:
        for event in connection.execute(select(events).order_by(events.c.at, events.c.id)):
            key = (event.fingerprint, event.episode)
            at, detail = event.at.isoformat(), event.detail
            if event.kind == "queued" and detail["notification"] == "firing" and key in found:
                found[key]["muted"] = False
            if event.kind != "transition":
                continue
            if detail["to"] in ("pending", "firing") and key not in found:
                found[key] = _episode(by_print[event.fingerprint][0], at)
            if key in found and detail["to"] == "firing" and found[key]["fired"] is None:
                found[key]["fired"] = at
            if key in found and detail["to"] in ("resolved", "normal"):
                found[key]["end"] = at
    for (fingerprint, _), row in found.items():
        _peak(row, by_print[fingerprint][1])
    return sorted((row for row in found.values() if row["fired"] is not None), key=lambda row: row["fired"])


def _peak(row: dict[str, Any], observations: Sequence[Observation]) -> None:
    begin = datetime.fromisoformat(row["start"])
    end = datetime.fromisoformat(row["end"]) if row["end"] else observations[-1].at
    within = [one for one in observations if one.anomaly and begin <= one.at <= end]
    if within:
        top = max(within, key=lambda one: one.score)
        evidence = list(dict.fromkeys(title for one in within for title in one.evidence))
        row |= {"peak": top.at.isoformat(), "score": top.score, "reason": top.reason, "evidence": evidence[:20]}


def _episode(target: Target, at: str) -> dict[str, Any]:
    return {
        "rule": target.rule.id,
        "title": target.rule.title,
        "scope": target.rule.scope,
        "topic": target.subject,
        "severity": target.rule.severity,
        "start": at,
        "fired": None,
        "peak": at,
        "end": None,
        "score": 0.0,
        "reason": "",
        "evidence": [],
        "muted": True,
    }
