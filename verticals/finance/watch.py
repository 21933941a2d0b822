"""The watched sources in the database: their rows, what polling remembers of them, and how they are doing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, Row, delete, func, insert, or_, select, update

from core.errors import InputError
from verticals.finance import tables
from verticals.finance.retries import retrying
from verticals.finance.settings import FinanceSettings
from verticals.finance.sources import Source, SourceState, read_rows, read_source

if TYPE_CHECKING:
    from verticals.finance.fetching.poll import PollReport

CLAIM = timedelta(minutes=10)  # a process that died over a source keeps it no longer than this
CLOCK_SLACK = timedelta(minutes=1)
FAILING = 3  # failures in a row from which a source counts as down


@dataclass(frozen=True)
class Watched:
    """A source with its state. ``problem`` says why the row cannot be used; ``source`` is None then."""

    id: str
    row: Mapping[str, Any]
    state: SourceState
    enabled: bool
    sample: bool
    report: Mapping[str, Any] | None = None
    source: Source | None = None
    problem: str = ""
    articles: int = 0
    latest: datetime | None = None  # time of its newest article

    @property
    def health(self) -> str:
        """disabled, broken (the row), new, ok, failing (once or twice), or down."""
        if not self.enabled:
            return "disabled"
        if self.problem:
            return "broken"
        if self.state.last_check is None:
            return "new"
        if self.state.failures == 0:
            return "ok"
        return "down" if self.state.failures >= FAILING else "failing"

    def to_dict(self) -> dict[str, Any]:
        """Plain values; a header's value is never among them."""
        row = {key: value for key, value in self.row.items() if key != "headers"}
        state = self.state.to_dict()
        return {
            "id": self.id,
            "name": row.get("name") or self.id,
            "kind": row.get("kind"),
            "url": self.source.url if self.source else row.get("url"),
            "tags": list(row.get("tags", ())),
            "language": row.get("language"),
            "interval": str(row.get("interval", "30m")),
            "enabled": self.enabled,
            "sample": self.sample,
            "health": self.health,
            "articles": self.articles,
            "latest": self.latest.isoformat() if self.latest else None,
            "last_check": state["last_check"],
            "last_success": state["last_success"],
            "next_check": state["next_check"],
            "failures": self.state.failures,
            "error": self.problem or self.state.last_error,
            "report": dict(self.report) if self.report else None,
        }


def register(engine: Engine, settings: FinanceSettings, now: datetime) -> int:
    """Add the shipped sources that are not there yet; changed rows of shipped ones follow the file.

    What a person did (enabled, disabled, added) stays. Returns how many were added. Raises InputError for a bad file.
    """
    path = settings.sources_file
    rows = read_rows(path)
    for row in rows:
        _parsed(row, f"{path}: source {row.get('id')!r}", path.parent, settings)

    def once() -> int:
        table, added = tables.sources, 0
        with engine.begin() as connection:
            known = {r.id: r for r in connection.execute(select(table.c.id, table.c.row))}
            for row in rows:
                plain = json.loads(json.dumps(row))
                if row["id"] not in known:
                    connection.execute(insert(table).values(**_values(plain, path.parent, now)))
                    added += 1
                elif known[row["id"]].row != plain:
                    connection.execute(update(table).where(table.c.id == row["id"]).values(row=plain))
        return added

    return retrying(once)  # several processes of a fresh start do this at the same moment


def _values(row: dict[str, Any], folder: Path, now: datetime) -> dict[str, Any]:
    return {
        "id": row["id"],
        "row": row,
        "folder": str(folder),
        "enabled": bool(row.get("enabled", True)),
        "sample": "sample" in row.get("tags", ()),
        "state": SourceState().to_dict(),
        "next_check": None,
        "added": now,
    }


def _parsed(row: Mapping[str, Any], where: str, folder: Path, settings: FinanceSettings) -> Source:
    return read_source(row, where, folder, settings.sample_port)


def check_known(engine: Engine, ids: Sequence[str]) -> None:
    """Raises InputError naming the first id that is no source, or one that is disabled."""
    table = tables.sources
    with engine.connect() as connection:
        known = {row.id: row.enabled for row in connection.execute(select(table.c.id, table.c.enabled))}
    for one in ids:
        if one not in known:
            raise InputError(f"there is no source {one!r}; `headwater finance sources` lists them.")
        if not known[one]:
            raise InputError(f"source {one!r} is disabled; `headwater finance sources enable {one}` changes that.")


