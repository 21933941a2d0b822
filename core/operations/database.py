"""One database for everything that is running: SQLite by default, PostgreSQL by HEADWATER_DATABASE_URL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Engine, MetaData, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.types import TypeDecorator

from core.settings import Settings, get_settings

_BUSY_SECONDS = 30


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
    """The configured database with these tables and the core's own in it; missing ones are made."""
    from core.operations import tables as own

    engine = connect(settings)
    own.metadata.create_all(engine, checkfirst=True)
    tables.create_all(engine, checkfirst=True)
    return engine
