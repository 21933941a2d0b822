"""Opening the monitor's part of the database; light, for everything that only reads."""

from datetime import UTC, datetime

from sqlalchemy import Engine

from verticals.finance import tables, watch
from verticals.finance.settings import FinanceSettings, finance_settings


def utc_now() -> datetime:
    """The time of the machine's clock."""
    return datetime.now(UTC)


def open_store(settings: FinanceSettings | None = None) -> Engine:
    """The configured database with the monitor's tables and the shipped sources in it."""
    from core.operations.database import open_database
    from verticals.finance.alerts import tables as _alerts  # noqa: F401 – adds its tables to the metadata

    settings = settings or finance_settings()
    engine = open_database(tables.metadata)
    watch.register(engine, settings, utc_now())
    return engine