def add(
    engine: Engine, row: Mapping[str, Any], settings: FinanceSettings, now: datetime, folder: Path | None = None
) -> Source:
    """Watch one more source; relative paths are of ``folder``. Raises InputError for a bad row or a taken id."""
    folder = (folder or Path.cwd()).resolve()
    source = _parsed(row, f"source {row.get('id')!r}", folder, settings)
    with engine.begin() as connection:
        if connection.scalar(select(tables.sources.c.id).where(tables.sources.c.id == source.id)) is not None:
            raise InputError(f"there is a source {source.id!r} already; choose another id.")
        connection.execute(insert(tables.sources).values(**_values(json.loads(json.dumps(row)), folder, now)))
    return source


def remove(engine: Engine, source: str) -> None:
    """Forget a source; its articles stay. Raises InputError when there is none."""
    with engine.begin() as connection:
        if not connection.execute(delete(tables.sources).where(tables.sources.c.id == source)).rowcount:
            raise InputError(f"there is no source {source!r}; `headwater finance sources` lists them.")


def enable(engine: Engine, source: str, on: bool) -> None:
    """Poll a source, at once, or leave it alone. Raises InputError when there is none."""
    values = {"enabled": on, "next_check": None}
    with engine.begin() as connection:
        found = connection.execute(update(tables.sources).where(tables.sources.c.id == source).values(**values))
        if not found.rowcount:
            raise InputError(f"there is no source {source!r}; `headwater finance sources` lists them.")


def listed(engine: Engine, settings: FinanceSettings) -> list[Watched]:
    """All sources with their state and how many articles came from each, those that are watched first."""
    table, articles = tables.sources, tables.articles
    with engine.connect() as connection:
        counts = {
            row.source: (row.n, row.latest)
            for row in connection.execute(
                select(articles.c.source, func.count().label("n"), func.max(articles.c.time).label("latest")).group_by(
                    articles.c.source
                )
            )
        }
        rows = connection.execute(select(table).order_by(table.c.added, table.c.id)).all()
    found = [_watched(row, settings, *counts.get(row.id, (0, None))) for row in rows]
    return sorted(found, key=lambda w: (not w.enabled, not w.sample))


def due(
    engine: Engine, settings: FinanceSettings, now: datetime, limit: int, only: Sequence[str] = ()
) -> list[Watched]:
    """Take sources whose time has come, the longest waiting first; ``only`` these, whatever their time, if given.

    Another process does not get them until their visit is stored or the claim runs out.
    """
    table = tables.sources
    free = or_(table.c.claimed_until.is_(None), table.c.claimed_until <= now, table.c.claimed_until > now + CLAIM)
    # A last visit in the future means that the clock went back: what it was to wait for says nothing then.
    come = or_(table.c.next_check.is_(None), table.c.next_check <= now, table.c.last_check > now + CLOCK_SLACK)
    wanted = table.c.id.in_(only) if only else come
    if not settings.sample:
        wanted &= table.c.sample.is_(False)
    query = select(table).where(table.c.enabled, wanted, free).order_by(table.c.next_check).limit(limit)
    taken = []
    with engine.begin() as connection:
        for row in connection.execute(query).all():
            claim = update(table).where(table.c.id == row.id, free).values(claimed_until=now + CLAIM)
            if connection.execute(claim).rowcount:
                taken.append(_watched(row, settings))
    return taken


def _watched(row: Row[Any], settings: FinanceSettings, articles: int = 0, latest: datetime | None = None) -> Watched:
    source, problem = None, ""
    try:
        source = _parsed(row.row, f"source {row.id!r}", Path(row.folder), settings)
    except InputError as error:
        problem = str(error)
    return Watched(
        id=row.id,
        row=row.row,
        state=SourceState.from_dict(row.state),
        enabled=row.enabled,
        sample=row.sample,
        report=row.report,
        source=source,
        problem=problem,
        articles=articles,
        latest=latest,
    )


def visited(connection: Any, source: str, state: SourceState, report: "PollReport") -> None:
    """Write what a visit left behind, within the transaction that stores its items."""
    values: dict[str, Any] = {
        "state": state.to_dict(),
        "next_check": state.next_check,
        "last_check": state.last_check,
        "report": report.to_dict(),
        "claimed_until": None,
    }
    connection.execute(update(tables.sources).where(tables.sources.c.id == source).values(**values))


def release(engine: Engine, source: str, until: datetime) -> None:
    """Give a source back without a visit, not to be taken before ``until``."""
    values = {"claimed_until": None, "next_check": until}
    with engine.begin() as connection:
        connection.execute(update(tables.sources).where(tables.sources.c.id == source).values(**values))
