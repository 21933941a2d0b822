"""The state machine of one alert: a pure function from state and observation to state and what follows from it.

Normal, Pending, Firing, Recovering, Resolved, NoData and Error follow Grafana's alert states; what is *sent*
follows Alertmanager: a notification is due while what the receivers last heard differs from what is true, so one
that was muted, or lost with the process, is due again at the next evaluation.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import TypeAdapter

from verticals.finance.alerts.rules import Rule

Status = Literal["normal", "pending", "firing", "recovering", "resolved", "nodata", "error"]
Kind = Literal["firing", "reminder", "resolved", "nodata", "error"]
Told = Literal["", "firing", "nodata", "error"]
ACTIVE: tuple[Status, ...] = ("pending", "firing", "recovering", "nodata", "error")
EVIDENCE_KEPT = 20
_TOLD: dict[Kind, Told] = {
    "firing": "firing",
    "reminder": "firing",
    "resolved": "",
    "nodata": "nodata",
    "error": "error",
}


@dataclass(frozen=True)
class Observation:
    """What the detector says about one bucket. ``kind`` nodata: the sources were down, so zero means nothing."""

    at: datetime
    kind: Literal["value", "nodata", "error"] = "value"
    anomaly: bool = False
    score: float = 0.0
    value: float = 0.0
    expected: float | None = None
    stories: int = 0
    evidence: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class AlertState:
    """Everything that is remembered of one alert; times are UTC."""

    status: Status = "normal"
    since: datetime | None = None
    held: Status = "normal"  # where NoData or Error goes back to
    episode: int = 0
    started: datetime | None = None
    fired: datetime | None = None
    peak_at: datetime | None = None
    peak_score: float = 0.0
    peak_value: float = 0.0
    observed: datetime | None = None
    blind_since: datetime | None = None  # first observation in a row without data
    told: Told = ""
    told_at: datetime | None = None
    reminders: int = 0
    flaps: tuple[datetime, ...] = ()
    evidence: tuple[str, ...] = ()
    reason: str = ""
    acknowledged: datetime | None = None
    closed: bool = False  # a person resolved it: what is still unusual belongs to the past until it was calm once

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(_STATE.dump_python(self, mode="json"))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "AlertState":
        """The inverse of ``to_dict``."""
        return _STATE.validate_python(values)


_STATE = TypeAdapter(AlertState)


@dataclass(frozen=True)
class Step:
    """One evaluation: the new state, the transitions on the way, and what receivers must hear."""

    state: AlertState
    transitions: tuple[tuple[Status, Status], ...] = ()
    notifications: tuple[Kind, ...] = ()
    muted: tuple[Kind, ...] = ()


def advance(state: AlertState, seen: Observation, rule: Rule, muted: bool = False) -> Step:
    """One evaluation of one alert.

    An observation that is not newer than the last one changes nothing, so an evaluation that is repeated after a
    crash cannot count twice.
    """
    if state.observed is not None and seen.at <= state.observed:
        return Step(state)
    before = state
    state = replace(state, observed=seen.at)
    if seen.kind == "value":
        state = _sighted(_back_from_blindness(state, seen.at), seen, rule)
    else:
        state = _blind(state, seen, rule)
    moves = ((before.status, state.status),) if state.status != before.status else ()
    return _notify(state, seen.at, rule, muted, moves)


def _back_from_blindness(state: AlertState, at: datetime) -> AlertState:
    if state.status in ("nodata", "error"):
        return replace(state, status=state.held, since=at, blind_since=None)
    return replace(state, blind_since=None)


def _blind(state: AlertState, seen: Observation, rule: Rule) -> AlertState:
    since = state.blind_since or seen.at
    state = replace(state, blind_since=since)
    target: Status = "nodata" if seen.kind == "nodata" else "error"
    if state.status == target or (state.status not in ("nodata", "error") and seen.at - since < rule.nodata):
        return state
    held = state.held if state.status in ("nodata", "error") else state.status
    return replace(state, status=target, held=held, since=seen.at, reason=seen.reason)


def _sighted(state: AlertState, seen: Observation, rule: Rule) -> AlertState:
    if state.status == "resolved":
        state = replace(state, status="normal", since=seen.at)
    unusual = seen.anomaly and seen.stories >= rule.minimum_stories
    if state.closed:
        return replace(state, closed=unusual)
    if unusual:
        state = _unusual(state, seen, rule)
    elif state.status == "pending":
        state = replace(state, status="normal", since=seen.at, started=None)
    elif state.status == "firing":
        state = replace(state, status="recovering", since=seen.at)
    if state.status == "recovering" and state.since is not None and seen.at - state.since >= rule.recovery:
        state = replace(state, status="resolved", since=seen.at)
    return state


def _unusual(state: AlertState, seen: Observation, rule: Rule) -> AlertState:
    if state.status == "normal":
        state = AlertState(
            status="pending",
            since=seen.at,
            episode=state.episode + 1,
            started=seen.at,
            observed=seen.at,
            told=state.told,
            told_at=state.told_at,
            flaps=_recent(state.flaps, seen.at, rule.flap_window),
        )
    if seen.score > state.peak_score or state.peak_at is None:
        state = replace(state, peak_at=seen.at, peak_score=seen.score, peak_value=seen.value)
    kept = tuple(dict.fromkeys((*state.evidence, *seen.evidence)))[-EVIDENCE_KEPT:]
    state = replace(state, evidence=kept, reason=seen.reason or state.reason)
    if state.status == "pending" and state.since is not None and seen.at - state.since >= rule.pending:
        # A new episode is told anew, also when the end of the one before was muted.
        flaps = (*state.flaps, seen.at)
        state = replace(state, status="firing", since=seen.at, fired=seen.at, flaps=flaps, told="", reminders=0)
    elif state.status == "recovering":
        state = replace(state, status="firing", since=seen.at)
    return state


def flapping(state: AlertState, rule: Rule) -> bool:
    """Whether this alert fired too often lately; it stays open, but further episodes are not sent."""
    return state.observed is not None and len(_recent(state.flaps, state.observed, rule.flap_window)) > rule.flap_limit


def _recent(times: tuple[datetime, ...], now: datetime, window: timedelta) -> tuple[datetime, ...]:
    return tuple(at for at in times if now - at < window)


def _due(state: AlertState, at: datetime, rule: Rule) -> Kind | None:
    """What receivers would have to hear now, if nothing mutes the alert."""
    if state.status in ("firing", "recovering"):
        if state.told != "firing":
            return "firing"
        waited = state.told_at is not None and at - state.told_at >= rule.repeat
        return "reminder" if waited and state.status == "firing" and state.acknowledged is None else None
    if state.status in ("nodata", "error"):
        quiet = state.told == state.status or state.held in ("firing", "recovering")
        return None if quiet else state.status
    if state.status in ("resolved", "normal") and state.told:
        return "resolved"
    return None


def _notify(state: AlertState, at: datetime, rule: Rule, muted: bool, moves: tuple[tuple[Status, Status], ...]) -> Step:
    kind = _due(state, at, rule)
    if kind is None:
        return Step(state, moves)
    if muted or (kind == "firing" and flapping(state, rule)):
        return Step(state, moves, muted=(kind,))
    told = _TOLD[kind]
    reminders = state.reminders + (kind == "reminder")
    return Step(replace(state, told=told, told_at=at, reminders=reminders), moves, (kind,))
