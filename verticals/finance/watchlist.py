"""Which companies the desk keeps an eye on; shared by all viewers."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine

from verticals.finance.store import mark, marked

NAME = "watchlist"


def read(engine: Engine) -> list[str]:
    """Codes in the order they were chosen; empty until somebody chose."""
    with engine.connect() as connection:
        found = marked(connection, NAME)
    return [str(code) for code in found[1].get("codes", ())] if found else []


def write(engine: Engine, codes: Sequence[str], now: datetime) -> None:
    """Keep these."""
    with engine.begin() as connection:
        mark(connection, NAME, now, {"codes": list(dict.fromkeys(codes))})
