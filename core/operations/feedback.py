"""Corrections: what people said instead of a model, kept with where it came from, and read again as training rows.

>>> record(engine, Correction("finance", "sentiment", "Profit fell", "negative", actor="mei", time=now, source="r17"))

``source`` names the act, not the thing: recording the same act again (a repeated click, a retried request) changes
nothing. Saying something else about the same text later is another act; the latest word counts.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from core.errors import InputError
from core.operations.database import insert_unless_known
from core.operations.tables import corrections as table

MAX_TEXT = 100_000  # characters


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One act of correcting. ``label`` is the right label, or the relevance for a ``pair`` of texts.

    ``vertical`` and ``task`` say which model is meant (``finance``, ``sentiment``); ``pair`` is the second text of
    ranking, matching and pair classification; ``time`` knows its zone; ``detail`` is anything JSON, such as what
    the model had said.
    """

    vertical: str
    task: str
    text: str
    actor: str
    time: datetime
    source: str
    label: str | None = None
    pair: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the time in ISO 8601."""
        return {**asdict(self), "detail": dict(self.detail), "time": self.time.isoformat()}


def record(database: Engine | Connection, correction: Correction) -> bool:
    """Keep a correction; False when this act is known already, and then nothing changes.

    With a connection, it becomes part of that transaction. Raises InputError for one without text or meaning.
    """
    _check(correction)
    values = {**asdict(correction), "detail": dict(correction.detail)}
    with _connection(database) as connection:
        return connection.execute(insert_unless_known(connection, table).values(values)).rowcount == 1


def corrections(
    database: Engine | Connection, vertical: str, task: str, since: datetime | None = None
) -> list[Correction]:
    """All corrections of one model, oldest first; ``since`` (inclusive) leaves out those before."""
    wanted = select(table).where(table.c.vertical == vertical, table.c.task == task)
    if since is not None:
        wanted = wanted.where(table.c.time >= since)
    with _connection(database) as connection:
        return [_read(row) for row in connection.execute(wanted.order_by(table.c.time, table.c.id))]


def latest(found: Iterable[Correction]) -> list[Correction]:
    """The last word on each text (or pair of texts); earlier ones were taken back by it."""
    last: dict[tuple[str, str | None], Correction] = {}
    for one in found:
        key = one.text.strip(), one.pair.strip() if one.pair is not None else None
        last.pop(key, None)  # so that the order stays that of the last words
        last[key] = one
    return list(last.values())


def write_rows(found: Iterable[Correction], path: Path, pair: str = "text_pair", text: str = "text") -> int:
    """Write the last word on each text as JSON lines that ``core.data.readers`` reads; returns the number of rows.

    Columns: ``text`` and ``pair`` (named as the recipe's columns are, e.g. ``query`` and ``document`` for ranking),
    ``label``, ``time``, ``actor`` and ``source``. The file is written beside and renamed.
    """
    rows = []
    for one in latest(found):
        row: dict[str, Any] = {text: one.text}
        if one.pair is not None:
            row[pair] = one.pair
        if one.label is not None:
            row["label"] = one.label
        rows.append({**row, "time": one.time.isoformat(), "actor": one.actor, "source": one.source})
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    beside.replace(path)
    return len(rows)


def _check(correction: Correction) -> None:
    for name in ("vertical", "task", "text", "actor", "source"):
        if not getattr(correction, name).strip():
            raise InputError(f"correction: {name} is empty; fill it in.")
    if correction.label is None and correction.pair is None:
        raise InputError("correction: neither label nor pair is given; say what is right.")
    if correction.label is not None and not correction.label.strip():
        raise InputError("correction: label is empty; leave it out or fill it in.")
    for name in ("text", "pair"):
        value = getattr(correction, name)
        if value is not None and len(value) > MAX_TEXT:
            raise InputError(f"correction: {name} has {len(value):,} characters; at most {MAX_TEXT:,} are kept.")
        if value is not None and "\0" in value:
            raise InputError(f"correction: {name} holds a NUL character; remove it.")
    if correction.time.tzinfo is None:
        raise ValueError("a correction's time must know its zone")


def _connection(database: Engine | Connection) -> AbstractContextManager[Connection]:
    return database.begin() if isinstance(database, Engine) else nullcontext(database)


def _read(row: Row[Any]) -> Correction:
    return Correction(**{name: value for name, value in row._mapping.items() if name != "id"})
