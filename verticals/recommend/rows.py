"""Items and events given as plain rows (REST, dashboard): the same repairs and refusals as for files."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from core.errors import InputError
from verticals.recommend import behaviour, cells
from verticals.recommend import items as catalogue
from verticals.recommend.behaviour import KINDS, Events
from verticals.recommend.items import CANONICAL, Items

_MOST_TEXT = 20_000  # characters of one text; an encoder reads the first few hundred words


def items_of(rows: Sequence[Mapping[str, Any]], where: str = "items") -> Items:
    """Items from rows with ``id`` and any other columns. Raises InputError naming the row, from 1."""
    made = []
    for number, row in enumerate(rows, start=1):
        id = cells.text(row.get("id"))
        if id is None:
            raise InputError(f"{where}, row {number}: id is missing; every item needs one.")
        if len(id) > 200:
            raise InputError(f"{where}, row {number}: the id has {len(id)} characters; at most 200 are taken.")
        for name in ("title", "description"):
            if len(str(row.get(name) or "")) > _MOST_TEXT:
                raise InputError(f"{where}, row {number}: {name} is longer than {_MOST_TEXT} characters; shorten it.")
        tags = row.get("tags")
        values = {name: row.get(name) for name in CANONICAL} | {
            name: value for name, value in row.items() if name not in (*CANONICAL, "file", "row")
        }
        values |= {"id": id, "tags": [] if tags is None else cells.several(tags, f"{where}, row {number}, tags")}
        made.append({**values, "file": where, "row": number})
    if not made:
        raise InputError(f"{where}: the list is empty; give at least one item.")
    return catalogue.tidy(pd.DataFrame.from_records(made))


def events_of(rows: Sequence[Mapping[str, Any]], where: str = "events") -> Events:
    """Events from rows with ``user``, ``item``, ``event``, ``time``. Raises InputError naming the row, from 1.

    Unlike for files, a row that lacks one of them is refused: a caller can mend a row, a table of a year cannot wait.
    """
    made = []
    for number, row in enumerate(rows, start=1):
        values = {name: row.get(name) for name in behaviour.COLUMNS}
        for name in ("user", "item", "time"):
            if cells.text(values[name]) is None:
                raise InputError(f"{where}, row {number}: {name} is missing; give user, item, event and time.")
        kind = (cells.text(values["event"]) or "").casefold()
        if kind and kind not in KINDS:
            raise InputError(f"{where}, row {number}: event {values['event']!r} is not known; use {', '.join(KINDS)}.")
        for name in ("user", "item"):
            values[name] = cells.text(values[name])
        made.append({**values, "event": kind or None, "file": where, "row": number})
    if not made:
        raise InputError(f"{where}: the list is empty; give at least one event.")
    frame = pd.DataFrame.from_records(made)
    bad = cells.times(frame["time"].tolist()).isna()
    if bad.any():
        number = int(frame.loc[bad.to_numpy(), "row"].iloc[0])
        raise InputError(
            f"{where}, row {number}: time {frame['time'].iloc[number - 1]!r} is no time, such as 2026-05-01T12:00Z."
        )
    return behaviour.tidy(frame)
