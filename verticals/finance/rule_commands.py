"""``headwater finance rules``: see and change the rule book that is in force."""

from pathlib import Path
from typing import Any

import click

from core.cli import as_json, emit
from verticals.finance.alert_commands import actor


@click.group()
def rules() -> None:
    """Show the rule book in force, or put another one in force."""


def _open() -> Any:
    from verticals.finance.opening import open_store

    return open_store()


@rules.command()
@as_json
def show(as_json: bool) -> None:
    """Print the rule book in force."""
    from verticals.finance import rulebooks
    from verticals.finance.settings import finance_settings

    emit(rulebooks.current(_open(), finance_settings()).to_dict(), as_json, lambda r: r["text"])


@rules.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--comment", default="", help="Why.")
@actor
@as_json
def load(file: Path, comment: str, actor: str, as_json: bool) -> None:
    """Check FILE and put it in force."""
    from core.errors import InputError
    from verticals.finance import rulebooks
    from verticals.finance.opening import utc_now

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as UTF-8 text ({error}).") from error
    rulebooks.parse(text, str(file))
    number = rulebooks.save(_open(), text, actor, utc_now(), comment)
    emit({"version": number}, as_json, lambda r: f"rule book {r['version']} is in force")
