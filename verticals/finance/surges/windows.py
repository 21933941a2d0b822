"""Hourly counts of one subject as windows: the one that is judged, and earlier ones of the same length and hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from verticals.finance.rollup import Counts

HOUR = timedelta(hours=1)
DAY = 24
PAST = 56  # earlier windows that a baseline is made of: eight weeks of days hold each weekday eight times
_FIELDS = ("stories", "negatives", "positives", "score_sum")


@dataclass(frozen=True)
class Windows:
    """Sums over windows. ``now[name]`` is [t], ``past[name]`` [t, k], newest first; ``known`` [t, k] says which exist.

    Past windows end whole days earlier (whole window lengths earlier, if a window is longer than a day), so that
    they are at the same hour and overlap neither the judged window nor each other.
    """

    now: dict[str, np.ndarray]
    past: dict[str, np.ndarray]
    known: np.ndarray
    weekday: np.ndarray  # [t, k] whether a past window is on the judged one's weekday

    @property
    def enough(self) -> np.ndarray:
        """How many past windows there are, [t]."""
        return np.asarray(self.known.sum(axis=1))


def hour_index(at: datetime, origin: datetime) -> int:
    """Hours from ``origin`` to the end of the hour that ``at`` lies in: a full hour itself is that end."""
    seconds = (at - origin).total_seconds()
    return int(-(-seconds // 3600))


def grid(counts: "Mapping[datetime, Counts]", origin: datetime, hours: int) -> dict[str, np.ndarray]:
    """Running sums [hours + 1] of each field: the sum over hours [a, b) is ``sums[b] - sums[a]``."""
    arrays = {name: np.zeros(hours + 1) for name in _FIELDS}
    for hour, found in counts.items():
        place = int((hour - origin) // HOUR)
        if 0 <= place < hours:
            for name in _FIELDS:
                arrays[name][place + 1] += getattr(found, name)
    return {name: np.cumsum(array) for name, array in arrays.items()}


def cut(
    counts: "Mapping[datetime, Counts]", times: Sequence[datetime], window: timedelta, since: datetime | None = None
) -> Windows:
    """The windows that end at ``times``; an hour that begins at or after a time is not part of its window.

    ``since`` is when the records begin, if that is before the subject's own first hour.
    """
    if not times:
        nothing: dict[str, Any] = {name: np.zeros(0) for name in _FIELDS}
        empty = np.zeros((0, PAST))
        return Windows(nothing, dict.fromkeys(_FIELDS, empty), empty.astype(bool), empty.astype(bool))
    begin = min([*counts, *([since] if since is not None else []), min(times)]).astimezone(UTC)
    origin = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    ends = np.array([hour_index(at, origin) for at in times])
    hours = max(1, int(ends.max()))
    sums = grid(counts, origin, hours)
    width = max(1, int(round(window / HOUR)))
    step = DAY * max(1, -(-width // DAY))
    back = ends[:, None] - step * np.arange(1, PAST + 1)[None, :]
    first = hour_index(begin, origin)
    known = back - width >= min(first, hours)
    spans = {name: _span(array, back, width) for name, array in sums.items()}
    days = (step // DAY) * np.arange(1, PAST + 1)
    weekday = np.broadcast_to(days % 7 == 0, known.shape)
    return Windows({name: _span(array, ends, width) for name, array in sums.items()}, spans, known, weekday)


def _span(sums: np.ndarray, ends: np.ndarray, width: int) -> np.ndarray:
    last = len(sums) - 1
    return np.asarray(sums[np.clip(ends, 0, last)] - sums[np.clip(ends - width, 0, last)])
