"""Popular and trending: what everybody turns to, in all or lately."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from verticals.recommend.histories import Float32, Floats, Histories, Ints

_TAIL = 10  # half-lives after which an event counts less than a thousandth


@dataclass(frozen=True)
class Popular:
    """``counts`` [n]: how many users engaged with each item."""

    counts: Floats
    name: str = "popular"

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """The same for every user: log(1 + count), float32 [m, n] or [m, c]."""
        row = self._row if candidates is None else self._row[candidates]
        return np.broadcast_to(row, (len(histories), len(row)))

    @cached_property
    def _row(self) -> Float32:
        return np.log1p(self.counts).astype(np.float32)


def fit_popular(histories: Histories) -> Popular:
    """Count users, not events: one user's thousand views are one."""
    seen = histories.matrix(equal=True)
    return Popular(np.bincount(seen.indices, minlength=histories.n_items).astype(np.float64))


@dataclass(frozen=True)
class Trending:
    """All events by time; an event counts half as much every ``half_life`` seconds."""

    times: Floats
    items: Ints
    n_items: int
    half_life: float
    now: float | None = None
    name: str = "trending"

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """log(1 + decayed count of events before ``now``), float32 [m, n] or [m, c].

        Without ``now``, each user stands at the time of their own last event, so that a replay of the past
        knows nothing of what came later; a user without events stands at the end.
        """
        now = histories.last_times if self.now is None else np.full(len(histories), self.now)
        end = self.times[-1] if len(self.times) else 0.0
        now = np.where(np.isnan(now), end, now)
        moments, which = np.unique(now, return_inverse=True)
        rows = np.empty((len(moments), self.n_items), dtype=np.float32)
        counts = np.zeros(self.n_items)
        before = float(moments[0]) if len(moments) else 0.0
        done = np.searchsorted(self.times, before - self._reach, side="right")
        for row, (moment, last) in enumerate(zip(moments, np.searchsorted(self.times, moments, "right"), strict=True)):
            # What was counted fades as a whole; only later events are looked at one by one.
            counts *= 0.5 ** ((moment - before) / self.half_life)
            weights = 0.5 ** ((moment - self.times[done:last]) / self.half_life)
            counts += np.bincount(self.items[done:last], weights=weights, minlength=self.n_items)
            rows[row] = counts
            done, before = max(done, last), moment
        rows = rows if candidates is None else rows[:, candidates]
        np.log1p(rows, out=rows)
        return np.asarray(rows[which])

    @property
    def _reach(self) -> float:
        return _TAIL * self.half_life


def fit_trending(histories: Histories, half_life_days: float = 7.0, now: float | None = None) -> Trending:
    """Keep every event with its time; ``now`` in seconds since 1970."""
    order = np.argsort(histories.times, kind="stable")
    days = half_life_days * 86_400
    return Trending(histories.times[order], histories.items[order], histories.n_items, days, now)
