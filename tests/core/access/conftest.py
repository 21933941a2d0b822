"""Accounts in a database of each kind, with hashes that are cheap to make, and a clock that moves when told."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine

from core.access.config import AccessSettings
from core.access.passwords import Passwords
from core.access.sessions import Sessions
from core.access.users import Users


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 9, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cheap() -> Passwords:
    return Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
def users(engine: Engine, cheap: Passwords, clock: Clock) -> Users:
    return Users(engine, cheap, clock, actor="root")


@pytest.fixture
def sessions(users: Users, clock: Clock) -> Sessions:
    settings = AccessSettings(session_hours=8, wrong_passwords=3, wrong_from_address=6, window_minutes=15)
    return Sessions(users.engine, users, settings, clock)
