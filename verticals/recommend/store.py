"""Items and events in the database: every change is one transaction with a version number, whole or not at all."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

from core.operations.database import open_database
from core.settings import Settings
from verticals.recommend import behaviour, tables
from verticals.recommend.behaviour import Events
from verticals.recommend.items import CANONICAL, Items, tidy

_ROWS_AT_ONCE = 400  # SQLite takes 32,766 bound values in one statement
_EVENT = ("user", "item", "event", "time", "value", "impression", "position", "propensity")
_SHOWN = ("impression", "user", "item", "position", "clicked", "propensity", "time")


@dataclass(frozen=True)
class Change:
    """What one call did; ``added`` counts rows that were not there before."""

    version: int
    kind: str
    rows: int
    added: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


class Store:
    """The recommender's tables. Safe for several threads and processes."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.engine, self.clock = engine, clock

    @classmethod
    def open(cls, settings: Settings | None = None) -> "Store":
        """The configured database, tables made where missing."""
        return cls(open_database(tables.metadata, settings))

    def version(self) -> int:
        """The number of the last change, 0 for an empty store."""
        with self.engine.connect() as connection:
            return int(connection.scalar(select(func.max(tables.changes.c.version))) or 0)

    def changes(self, limit: int = 50) -> list[dict[str, Any]]:
        """The last changes, newest first."""
        wanted = select(tables.changes).order_by(tables.changes.c.version.desc()).limit(limit)
        with self.engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(wanted)]

    def counts(self) -> dict[str, int]:
        """``{"items", "events", "shown"}``: rows of each."""
        with self.engine.connect() as connection:
            return {
                name: int(connection.scalar(select(func.count()).select_from(table)) or 0)
                for name, table in (("items", tables.items), ("events", tables.events), ("shown", tables.shown))
            }

    def upsert_items(self, given: Items, note: str = "") -> Change:
        """Add items and replace those with a known id, all of them or none."""
        rows = [_item_row({str(k): v for k, v in record.items()}) for record in given.frame.to_dict("records")]
        with self.engine.begin() as connection:
            version = self._begin(connection, "items", len(rows), note)
            # The change row is written first: it makes other writers wait, so that two never give one number out.
            known = {row.id: row.number for row in connection.execute(select(tables.items.c.id, tables.items.c.number))}
            number = max(known.values(), default=-1)
            added = 0
            for row in rows:
                if row["id"] not in known:
                    number, added = number + 1, added + 1
                    known[row["id"]] = number
                row |= {"number": known[row["id"]], "version": version}
            changed = [name for name in rows[0] if name not in ("id", "number")] if rows else []
            for part in _parts(rows):
                self._insert(connection, tables.items, part, ["id"], changed)
        return Change(version, "items", len(rows), added)

    def append_events(self, given: Events, note: str = "") -> Change:
        """Add events and impressions, all of them or none; those already there are skipped."""
        frame = given.frame[list(_EVENT)]
        rows = _records(frame)
        lists = given.shown.copy()
        if len(lists):
            if "propensity" not in lists:
                lists["propensity"] = np.nan
            lists = lists[list(_SHOWN)]
        with self.engine.begin() as connection:
            version = self._begin(connection, "events", len(rows), note)
            before = self._count(connection, tables.events)
            for part in _parts([{**row, "version": version} for row in rows]):
                self._insert(connection, tables.events, part, ["user", "item", "event", "time"], [])
            for part in _parts([{**row, "version": version} for row in _records(lists)]):
                self._insert(connection, tables.shown, part, ["impression", "item"], [])
            added = self._count(connection, tables.events) - before
        return Change(version, "events", len(rows), added)

    def items(self, after: int = 0, until: int | None = None) -> Items | None:
        """Items changed after a version, in the order of their numbers; None when there are none."""
        records = self._read(tables.items, after, until, tables.items.c.number)
        if not records:
            return None
        rows = [{**{name: row[name] for name in CANONICAL}, **row["further"]} for row in records]
        frame = pd.DataFrame.from_records(rows)
        frame["file"], frame["row"] = "database", np.arange(1, len(frame) + 1)
        return tidy(frame)

    def events(self, after: int = 0, until: int | None = None) -> Events | None:
        """Events added after a version, oldest first; None when there are none."""
        records = self._read(tables.events, after, until, tables.events.c.time)
        if not records:
            return None
        frame = pd.DataFrame.from_records(records, columns=list(_EVENT))
        frame["time"] = pd.to_datetime(frame["time"], utc=True).dt.as_unit("us")
        for name in ("value", "position", "propensity"):
            frame[name] = frame[name].astype(np.float64)
        frame["file"], frame["row"] = "database", np.arange(1, len(frame) + 1)
        shown = pd.DataFrame.from_records(self._read(tables.shown, after, until, tables.shown.c.id))
        shown = shown[list(_SHOWN)] if len(shown) else pd.DataFrame({n: pd.Series(dtype=object) for n in _SHOWN})
        if len(shown):
            shown["time"] = pd.to_datetime(shown["time"], utc=True).dt.as_unit("us")
        return Events(frame[[*behaviour.COLUMNS, "file", "row"]], shown)

    def users(self, limit: int | None = None) -> list[str]:
        """Users with events, those with the most first."""
        column = tables.events.c.user
        wanted = select(column).group_by(column).order_by(func.count().desc(), column)
        with self.engine.connect() as connection:
            return list(connection.scalars(wanted if limit is None else wanted.limit(limit)))

    def clear(self) -> None:
        """Forget all items and events; the numbering of versions goes on."""
        with self.engine.begin() as connection:
            self._begin(connection, "clear", 0, "")
            for table in (tables.items, tables.events, tables.shown):
                connection.execute(table.delete())

    def cleared_after(self, version: int) -> bool:
        """Whether everything was forgotten since then."""
        table = tables.changes
        wanted = select(func.count()).where(table.c.version > version, table.c.kind == "clear")
        with self.engine.connect() as connection:
            return bool(connection.scalar(wanted))

    def _read(self, table: Table, after: int, until: int | None, order: Any) -> list[dict[str, Any]]:
        wanted = select(table).where(table.c.version > after)
        if until is not None:
            wanted = wanted.where(table.c.version <= until)
        with self.engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(wanted.order_by(order))]

    def _begin(self, connection: Connection, kind: str, rows: int, note: str) -> int:
        if connection.dialect.name == "postgresql":
            from sqlalchemy import text

            # Versions become visible in their order: a reader that saw one will not find an earlier one later.
            connection.execute(text("SELECT pg_advisory_xact_lock(731164)"))
        values = {"time": self.clock(), "kind": kind, "rows": rows, "note": note, "detail": {}}
        key = connection.execute(tables.changes.insert().values(values)).inserted_primary_key
        return int(key[0]) if key else 0

    @staticmethod
    def _count(connection: Connection, table: Table) -> int:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)

    @staticmethod
    def _insert(
        connection: Connection, table: Table, rows: list[dict[str, Any]], key: list[str], changed: Sequence[str]
    ) -> None:
        insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        statement = insert(table).values(rows)
        if changed:
            statement = statement.on_conflict_do_update(key, set_={name: statement.excluded[name] for name in changed})
        else:
            statement = statement.on_conflict_do_nothing(key)
        connection.execute(statement)


def _item_row(record: dict[str, Any]) -> dict[str, Any]:
    further = {name: _plain(value) for name, value in record.items() if name not in (*CANONICAL, "file", "row")}
    row = {name: _plain(record[name]) for name in CANONICAL}
    return {**row, "further": {name: value for name, value in further.items() if value is not None}}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    """A Python value for the database; NaN and NaT become None."""
    if isinstance(value, list):
        return value
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.item() if isinstance(value, np.generic) else value


def _parts(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    return (rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE))
