"""``headwater support mine``: learn from logged conversations."""

from pathlib import Path

import click

from core.cli import as_json, emit


@click.command()
@click.argument("logs", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what the log holds; put nothing into the database.")
@as_json
def mine(logs: Path, dry_run: bool, as_json: bool) -> None:
    """Learn from LOGS (.jsonl or .csv): answered questions as training tables, open ones as proposals for review.

    JSON lines hold one conversation a line (id, turns with role and text, outcome, csat); a CSV one message a row
    (id, role, text, and minutes, accepted, outcome, csat, intent where known). Personal data is taken out first.
    """
    from verticals.support.dialogues.mining import mine as run
    from verticals.support.dialogues.mining import show

    emit(run(logs, propose=not dry_run), as_json, show)
