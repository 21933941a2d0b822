"""``headwater triage``."""

from pathlib import Path
from typing import Any

import click

from core.cli import as_json, emit


@click.group()
def triage() -> None:
    """Sort patients' messages by how soon somebody must look at them (an example, not a medical device)."""


@triage.command()
@as_json
def tune(as_json: bool) -> None:
    """Tune the model on the synthetic sample and register it."""
    from headwater_triage.desk import tune as run

    made = run().to_dict()
    emit(made, as_json, lambda m: f"{m['name']}:{m['version']}  accuracy {m['metrics']['accuracy']['value']:.2f}")


@triage.command()
@click.argument("texts", nargs=-1, required=True)
@as_json
def assess(texts: tuple[str, ...], as_json: bool) -> None:
    """Say how urgent each TEXT is."""
    from headwater_triage.desk import by_model

    found = [{"text": t, "urgency": u, "probability": p} for t, (u, p) in zip(texts, by_model(texts), strict=True)]
    emit(found, as_json, _lines)


@triage.command()
@click.argument("file", type=click.Path(path_type=Path))
@as_json
def add(file: Path, as_json: bool) -> None:
    """Take in the messages of a text file, one a line; the worker assesses them."""
    from core.errors import InputError
    from headwater_triage.desk import Desk

    try:
        texts = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as UTF-8 text ({type(error).__name__}).") from None
    emit({"messages": Desk.open().add(texts)}, as_json, lambda m: f"{len(m['messages'])} messages wait")


@triage.command()
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@as_json
def queue(limit: int, as_json: bool) -> None:
    """List the messages, the most urgent first."""
    from headwater_triage.desk import Desk

    emit(Desk.open().queue(limit), as_json, _lines)


def _lines(rows: list[dict[str, Any]]) -> str:
    return "\n".join(f"{row.get('said') or row['urgency'] or 'not yet':<10} {row['text'][:90]}" for row in rows)
