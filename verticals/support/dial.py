"""The precision dial on the feedback that people gave: fit it, set it, and say when it no longer fits."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from core.errors import InputError
from core.evaluation.files import write_json
from verticals.support import tables
from verticals.support.precision import FEWEST, Dial, Drift, Thresholds, drift, fit
from verticals.support.scope import Scope
from verticals.support.settings import SupportSettings

Clock = Callable[[], datetime]
_RIGHT = {"accepted": True, "edited": False, "rejected": False, "handed_over": False}
_RECENT = 500


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Answered:
    """One answer the bot gave; ``right`` is None while nobody has judged it. An edited answer was not right."""

    time: datetime
    confidence: float
    right: bool | None


@dataclass(frozen=True)
class State:
    """The thresholds in force, what the dial could promise on the judged answers, and whether those have drifted."""

    thresholds: Thresholds
    dial: Dial
    drift: Drift
    judged: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        parts = {name: getattr(self, name).to_dict() for name in ("thresholds", "dial", "drift")}
        return {**parts, "judged": self.judged}


def answered(engine: Engine) -> list[Answered]:
    """Templates and passages that were shown, oldest first, with what became of them."""
    replies, verdicts = tables.replies, tables.feedback
    wanted = (
        select(replies.c.time, replies.c.confidence, verdicts.c.verdict)
        .outerjoin(verdicts, verdicts.c.reply == replies.c.id)
        .where(replies.c.kind.in_(("template", "passage")))
        .order_by(replies.c.time, replies.c.id)
    )
    with engine.connect() as connection:
        rows = connection.execute(wanted).all()
    return [Answered(row.time, row.confidence, _RIGHT.get(row.verdict or "")) for row in rows]


def state(engine: Engine, settings: SupportSettings, precision: float | None = None) -> State:
    """What the dial says now, with nothing changed. ``precision``: the share wanted, the one in force unless given."""
    thresholds = _thresholds(settings)
    rows = answered(engine)
    judged = [row for row in rows if row.right is not None]
    target = precision or thresholds.precision
    dial = fit([row.confidence for row in judged], [bool(row.right) for row in judged], target)
    fitted = datetime.fromisoformat(thresholds.fitted) if thresholds.fitted else None
    since = [row for row in rows if fitted is not None and row.time > fitted][-_RECENT:]
    moved = drift(
        _reference(settings.thresholds),
        [row.confidence for row in since],
        [row.right for row in since],
        thresholds.template,
        thresholds.precision,
    )
    return State(thresholds, dial, moved, len(judged))


def turn(engine: Engine, settings: SupportSettings, precision: float, now: Clock = utc_now) -> State:
    """Fit the thresholds to the judged answers for a wanted precision and put them in force.

    Raises InputError when the judged answers cannot support that promise; then everything stays as it was.
    """
    found = state(engine, settings, precision)
    if found.dial.threshold is None:
        raise InputError(f"a precision of {precision:.0%} cannot be promised: {found.dial.reason}.")
    judged = [row.confidence for row in answered(engine) if row.right is not None]
    thresholds = found.thresholds.with_answer(found.dial.threshold, precision, len(judged), now())
    # First what later answers are compared with: a kill in between leaves the thresholds that it belongs to unset.
    write_json(_reference_file(settings.thresholds), {"confidence": judged})
    thresholds.save(settings.thresholds)
    return state(engine, settings, precision)


def refit(engine: Engine, settings: SupportSettings, now: Clock = utc_now) -> State | None:
    """What the worker does: fit again when as many answers were judged since as a promise needs; None: nothing to do.

    Only a dial that somebody has turned is refitted. When the promise can no longer be kept the thresholds stay, and
    the drift warning says so.
    """
    thresholds = _thresholds(settings)
    if not thresholds.rows or state(engine, settings).judged < thresholds.rows + FEWEST:
        return None
    try:
        return turn(engine, settings, thresholds.precision, now)
    except InputError:
        return None


def _thresholds(settings: SupportSettings) -> Thresholds:
    return Thresholds.load(settings.thresholds, Scope.load(settings.scope).thresholds)


def _reference_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.stem}-fitted.json")


def _reference(path: Path) -> list[float]:
    try:
        return list(json.loads(_reference_file(path).read_text(encoding="utf-8"))["confidence"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
