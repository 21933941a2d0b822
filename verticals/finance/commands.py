"""The ``headwater finance`` commands."""

from typing import Any

import click

from core.cli import as_json, emit


@click.group()
def finance() -> None:
    """Watch financial news: poll sources, label articles, find surges, raise alerts."""


def _open() -> Any:
    from verticals.finance.monitor import open_store

    return open_store()


@finance.command()
@as_json
def sources(as_json: bool) -> None:
    """List the sources and how they are doing."""
    from verticals.finance import command_text, watch
    from verticals.finance.settings import finance_settings

    settings = finance_settings()
    found = [one.to_dict() for one in watch.listed(_open(), settings)]
    emit(found, as_json, command_text.sources)


@finance.command()
@click.argument("ids", nargs=-1, metavar="[SOURCE]…")
@as_json
def poll(ids: tuple[str, ...], as_json: bool) -> None:
    """Visit the sources that are due, or each SOURCE at once, and store what is new."""
    from verticals.finance import command_text
    from verticals.finance.polling import Poller, poll_all
    from verticals.finance.settings import finance_settings

    with Poller(_open(), finance_settings()) as poller:
        visits = poller.run(only=ids) if ids else poll_all(poller)
    emit([visit.to_dict() for visit in visits], as_json, command_text.visits)
