"""``headwater import``: data in a known format, read by the application that knows it."""

from pathlib import Path
from typing import Any

import click

from core.cli import as_json, emit
from core.errors import InputError


@click.command("import")
@click.argument("format")
@click.argument("path", type=click.Path(path_type=Path))
@as_json
def import_(format: str, path: Path, as_json: bool) -> None:
    """Bring the data at PATH, in FORMAT (such as movielens), into the application that reads it."""
    from core.vertical import importers

    found = importers()
    if format not in found:
        raise InputError(f"format {format!r} is not known; installed applications read: {', '.join(found) or 'none'}.")
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder.")
    told: dict[str, Any] = found[format](path)
    emit(told, as_json, lambda r: "\n".join(f"{name}: {value}" for name, value in r.items() if value != []))
