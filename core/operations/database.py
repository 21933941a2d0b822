"""One database for everything that is running: SQLite by default, PostgreSQL by HEADWATER_DATABASE_URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from filelock import FileLock
from sqlalchemy import Connection, DateTime, Dialect, Engine, MetaData, Table, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.types import TypeDecorator

from core.settings import Settings, get_settings

_BUSY_SECONDS = 30
_CHANGE_SECONDS = 300
_LOCK = 0x4845_4144  # an arbitrary number that all our processes agree on


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, also on SQLite, which forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC. Raises ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """With its zone."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


def connect(settings: Settings | None = None) -> Engine:
    """The engine of the configured database; its SQLite file waits for other writers instead of failing."""
    settings = settings or get_settings()
    url = make_url(settings.database)
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    if url.database and url.database != ":memory:":
        settings.var.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        # Readers never wait for a writer, and a committed transaction survives a killed process.
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return engine


def open_database(tables: MetaData, settings: Settings | None = None) -> Engine:
    """The configured database with these tables and the core's own in it, in their newest shape.

    Missing tables are made and old ones brought forward by the metadata's revisions (``core.operations.migrating``);
    a metadata without revisions gets its missing tables. Any number of processes may do so at once.
    Raises InputError for a database that a newer version of the product has written.
    """
    from core.operations import migrating
    from core.operations import tables as own

    settings = settings or get_settings()
    engine = connect(settings)
    if engine.url.get_backend_name() == "sqlite" and engine.url.database in (None, "", ":memory:"):
        own.metadata.create_all(engine)
        tables.create_all(engine)
        return engine
    late = [one for one in dict.fromkeys((own.metadata, tables)) if not migrating.up_to_date(engine, one)]
    if late and (late != [tables] or tables.tables):
        with changing(engine, settings):
            for one in late:
                if not migrating.up_to_date(engine, one):  # somebody else may have done it while we waited
                    migrating.upgrade(engine, one)
    return engine


@contextmanager
def changing(engine: Engine, settings: Settings) -> Iterator[None]:
    """The sole right to change tables, among all threads and processes; the others wait."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            connection.execute(select(func.pg_advisory_lock(_LOCK)))
            try:
                yield
            finally:
                connection.execute(select(func.pg_advisory_unlock(_LOCK)))
        return
    place = settings.var / "database.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    # flock, not SQLite's own lock: making tables is several transactions. A killed process lets go of it.
    with FileLock(place, timeout=_CHANGE_SECONDS, thread_local=False, is_singleton=False):
        yield


def insert_unless_known(connection: Connection, table: Table) -> Any:
    """An insert that leaves a row with the same key as it is; its ``rowcount`` is 1 when the row is new."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        statement: Any = postgresql.insert(table).on_conflict_do_nothing()
        # Without it, a key that the database makes is asked back, and the count is lost.
        return statement.execution_options(preserve_rowcount=True)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table).on_conflict_do_nothing()
