"""Finance: sentiment of the financial news, watched for surges, with alerts."""

from typing import Any

from core.vertical import Vertical


def _commands() -> Any:
    from verticals.finance.commands import finance

    return finance


def _tables() -> Any:
    from verticals.finance.alerts import tables as _alerts  # noqa: F401 – adds its tables to the metadata
    from verticals.finance.tables import metadata

    return metadata


vertical = Vertical(
    name="finance",
    summary="watches financial news for surges of bad sentiment, with alerts",
    commands=_commands,
    tables=_tables,
)
