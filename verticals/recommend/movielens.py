"""The MovieLens formats: ratings with timestamps, titles with plots and genres."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from core.data.encodings import open_text
from core.data.sources import Source
from core.data.table import Finding
from core.errors import InputError
from verticals.recommend import cells

LIKED_FROM = 4.0  # stars; the usual threshold for implicit feedback on MovieLens

_ID = ("movielens_id", "movieId", "item_id", "id")
_USER = ("user_id", "userId")
_DROPPED = ("rating",)  # somebody else's average rating of the film: not text, and not known on the day


def read_movies(path: Path) -> tuple[pd.DataFrame, list[Finding]]:
    """Films of a JSON list of objects (``movielens_id, title, plot, genres, year, …``) or a ``movies.csv``.

    The first genre is the category and all are tags; the year becomes the publication date.
    """
    if path.suffix.lower() == ".json":
        records, findings = _json_list(path)
        rows = list(range(1, len(records) + 1))
    else:
        raw, existing = cells.read_columns(Source(path=path), (), ("movieId", "item_id", "title", "genres", "plot"))
        records = [dict(zip(raw.columns, values, strict=True)) for values in zip(*raw.columns.values(), strict=True)]
        findings, rows = raw.findings, raw.rows
    id = _first(path, _ID, records[0])
    films = []
    for record in records:
        genres = str(record.get("genres") or "").replace("(no genres listed)", "").replace("|", ",")
        tags = [name for part in genres.split(",") if (name := part.strip())]
        known = {id, "title", "plot", "genres", "year", *_DROPPED}
        films.append(
            {
                "id": cells.text(record.get(id)),
                "title": cells.text(record.get("title")),
                "description": cells.text(record.get("plot")),
                "tags": tags,
                "category": tags[0] if tags else None,
                "published": _year(record.get("year")),
                **{name: value for name, value in record.items() if name not in known},
            }
        )
    frame = pd.DataFrame.from_records(films)
    frame["file"], frame["row"] = str(path), rows
    return frame, findings


def read_ratings(path: Path) -> tuple[pd.DataFrame, list[Finding]]:
    """Ratings of a table (``user_id,item_id,rating,timestamp`` or ``userId,movieId,…``): 4 stars and up are a like.

    A lower rating is a view; ``value`` holds the stars.
    """
    source = Source(path=path)
    existing = dict.fromkeys(cells.column_names(source))
    user, item = _first(path, _USER, existing), _first(path, _ID, existing)
    raw, _ = cells.read_columns(source, (user, item, "rating", "timestamp"))
    stars = cells.numbers(raw.columns["rating"])
    frame = pd.DataFrame(
        {
            "user": pd.Series(cells.texts(raw, user), dtype=object),
            "item": pd.Series(cells.texts(raw, item), dtype=object),
            "event": pd.Series(["like" if value >= LIKED_FROM else "view" for value in stars], dtype=object),
            "time": cells.times(raw.columns["timestamp"]),
            "value": stars,
            "file": str(path),
            "row": raw.rows,
        }
    )
    return frame, raw.findings


def _json_list(path: Path) -> tuple[list[dict[str, Any]], list[Finding]]:
    with open_text(path) as (stream, findings):
        try:
            records = json.load(stream)
        except ValueError as error:
            raise InputError(f"{path} is not valid JSON ({error}); give a list of objects.") from None
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        raise InputError(f"{path} is not a list of objects; give one object a film.")
    return records, findings


def _first(path: Path, names: tuple[str, ...], existing: dict[str, Any]) -> str:
    for name in names:
        if name in existing:
            return name
    raise InputError(f"{path} has none of the columns {', '.join(names)}; is it a MovieLens file?")


def _year(value: Any) -> str | None:
    year = cells.text(value)
    return f"{year}-01-01T00:00:00Z" if year and year.isdigit() and 1800 < int(year) < 2200 else None
