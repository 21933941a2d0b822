"""Judge events against the items and the clock: unknown items, wrong times, duplicates and bots, all reported."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from core.data.table import Finding, place
from core.errors import InputError
from verticals.recommend.behaviour import Events
from verticals.recommend.cells import told
from verticals.recommend.items import Items

Rule = Literal["drop", "keep", "refuse"]


class EventChecks(BaseModel):
    """What is done about each kind of problem; everything done is reported with file and row."""

    model_config = ConfigDict(extra="forbid")

    unknown_items: Rule = "drop"
    clock: Rule = "drop"
    before_publication: Rule = "keep"
    duplicates: Rule = "drop"
    bots: Rule = "drop"
    clock_tolerance_seconds: float = 300.0
    earliest: str = "1990-01-01T00:00:00Z"
    bot_events_per_minute: int = 120
    bot_events_per_day: int = 5000


@dataclass(frozen=True)
class Validation:
    """Usable events and what was wrong with the rest."""

    events: Events
    rows_read: int
    findings: list[Finding]

    def to_dict(self) -> dict[str, Any]:
        """``{"rows_read", "rows_kept", "users", "items", "first", "last", "findings": […]}``."""
        frame = self.events.frame
        return {
            "rows_read": self.rows_read,
            "rows_kept": len(frame),
            "users": int(frame["user"].nunique()),
            "items": int(frame["item"].nunique()),
            "first": frame["time"].min().isoformat(),
            "last": frame["time"].max().isoformat(),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def validate(
    events: Events, items: Items, clock: Callable[[], datetime], checks: EventChecks | None = None
) -> Validation:
    """Apply every check; raises InputError for what ``checks`` refuses and when no event is left."""
    checks = checks or EventChecks()
    findings = [*items.findings, *events.findings]
    frame = events.frame
    for judge in (_unknown_items, _clock, _before_publication, _duplicates, _bots):
        frame, found = judge(frame, items, clock(), checks)
        findings += found
    if frame.empty:
        raise InputError("No event is left after the checks; see that the ids of events and items are the same.")
    shown = events.shown[events.shown["item"].isin(items.positions)].reset_index(drop=True)
    kept = replace(events, frame=frame.reset_index(drop=True), shown=shown, findings=findings)
    return Validation(kept, len(events.frame), findings)


Judged = tuple[pd.DataFrame, list[Finding]]


def _unknown_items(frame: pd.DataFrame, items: Items, now: datetime, checks: EventChecks) -> Judged:
    bad = ~frame["item"].isin(items.positions)
    return _act(frame, bad, checks.unknown_items, "unknown_item", "item", "events with an item that does not exist")


def _clock(frame: pd.DataFrame, items: Items, now: datetime, checks: EventChecks) -> Judged:
    latest = pd.Timestamp(now) + timedelta(seconds=checks.clock_tolerance_seconds)
    bad = (frame["time"] > latest) | (frame["time"] < pd.Timestamp(checks.earliest))
    return _act(frame, bad, checks.clock, "clock", "time", f"events in the future or before {checks.earliest[:10]}")


def _before_publication(frame: pd.DataFrame, items: Items, now: datetime, checks: EventChecks) -> Judged:
    published = items.frame.set_index("id")["published"]
    bad = frame["time"] < frame["item"].map(published)
    return _act(
        frame, bad, checks.before_publication, "before_publication", "time", "events before the item was published"
    )


def _duplicates(frame: pd.DataFrame, items: Items, now: datetime, checks: EventChecks) -> Judged:
    bad = frame.duplicated(["user", "item", "event", "time"])
    return _act(frame, bad, checks.duplicates, "duplicate", "time", "events that repeat another one exactly")


def _bots(frame: pd.DataFrame, items: Items, now: datetime, checks: EventChecks) -> Judged:
    """All events of users faster than a person, in any minute or any day."""
    fast: set[str] = set()
    for unit, limit in (("min", checks.bot_events_per_minute), ("D", checks.bot_events_per_day)):
        sizes = frame.groupby([frame["user"], frame["time"].dt.floor(unit)]).size()
        fast |= set(sizes[sizes > limit].index.get_level_values(0))
    bad = frame["user"].isin(fast)
    frame, found = _act(frame, bad, checks.bots, "bot", "user", f"events of {len(fast)} users faster than a person")
    return frame, found


def _act(frame: pd.DataFrame, bad: "pd.Series[bool]", rule: Rule, kind: str, column: str, what: str) -> Judged:
    if not bad.any():
        return frame, []
    if rule == "refuse":
        first = frame[bad].iloc[0]
        raise InputError(
            f"{place(first['file'], first['row'], column)}: {int(bad.sum())} {what}; "
            "mend the table or let the check drop them."
        )
    action = "dropped" if rule == "drop" else "kept"
    found = told(kind, action, frame, bad, column, f"{what}, {action}.")
    return (frame[~bad] if rule == "drop" else frame), found
