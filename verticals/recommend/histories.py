"""Histories: what each user engaged with, oldest first, as arrays; the one input of every scorer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from core.errors import InputError
from verticals.recommend.behaviour import WEIGHTS, Events
from verticals.recommend.items import Items, seconds

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]

FADED = 1e-6  # of a new event's weight


@dataclass(frozen=True)
class Recency:
    """How an older event counts less: half as much every ``half_life``.

    ``unit`` "share": of the user's history (0.5 = an event in its middle counts half as much as the last one),
    "events": counted back from the last one, "seconds": before the last one.
    """

    half_life: float
    unit: Literal["share", "events", "seconds"] = "share"

    def __post_init__(self) -> None:
        if not self.half_life > 0:
            raise InputError(f"recency half-life {self.half_life} must be above 0.")


@dataclass(frozen=True)
class Histories:
    """Events of m users over n items: user u has the events ``starts[u]:starts[u + 1]``, oldest first.

    ``items`` [e] are item numbers, ``times`` [e] seconds since 1970, ``strengths`` [e] in (0, 1] say how much the
    kind of event tells.
    """

    starts: Ints
    items: Ints
    times: Floats
    strengths: Float32
    n_items: int
    _matrices: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)  # several sources ask for each

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Ints:
        """Events of each user [m]."""
        return np.diff(self.starts)

    @property
    def rows(self) -> Ints:
        """The user of each event [e]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def ages(self) -> Ints:
        """How many events of the same user came later [e]."""
        return np.repeat(self.starts[1:], self.lengths) - 1 - np.arange(len(self.items))

    @property
    def last_times(self) -> Floats:
        """Time of each user's last event [m], NaN for a user without any."""
        ends = np.maximum(self.starts[1:] - 1, 0)
        last = self.times[ends] if len(self.times) else np.full(len(self), np.nan)
        return np.where(self.lengths > 0, last, np.nan)

    def matrix(self, recency: Recency | None = None, equal: bool = False) -> Any:
        """Sparse float32 [m, n]: what each item weighs in each history, its strongest event counting.

        With ``equal`` every item weighs 1 before recency.
        """
        if (recency, equal) not in self._matrices:
            self._matrices[recency, equal] = self._matrix(recency, equal)
        return self._matrices[recency, equal]

    def _matrix(self, recency: Recency | None, equal: bool) -> Any:
        values = np.ones(len(self.items)) if equal else self.strengths.astype(np.float64)
        if recency is not None:
            ages: Any = self.ages
            if recency.unit == "share":
                ages = ages / np.repeat(self.lengths, self.lengths)
            elif recency.unit == "seconds":
                ages = np.repeat(self.last_times, self.lengths) - self.times
            values = values * 0.5 ** (ages / recency.half_life)
        keys = self.rows * self.n_items + self.items
        order = np.lexsort((-values, keys))
        # What has faded to nothing is left out: it costs as much as any other event and changes no score.
        order = order[values[order] > FADED]
        keys, values = keys[order], values[order]
        first = np.ones(len(keys), dtype=bool)
        first[1:] = keys[1:] != keys[:-1]
        rows, columns = np.divmod(keys[first], self.n_items)
        data = values[first].astype(np.float32)
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(self)))])
        return csr_array((data, columns, starts), shape=(len(self), self.n_items), dtype=np.float32)

    def take(self, users: Ints) -> "Histories":
        """The histories of these user numbers, in their order."""
        picks = [np.arange(self.starts[u], self.starts[u + 1]) for u in users]
        flat = np.concatenate(picks).astype(np.int64) if picks else np.empty(0, dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum([len(pick) for pick in picks])]).astype(np.int64)
        return Histories(starts, self.items[flat], self.times[flat], self.strengths[flat], self.n_items)

    def of(self, user: int) -> tuple[Ints, Floats, Float32]:
        """Items, times and strengths of one user."""
        part = slice(self.starts[user], self.starts[user + 1])
        return self.items[part], self.times[part], self.strengths[part]


def histories(
    events: Events, items: Items, users: Sequence[str] | None = None, weights: Mapping[str, float] = WEIGHTS
) -> tuple[tuple[str, ...], Histories]:
    """The users (sorted unless given) and their histories; a given user without events has an empty one.

    Events of the same time keep the order of the file. Strengths are the weights of the kinds of event over the
    largest that occurs; a weight of 0 leaves a kind out. Raises InputError for an item that does not exist.
    """
    frame = events.frame[events.frame["event"].map(weights).fillna(0.0) > 0]
    names = tuple(sorted(set(frame["user"]))) if users is None else tuple(users)
    numbers = {name: number for number, name in enumerate(names)}
    rows = frame["user"].map(numbers)
    frame = frame[rows.notna()]
    row = rows[rows.notna()].to_numpy(dtype=np.int64)
    times = seconds(frame["time"])
    order = np.lexsort((times, row))
    item = items.numbers_of(frame["item"].tolist(), "events")
    given = frame["event"].map(weights).to_numpy(dtype=np.float64)
    top = given.max() if given.size else 1.0
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(names)))]).astype(np.int64)
    made = Histories(starts, item[order], times[order], (given / top)[order].astype(np.float32), len(items))
    return names, made


def hold_out(given: Histories, fraction: float = 0.2) -> tuple[Histories, list[Ints]]:
    """The earlier part of each history and, for each user, the numbers of the new items in the last ``fraction``.

    Items that the earlier part has already are not among them.
    """
    held = np.floor(given.lengths * fraction + 1e-9).astype(np.int64)
    earlier = given.ages >= np.repeat(held, given.lengths)
    starts = np.concatenate([[0], np.cumsum(given.lengths - held)]).astype(np.int64)
    train = Histories(starts, given.items[earlier], given.times[earlier], given.strengths[earlier], given.n_items)
    later = [given.items[end - size : end] for end, size in zip(given.starts[1:], held, strict=True)]
    return train, [np.setdiff1d(last, train.of(user)[0]) for user, last in enumerate(later)]


def history_of(
    item_numbers: Sequence[int] | Ints, n_items: int, times: Sequence[float] | None = None, now: float = 0.0
) -> Histories:
    """One history made by hand, oldest first; without times the events are a second apart, ending at ``now``."""
    numbers = np.asarray(item_numbers, dtype=np.int64)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= n_items):
        raise InputError(f"history: item numbers must lie between 0 and {n_items - 1}.")
    when = now - np.arange(len(numbers))[::-1] if times is None else np.asarray(times, dtype=np.float64)
    if len(when) != len(numbers):
        raise InputError(f"history: {len(numbers)} items but {len(when)} times; give one time an item.")
    order = np.argsort(when, kind="stable")
    starts = np.array([0, len(numbers)], dtype=np.int64)
    ones = np.ones(len(numbers), dtype=np.float32)
    return Histories(starts, numbers[order], when[order].astype(np.float64), ones, n_items)
