"""One open labeller for a whole process: opened at the first request that needs it, anew when its tables change."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from core.settings import get_settings
from verticals.finance.labels import Labeller, Plain
from verticals.finance.settings import finance_settings

_lock = Lock()
_open: dict[tuple[Any, ...], Labeller] = {}


def served() -> Labeller:
    """The labeller of the configured tables; a promoted model takes over by itself.

    Raises InputError when there is no English sentiment model or the company table is bad.
    """
    settings = finance_settings()
    tables = settings.companies_file, settings.companies_file.with_name("topics.toml")
    key = (get_settings().var.resolve(), *map(_stamp, tables))
    with _lock:
        if key not in _open:
            found = Labeller.open(settings)
            _open.clear()
            _open[key] = found
        return _open[key]


def score(texts: Sequence[str], labeller: Labeller | None = None) -> list[dict[str, Any]]:
    """Labels of plain headlines; the served labeller unless one is given."""
    made = (labeller or served()).label([Plain(text) for text in texts])
    return [{"text": text, **label.to_dict()} for text, label in zip(texts, made, strict=True)]


def _stamp(path: Path) -> tuple[str, int | None]:
    return str(path.resolve()), path.stat().st_mtime_ns if path.exists() else None
