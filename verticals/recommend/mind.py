"""The MIND formats (Wu et al. 2020): ``news.tsv`` and ``behaviors.tsv``, tab-separated and without a header."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pandas as pd

from core.data.encodings import lines, open_text
from core.data.table import Finding, place
from core.errors import InputError
from verticals.recommend import cells

_NEWS = ("id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")
_BEHAVIOUR = ("impression", "user", "time", "history", "shown")


def read_news(path: Path) -> tuple[pd.DataFrame, list[Finding]]:
    """News: the category stays, the subcategory is a tag, the abstract is the description."""
    findings, rows = _rows(path, _NEWS)
    records = [
        {
            "id": values["id"].strip() or None,
            "title": values["title"].strip(),
            "description": values["abstract"].strip(),
            "tags": [values["subcategory"].strip()] if values["subcategory"].strip() else [],
            "category": values["category"].strip(),
            "published": None,
            "url": values["url"].strip(),
            "file": str(path),
            "row": number,
        }
        for number, values in rows
    ]
    return pd.DataFrame.from_records(records), findings


def read_behaviors(path: Path) -> tuple[pd.DataFrame, list[Finding]]:
    """One row a shown news item; ``event`` is click for a clicked one and None for one that was only shown.

    The clicks of the history carry no time; they are put in order before the user's first impression, a second
    apart, which is told. ``position`` counts from 1.
    """
    findings, rows = _rows(path, _BEHAVIOUR)
    first: dict[str, tuple[int, pd.Timestamp, list[str]]] = {}
    records: list[dict[str, object]] = []
    when = cells.times([values["time"] for _, values in rows])
    for (number, values), time in zip(rows, when, strict=True):
        if pd.isna(time):
            raise InputError(f"{path}, row {number}, column time: {values['time']!r} is not a time.")
        user = values["user"].strip()
        if user not in first or time < first[user][1]:
            first[user] = (number, time, values["history"].split())
        for position, shown in enumerate(values["shown"].split(), start=1):
            item, dash, clicked = shown.rpartition("-")
            if not dash or clicked not in ("0", "1"):
                raise InputError(f"{path}, row {number}, column shown: {shown!r} is not like N123-1 or N123-0.")
            event = "click" if clicked == "1" else None
            common = {"impression": values["impression"], "position": position, "row": number}
            records.append({"user": user, "item": item, "event": event, "time": time, **common})
    for user, (number, time, history) in first.items():
        for steps, item in enumerate(reversed(history), start=1):
            at = time - timedelta(seconds=steps)
            records.append({"user": user, "item": item, "event": "click", "time": at, "row": number})
    frame = pd.DataFrame.from_records(records)
    frame["file"] = str(path)
    if any(history for _, _, history in first.values()):
        where = tuple(place(path, number, "history") for number, _, _ in list(first.values())[:5])
        message = "Clicks of the history have no time; they are put before the user's first impression, in order."
        findings = [*findings, Finding("history_time", "repaired", len(first), where, message)]
    return frame, findings


def _rows(path: Path, names: tuple[str, ...]) -> tuple[list[Finding], list[tuple[int, dict[str, str]]]]:
    with open_text(path) as (stream, findings):
        rows = list(_split(path, names, enumerate(lines(stream, path), start=1)))
        findings = list(findings)
    if not rows:
        raise InputError(f"{path} has no rows; is it a MIND file?")
    return findings, rows


def _split(
    path: Path, names: tuple[str, ...], numbered: Iterator[tuple[int, str]]
) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in numbered:
        if not line.strip():
            continue
        values = line.rstrip("\r\n").split("\t")
        if len(values) != len(names):
            raise InputError(f"{path}, row {number}: {len(values)} columns where MIND has {len(names)}.")
        yield number, dict(zip(names, values, strict=True))
