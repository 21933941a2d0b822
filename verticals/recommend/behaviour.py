"""Behaviour: who did what with which item and when, and which items were shown beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from core.data.sources import Source
from core.data.table import Finding
from core.errors import InputError
from verticals.recommend import cells

KINDS = ("view", "click", "like", "comment", "share", "buy")
# How much one event says about interest; a view may only be curiosity.
WEIGHTS: Mapping[str, float] = {"view": 0.2, "click": 1.0, "like": 1.5, "comment": 1.5, "share": 2.0, "buy": 3.0}
COLUMNS = ("user", "item", "event", "time", "value", "impression", "position", "propensity")
_OTHER_NAMES = {"purchase": "buy", "order": "buy", "read": "view", "impression": "", "shown": "", "none": ""}


class EventColumns(BaseModel):
    """Column names in a table of events, and other names of the event kinds (``{"purchase": "buy"}``).

    ``user``, ``item``, ``event`` and ``time`` must be there. ``impression`` names the list that an item was shown
    in, ``impressions`` holds the whole list beside the event; ``position`` counts from 1; ``propensity`` is the
    probability with which the item was shown there. A blank event is an item that was shown and left alone.
    """

    model_config = ConfigDict(extra="forbid")

    user: str = "user"
    item: str = "item"
    event: str = "event"
    time: str = "time"
    value: str = "value"
    impression: str = "impression"
    impressions: str = "impressions"
    position: str = "position"
    propensity: str = "propensity"
    events: dict[str, str] = Field(default={}, description="other names of the event kinds")


@dataclass(frozen=True)
class Events:
    """What happened, oldest first: ``frame`` has ``COLUMNS``, ``file`` and ``row``; ``event`` is one of ``KINDS``.

    ``shown`` [impression, user, item, position, clicked, propensity, time] lists what was on the screen, where that
    was logged.
    """

    frame: pd.DataFrame
    shown: pd.DataFrame
    findings: list[Finding] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frame)

    def only(self, kinds: Sequence[str]) -> "Events":
        """The events of these kinds; raises InputError for a kind that does not exist."""
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown:
            raise InputError(f"event {unknown[0]!r} is not known; use {', '.join(KINDS)}.")
        return self.where(self.frame["event"].isin(list(kinds)))

    def where(self, keep: "pd.Series[bool]") -> "Events":
        """The events for which ``keep`` holds; what was shown stays."""
        return replace(self, frame=self.frame[keep].reset_index(drop=True))

    def append(self, later: "Events") -> "Events":
        """Both together, oldest first; rows that are already there are added once."""
        frame = pd.concat([self.frame, later.frame], ignore_index=True)
        frame = frame.drop_duplicates(["user", "item", "event", "time"]).sort_values("time", kind="stable")
        shown = pd.concat([self.shown, later.shown], ignore_index=True)
        shown = shown.drop_duplicates(["impression", "item"]).reset_index(drop=True)
        return Events(frame.reset_index(drop=True), shown, [*self.findings, *later.findings])


def read_events(
    path: str | Path, format: str = "auto", columns: EventColumns | None = None, encoding: str | None = None
) -> Events:
    """Events of a csv, tsv, jsonl or parquet table, or of the formats ``movielens`` and ``mind``.

    Nothing is dropped here but rows without user, item or time; ``verticals.recommend.validation`` judges the rest.
    Raises InputError naming file, row and column.
    """
    path = Path(path)
    if format == "movielens":
        from verticals.recommend.movielens import read_ratings

        return tidy(*read_ratings(path))
    if format == "mind":
        from verticals.recommend.mind import read_behaviors

        return tidy(*read_behaviors(path))
    mapping = columns or EventColumns()
    source = Source(path=path, format=format, encoding=encoding)
    names = {name: getattr(mapping, name) for name in (*COLUMNS, "impressions")}
    wanted = [names[n] for n in names if n in ("user", "item", "event", "time") or n in mapping.model_fields_set]
    raw, _ = cells.read_columns(source, wanted, list(names.values()))
    kinds = _kinds(path, raw.rows, names["event"], raw.columns[names["event"]], mapping.events)
    values: dict[str, Any] = {"event": kinds}
    for name, column in names.items():
        if column not in raw.columns or name == "event":
            continue
        if name in ("user", "item", "impression"):
            values[name] = cells.texts(raw, column)
        elif name == "impressions":
            pairs = zip(raw.rows, raw.columns[column], strict=True)
            values[name] = [cells.several(cell, f"{path}, row {row}, column {column}") for row, cell in pairs]
        else:
            values[name] = raw.columns[column]
    frame = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in values.items()})
    frame["file"], frame["row"] = str(path), raw.rows
    return tidy(frame, raw.findings)


def tidy(frame: pd.DataFrame, findings: Sequence[Finding] = ()) -> Events:
    """Events from untyped columns, oldest first; rows without user, item or time are dropped and told."""
    found = list(findings)
    if not isinstance(frame["time"].dtype, pd.DatetimeTZDtype):
        frame = frame.assign(time=cells.times(frame["time"].tolist()).array)
    for name in ("user", "item"):
        bad = frame[name].isna() | (frame[name] == "")
        found += cells.told(f"missing_{name}", "dropped", frame, bad, name, f"events without {name}, dropped.")
        frame = frame[~bad]
    bad = frame["time"].isna()
    found += cells.told("clock", "dropped", frame, bad, "time", "events whose time is missing or no time, dropped.")
    frame = frame[~bad]
    for name in ("value", "position", "propensity"):
        frame, told = _numeric(frame, name)
        found += told
    if "impression" not in frame:
        frame["impression"] = None
    else:
        frame["impression"] = frame["impression"].map(cells.text).astype(object)
    frame = frame.sort_values("time", kind="stable").reset_index(drop=True)
    shown = _shown(frame)
    events = frame[frame["event"].notna()].reset_index(drop=True)
    if events.empty:
        raise InputError("The events table has no usable event; give rows with user, item, event and time.")
    for name in ("user", "item", "event"):
        events[name] = events[name].astype("str")
    return Events(events[[*COLUMNS, "file", "row"]], shown, found)


def _numeric(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, list[Finding]]:
    if name not in frame:
        return frame.assign(**{name: np.nan}), []
    values = cells.numbers(frame[name].tolist())
    odd = np.isnan(values)
    odd[odd] = frame.loc[odd, name].map(lambda cell: cells.text(cell) is not None)
    if name == "propensity":
        odd |= (values <= 0) | (values > 1)
    told = cells.told("number", "repaired", frame, odd, name, f"cells of {name} cannot be used and were left blank.")
    return frame.assign(**{name: np.where(odd, np.nan, values)}), told


def _kinds(path: Path, rows: Sequence[int], column: str, given: Sequence[Any], other: Mapping[str, str]) -> list[Any]:
    names = {**_OTHER_NAMES, **{old.casefold(): new.casefold() for old, new in other.items()}}
    kinds: list[str | None] = []
    for row, cell in zip(rows, given, strict=True):
        word = (cells.text(cell) or "").casefold()
        kind = names.get(word, word)
        if kind and kind not in KINDS:
            raise InputError(
                f"{path}, row {row}, column {column}: event {cell!r} is not known; "
                f'use {", ".join(KINDS)} or map it, as in events = {{"{cell}" = "click"}}.'
            )
        kinds.append(kind or None)
    return kinds


def _shown(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an item of an impression: from whole lists beside an event, or from one row an item."""
    wanted = ["impression", "user", "item", "position", "clicked", "propensity", "time"]
    parts = []
    listed = frame[frame["impression"].notna()].assign(clicked=lambda f: f["event"].notna())
    if "impressions" in frame:
        whole = frame[frame["impressions"].map(lambda items: isinstance(items, list) and bool(items))]
        if not whole.empty:
            named = whole.assign(
                impression=whole["impression"].fillna(whole["user"] + "@" + whole["time"].astype(str)),
                shown=whole["impressions"],
            )
            exploded = named.explode("shown")
            exploded["position"] = exploded.groupby(level=0).cumcount() + 1.0
            exploded["clicked"] = exploded["shown"] == exploded["item"]
            exploded["propensity"] = np.nan  # the event's own says nothing of its neighbours
            parts.append(exploded.drop(columns="item").rename(columns={"shown": "item"})[wanted])
            listed = listed[~listed.index.isin(whole.index)]
    if not listed.empty:
        parts.append(listed[wanted])
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in wanted})
    shown = pd.concat(parts, ignore_index=True)
    clicked = shown.groupby(["impression", "item"])["clicked"].transform("max").astype(bool)
    return shown.assign(clicked=clicked).drop_duplicates(["impression", "item"]).reset_index(drop=True)
