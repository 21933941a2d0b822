"""A database of each kind, and a clock that moves when told."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, MetaData

from core.operations.database import open_database
from tests.core.operations.supervised import Told


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


@pytest.fixture
def sqlite(private_var: Path) -> Iterator[Engine]:
    """An empty SQLite database with the core's tables."""
    made = open_database(MetaData())
    yield made
    made.dispose()


@pytest.fixture
def told() -> Told:
    """What a supervisor says in this test."""
    return Told()
