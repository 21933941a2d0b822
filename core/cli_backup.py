"""Save everything the product keeps, and put it back. Imported when one of the commands is called."""

from pathlib import Path
from typing import Any

import click

from core.cli import as_json, emit


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--caches", is_flag=True, help="Also what can be computed again: converted weights, exports, vectors.")
@as_json
def backup(file: Path, caches: bool, as_json: bool) -> None:
    """Save var into FILE (.tar.zst or .tar.gz); everything may go on running meanwhile."""
    from core.operations.backup import backup as run
    from core.settings import get_settings

    emit(run(get_settings(), file, caches).to_dict(), as_json, _saved)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--var", "folder", required=True, type=click.Path(path_type=Path), help="A missing or empty folder to restore into."
)
@as_json
def restore(file: Path, folder: Path, as_json: bool) -> None:
    """Put FILE, made by headwater backup, into an empty folder; every file is checked first."""
    from core.operations.restore import restore as run

    result = {**run(file, folder).to_dict(), "var": str(folder)}
    emit(result, as_json, lambda r: f"{_told(r)} are back in {r['var']}; set HEADWATER_VAR to it.")


def _saved(found: dict[str, Any]) -> str:
    lines = [f"{_told(found)} saved in {found['file']}"]
    lines += [f"not included: {what}" for what in found["elsewhere"]]
    return "\n".join(lines)


def _told(found: dict[str, Any]) -> str:
    return f"{found['files']} files, {found['bytes'] / 2**20:.1f} MiB,"
