"""Temporal splits of behaviour: what came last is held out, so that nothing is learnt from the future."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from core.data.table import Finding, place
from core.errors import InputError
from verticals.recommend.behaviour import Events

How = Literal["user", "global"]


@dataclass(frozen=True)
class TemporalSplit:
    """Earlier and later events; ``findings`` tell what was taken out so that the two do not overlap."""

    train: Events
    test: Events
    how: How
    fraction: float
    findings: list[Finding]

    def to_dict(self) -> dict[str, Any]:
        """``{"how", "fraction", "train_events", "test_events", "test_users", "findings"}``."""
        return {
            "how": self.how,
            "fraction": self.fraction,
            "train_events": len(self.train),
            "test_events": len(self.test),
            "test_users": int(self.test.frame["user"].nunique()),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def temporal_split(events: Events, how: How = "user", fraction: float = 0.2) -> TemporalSplit:
    """Hold out the last ``fraction`` of each user's events (rounded down), or of all events by time ("global").

    With "global", events at the very moment of the cut are all held out. Held-out events with an item that
    the user already had in train are taken out and told: recommending what was seen is another task.
    Raises InputError when a part is left without events.
    """
    if not 0 < fraction < 1:
        raise InputError(f"fraction = {fraction}; it must lie between 0 and 1.")
    frame = events.frame.sort_values("time", kind="stable").reset_index(drop=True)
    if how == "user":
        later = _last_of_each_user(frame, fraction)
    elif how == "global":
        cut = frame["time"].iloc[int(np.floor(len(frame) * (1 - fraction)))]
        later = (frame["time"] >= cut).to_numpy()
    else:
        raise InputError(f"split {how!r} is not known; use user or global.")
    train, test = frame[~later], frame[later]
    pairs = pd.MultiIndex.from_frame(test[["user", "item"]])
    again = pairs.isin(pd.MultiIndex.from_frame(train[["user", "item"]]))
    findings = _told(test[again], "seen", "dropped", "held-out events repeat an item of the user's past, dropped.")
    test = test[~again]
    if train.empty or test.empty:
        raise InputError("The split leaves a part without events; give users with more events each.")
    made = TemporalSplit(
        Events(train.reset_index(drop=True), _before(events.shown, train), events.findings),
        Events(test.reset_index(drop=True), _after(events.shown, train), events.findings),
        how,
        fraction,
        findings,
    )
    return TemporalSplit(made.train, made.test, how, fraction, [*findings, *leakage(made)])


def leakage(split: TemporalSplit) -> list[Finding]:
    """What train knows that it should not: a pair that is also in test, an event later than the first held out."""
    train, test = split.train.frame, split.test.frame
    shared = pd.MultiIndex.from_frame(train[["user", "item"]]).isin(pd.MultiIndex.from_frame(test[["user", "item"]]))
    found = _told(train[shared], "leakage", "kept", "events of train have a user and item that is also in test.")
    if split.how == "global":
        late = train["time"] >= test["time"].min()
    else:
        late = train["time"] > train["user"].map(test.groupby("user")["time"].min())
    return found + _told(train[late], "leakage", "kept", "events of train are later than one that was held out.")


def _last_of_each_user(frame: pd.DataFrame, fraction: float) -> Any:
    users = frame.groupby("user", sort=False)["time"]
    size, place_in_line = users.transform("size"), users.cumcount()
    held = np.floor(size * fraction + 1e-9)  # 0.2 of 15 is 3, whatever binary fractions say
    return (place_in_line >= size - held).to_numpy()


def _before(shown: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    last = shown["user"].map(train.groupby("user")["time"].max()) if len(shown) else None
    return shown if last is None else shown[shown["time"] <= last].reset_index(drop=True)


def _after(shown: pd.DataFrame, train: pd.DataFrame) -> pd.DataFrame:
    last = shown["user"].map(train.groupby("user")["time"].max()) if len(shown) else None
    return shown if last is None else shown[~(shown["time"] <= last)].reset_index(drop=True)


def _told(rows: pd.DataFrame, kind: str, action: Any, what: str) -> list[Finding]:
    if rows.empty:
        return []
    head = rows.head(5)
    examples = tuple(place(f, r, "item") for f, r in zip(head["file"], head["row"], strict=True))
    return [Finding(kind, action, len(rows), examples, f"{len(rows)} {what}")]
