"""The alerts' store and delivery on a real PostgreSQL: the same tests as on SQLite, with this engine."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from core.operations.database import connect
from tests.verticals.finance.alerts import test_delivery
from tests.verticals.finance.alerts.test_store import *  # noqa: F403
from verticals.finance.alerts import tables

# Those that depend on how a database locks; waiting and giving up is the same on every one.
test_shared = test_delivery.test_two_workers_at_once_share_the_work
test_grouped = test_delivery.test_one_message_for_a_group_and_never_twice


@pytest.fixture
def engine(postgres: str) -> Iterator[Engine]:
    made = connect()
    tables.metadata.create_all(made)
    yield made
    made.dispose()
