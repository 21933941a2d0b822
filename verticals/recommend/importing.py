"""``headwater import movielens PATH`` and ``mind``: a published data set in place of the sample."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import InputError
from verticals.recommend.behaviour import read_events
from verticals.recommend.items import read_items
from verticals.recommend.sample import NOTE
from verticals.recommend.settings import recommend_settings
from verticals.recommend.store import Store
from verticals.recommend.validation import validate

_FILES = {
    "movielens": (("items_info.json", "movies.json", "movies.csv"), ("ratings.csv", "u.data", "ratings.dat")),
    "mind": (("news.tsv",), ("behaviors.tsv",)),
}


def import_set(format: str, path: Path) -> dict[str, Any]:
    """Read items and events of a folder, check them, and store them; the shipped sample makes way, other data stay.

    Raises InputError when the folder lacks a file.
    """
    names = _FILES[format]
    items_file, events_file = (_find(path, format, choices) for choices in names)
    items = read_items(items_file, format)
    checked = validate(read_events(events_file, format), items, lambda: datetime.now(UTC))
    store = Store.open(recommend_settings().core)
    changes = store.changes(1000)
    replaced = bool(changes) and all(change["note"] == NOTE for change in changes if change["kind"] != "clear")
    if replaced:
        store.clear()
    first, second = store.upsert_items(items, str(path)), store.append_events(checked.events, str(path))
    return {
        "format": format,
        "items": first.rows,
        "events": second.rows,
        "users": int(checked.events.frame["user"].nunique()),
        "sample_replaced": replaced,
        "findings": [finding.to_dict() for finding in checked.findings],
        "next": "headwater recommend train",
    }


def _find(path: Path, format: str, choices: tuple[str, ...]) -> Path:
    found = next((path / name for name in choices if (path / name).is_file()), None)
    if found is None:
        raise InputError(f"{path} is no {format} folder; it lacks {' (or '.join(choices)}{')' * (len(choices) - 1)}.")
    return found


FORMATS: dict[str, Callable[[Path], dict[str, Any]]] = {name: partial(import_set, name) for name in _FILES}
