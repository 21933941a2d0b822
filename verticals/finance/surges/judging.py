"""What a rule sees of one subject: its hourly counts in, observations for the alerts' state machine out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import InputError
from verticals.finance.alerts.rules import Rule
from verticals.finance.alerts.states import Observation
from verticals.finance.surges import counts as tails
from verticals.finance.surges import drift, simple
from verticals.finance.surges.windows import Windows, cut

if TYPE_CHECKING:
    from verticals.finance.rollup import Counts

DRIFT_WINDOWS = 2  # a drift is summed up over so many of the rule's windows

Judge = Callable[[Windows, float, bool], tails.Judged]
# By detector and measure; the other detectors are there to be compared with.
JUDGES: dict[str, dict[str, Judge]] = {
    "default": {
        "volume": tails.volume,
        "negative_volume": tails.negative_volume,
        "negative_share": tails.negatives,
    },
    "z-score": {
        "volume": simple.z_volume,
        "negative_volume": simple.z_negatives,
        "negative_share": simple.z_share,
    },
    "ewma": {
        "volume": simple.ewma_volume,
        "negative_volume": simple.ewma_negatives,
        "negative_share": simple.ewma_share,
    },
}
_WORDS = {
    "volume": "stories",
    "negative_volume": "negative stories",
    "negative_share": "share of negative stories",
    "mean_score": "mean score",
}


@dataclass(frozen=True)
class BandPoint:
    """One point of a chart: what was seen, what was expected, and between which values it would be usual."""

    time: datetime
    value: float
    expected: float
    low: float
    high: float
    score: float
    anomaly: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "time": self.time.isoformat()}


def observe(
    rule: Rule, counts: "Mapping[datetime, Counts]", times: Sequence[datetime], since: datetime | None = None
) -> list[Observation]:
    """The rule's observation at each time, from hours that began before it.

    Of a rule on negative stories ``minimum_stories`` counts those alone.
    ``since`` is when the records begin: a subject that is new in an old monitor was silent before. Raises InputError
    for a detector that does not exist or a measure that is no count (outages are seen elsewhere).
    """
    return _observations(rule, *_judge(rule, counts, times, since), times)


def _observations(rule: Rule, windows: Windows, judged: tails.Judged, times: Sequence[datetime]) -> list[Observation]:
    enough = windows.enough >= _needed(rule)
    found = []
    for row, at in enumerate(times):
        stories = int(windows.now["negatives" if rule.measure == "negative_volume" else "stories"][row])
        tail = float(judged.tail[row])
        anomaly = bool(enough[row]) and stories >= rule.minimum_stories and tail <= 1 - rule.sensitivity
        found.append(
            Observation(
                at=at,
                anomaly=anomaly,
                score=1 - tail if enough[row] else 0.0,
                value=float(judged.value[row]),
                expected=float(judged.expected[row]) if enough[row] else None,
                stories=stories,
                reason=_reason(rule, judged, row, stories) if anomaly else "" if enough[row] else "too little history",
            )
        )
    return found


def band(
    rule: Rule, counts: "Mapping[datetime, Counts]", times: Sequence[datetime], since: datetime | None = None
) -> list[BandPoint]:
    """The same judgement as points of a chart; nothing is unusual where there is too little history."""
    windows, judged = _judge(rule, counts, times, since, limits=True)
    seen = _observations(rule, windows, judged, times)
    return [
        BandPoint(
            at,
            float(judged.value[row]),
            float(judged.expected[row]),
            float(judged.low[row]),
            float(judged.high[row]),
            score=seen[row].score,
            anomaly=seen[row].anomaly,
        )
        for row, at in enumerate(times)
        if windows.enough[row] > 0
    ]


def _needed(rule: Rule) -> int:
    days = max(1, -(-int(rule.window / timedelta(hours=1)) // 24))
    return max(3, tails.MINIMUM_HISTORY // days) if rule.measure != "mean_score" else tails.MINIMUM_HISTORY


def _judge(
    rule: Rule,
    counts: "Mapping[datetime, Counts]",
    times: Sequence[datetime],
    since: datetime | None,
    limits: bool = False,
) -> tuple[Windows, tails.Judged]:
    if rule.measure == "mean_score":
        return _drift(rule, counts, times, since)
    judges = JUDGES.get(rule.detector)
    if judges is None:
        raise InputError(f"rule {rule.id!r}: the detector {rule.detector!r} is unknown; choose {', '.join(JUDGES)}.")
    if rule.measure not in judges:
        raise InputError(f"rule {rule.id!r}: {rule.measure!r} is no count; it is not judged by a detector.")
    windows = cut(counts, times, rule.window, since)
    return windows, judges[rule.measure](windows, rule.sensitivity, limits)


def _drift(
    rule: Rule, counts: "Mapping[datetime, Counts]", times: Sequence[datetime], since: datetime | None
) -> tuple[Windows, tails.Judged]:
    days = max(1, round(rule.window / timedelta(days=1))) * DRIFT_WINDOWS
    whole = cut(counts, times, rule.window, since)
    origin = min([*counts, *([since] if since else []), *times]) if times else None
    steps = [
        _without_window(cut(counts, [at - timedelta(days=back) for at in times], timedelta(days=1), origin), back, days)
        for back in range(days - 1, -1, -1)
    ]
    judged = drift.falling_score(whole, steps, rule.sensitivity)
    return Windows(whole.now, whole.past, steps[0].known, whole.weekday), judged


def _without_window(step: Windows, back: int, days: int) -> Windows:
    """The past of every day of the window begins before the window: a drift must not become its own baseline."""
    known = step.known.copy()
    known[:, : max(0, days - 1 - back)] = False
    return Windows(step.now, step.past, known, step.weekday)


def _reason(rule: Rule, judged: tails.Judged, row: int, stories: int) -> str:
    value, expected, tail = judged.value[row], judged.expected[row], judged.tail[row]
    if rule.measure in ("volume", "negative_volume"):
        text = f"{value:.0f} {_WORDS[rule.measure]}, about {expected:.1f} expected"
    else:
        text = f"{_WORDS[rule.measure]} {value:.2f} of {stories} stories, {expected:.2f} expected"
    return f"{text}; chance {max(tail, 1e-12):.1g}" if np.isfinite(tail) else text
