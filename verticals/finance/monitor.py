"""The monitor: stages from a source to an alert, each of which finds its work in the database."""

from sqlalchemy import Engine

from verticals.finance import tables, watch
from verticals.finance.alerts import tables as alert_tables  # noqa: F401 – adds its tables to the metadata
from verticals.finance.polling import utc_now
from verticals.finance.settings import finance_settings


def open_store() -> Engine:
    """The configured database with the monitor's tables and the shipped sources in it."""
    from core.operations.database import open_database

    engine = open_database(tables.metadata)
    watch.register(engine, finance_settings(), utc_now())
    return engine
