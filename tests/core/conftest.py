"""A database of each kind, for the parts of the core that keep something in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, MetaData

from core.operations.database import open_database


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, private_var: Path) -> Iterator[Engine]:
    """An empty database with the core's tables, once of each kind."""
    if request.param == "postgresql":
        request.getfixturevalue("postgres")
    made = open_database(MetaData())
    yield made
    made.dispose()
