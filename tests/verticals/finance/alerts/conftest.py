"""A fresh database for each test, and a rule book with two receivers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from verticals.finance.alerts import tables
from verticals.finance.alerts.rules import Inhibition, Matcher, Receiver, Rule, RuleBook

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
BOOK = RuleBook(
    rules=(
        Rule(
            id="topic-surge", scope="topic", measure="volume", minimum_stories=1, recovery=timedelta(0),
            group_wait=timedelta(0),
        ),
        Rule(
            id="source-down", scope="source", measure="outage", minimum_stories=1, nodata=timedelta(minutes=1),
            severity="critical", group_wait=timedelta(0),
        ),
    ),
    receivers=(
        Receiver(name="desk", url="http://127.0.0.1:9/hook"),
        Receiver(name="night", url="http://127.0.0.1:9/night", minimum_severity="critical"),
    ),
    inhibitions=(
        Inhibition(
            source=(Matcher(label="rule", value="source-down"),),
            target=(Matcher(label="rule", value="topic-surge"),),
            equal=("source",),
        ),
    ),
)  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path / 'alerts.db'}", connect_args={"timeout": 30})
    tables.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def book() -> RuleBook:
    return BOOK


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW
