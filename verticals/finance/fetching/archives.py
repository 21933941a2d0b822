"""News that lies in files: one CSV, or a folder of CSV, JSON lines, feeds, pages and texts."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.fetching.charsets import decode
from verticals.finance.fetching.dates import parse_date
from verticals.finance.fetching.feeds import Context, Unreadable, make_item, parse_feed
from verticals.finance.fetching.items import MAX_TEXT, MAX_TITLE, Item, plain_text, web_url
from verticals.finance.fetching.pages import read_article

MAX_FILE = 500 * 1024 * 1024
_NAMES = {
    "title": ("title", "headline", "headlines"),
    "published": ("published", "date", "time", "timestamp", "datetime", "pubdate", "published_at"),
    "summary": ("summary", "description", "abstract"),
    "text": ("text", "content", "body", "article"),
    "url": ("url", "link"),
    "guid": ("id", "guid"),
}
_FOLDER = {".csv", ".tsv", ".jsonl", ".ndjson", ".xml", ".rss", ".atom", ".json", ".html", ".htm", ".txt", ".md"}


@dataclass(frozen=True)
class Archive:
    """What a file or folder held, in its order, and how far it was read (for the next time)."""

    items: tuple[Item, ...]
    cursor: str = ""
    notes: tuple[str, ...] = ()


def read_csv(path: Path, context: Context) -> Archive:
    """Read dated headlines from a CSV or TSV file, its charset found from its bytes.

    With a header the columns are found by their usual names (title or headline, date or time, description, text,
    url, id); without one the rows must be ``date,headline`` or ``headline,date``. Blank rows are passed over and
    counted. Raises Unreadable naming file and line.
    """
    text = decode(_bytes(path))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    items: list[Item] = []
    blank = unnamed = 0
    columns: dict[str, int] | None = None
    line = 1
    try:
        for row in reader:
            start, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in row):
                blank += 1
                continue
            if columns is None:
                columns, is_header = _columns(path, row, start)
                if is_header:
                    continue
            item = _row_item({name: row[i] for name, i in columns.items() if i < len(row)}, context, start)
            if item is None:
                unnamed += 1
            else:
                items.append(item)
    except csv.Error as error:
        raise Unreadable(f"{path}, line {reader.line_num}: the CSV cannot be read ({error})") from error
    notes = [f"{blank} blank rows were passed over"] * bool(blank)
    notes += [f"{unnamed} rows without a headline were passed over"] * bool(unnamed)
    return Archive(tuple(items), notes=tuple(notes))


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE:
            raise Unreadable(f"{path} is larger than {MAX_FILE} bytes; split it")
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path} cannot be read ({error.strerror or error})") from error


def _columns(path: Path, row: Sequence[str], line: int) -> tuple[dict[str, int], bool]:
    """Column of each field, and whether this row is the header that named them."""
    cells = [cell.strip().lower() for cell in row]
    found = {field: cells.index(name) for field, names in _NAMES.items() for name in reversed(names) if name in cells}
    if "title" in found:
        return found, True
    dated = [i for i, cell in enumerate(cells[:2]) if parse_date(cell, None).at is not None]
    if len(cells) >= 2 and len(dated) == 1:
        return {"published": dated[0], "title": 1 - dated[0]}, False
    raise Unreadable(
        f"{path}, line {line}: no column is called title or headline, and the first two are not a date and a headline; "
        "add a header such as date,headline"
    )


def _row_item(row: dict[str, Any], context: Context, line: int | None) -> Item | None:
    def text(name: str) -> str:
        value = row.get(name)
        return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""

    return make_item(
        context,
        title=plain_text(text("title"), MAX_TITLE),
        url=web_url(text("url"), "") if text("url") else None,
        guid=text("guid").strip() or None,
        date=text("published"),
        summary=plain_text(text("summary")),
        text=plain_text(text("text"), MAX_TEXT),
        row=line,
    )


def _read_lines(path: Path, context: Context) -> Archive:
    items, bad = [], 0
    for number, line in enumerate(decode(_bytes(path)).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            bad += 1
            continue
        lowered = {str(name).lower(): value for name, value in row.items()}
        fields = {f: lowered[n] for f, names in _NAMES.items() for n in reversed(names) if n in lowered}
        item = _row_item(fields, context, number)
        items += [item] if item is not None else []
    notes = (f"{path.name}: {bad} lines are no JSON objects and were passed over",) if bad else ()
    return Archive(tuple(items), notes=notes)


def _read_document(path: Path, context: Context) -> Archive:
    text, suffix = decode(_bytes(path)), path.suffix.lower()
    if suffix in (".xml", ".rss", ".atom", ".json"):
        feed = parse_feed(text, context)
        return Archive(feed.items, notes=feed.notes)
    now = context.now if context.clamp else None
    if suffix in (".html", ".htm"):
        page = read_article(text, "", now, context.timezone)
        title, body, published = page.title, page.text, page.published
    else:
        first, _, rest = text.strip().partition("\n")
        title, body, published = plain_text(first.lstrip("# "), MAX_TITLE), plain_text(rest, MAX_TEXT), None
    if published is None:
        published = parse_date(path.stat().st_mtime, now).at
    item = make_item(context, title, None, path.name, published.isoformat() if published else None, text=body)
    return Archive((item,) if item else ())


def read_file(path: Path, context: Context) -> Archive:
    """Read one file by its ending; a text file is one article, its first line the headline. Raises Unreadable."""
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return read_csv(path, context)
    if suffix in (".jsonl", ".ndjson"):
        return _read_lines(path, context)
    if suffix in _FOLDER:
        return _read_document(path, context)
    raise Unreadable(f"{path} has an ending that is not read; use one of {', '.join(sorted(_FOLDER))}")


def read_folder(folder: Path, context: Context, cursor: str = "") -> Archive:
    """Read the folder's files that changed since ``cursor``, oldest first; one bad file becomes a note.

    Links that lead out of the folder are not followed. Files of the cursor's own instant are read again, because
    one may have been added in that instant; deduplication drops their items.
    """
    if not folder.is_dir():
        raise Unreadable(f"{folder} is not a folder")
    since = int(cursor) if cursor.isdigit() else 0
    items: list[Item] = []
    notes: list[str] = []
    latest = since
    for changed, path in sorted(_files(folder)):
        if changed < since:
            continue
        try:
            part = read_file(path, context)
        except Unreadable as error:
            notes.append(str(error))
        else:
            items += part.items
            notes += part.notes
        latest = max(latest, changed)
    return Archive(tuple(items), str(latest), tuple(notes))


def _files(folder: Path) -> Iterator[tuple[int, Path]]:
    root = folder.resolve()
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or path.suffix.lower() not in _FOLDER:
            continue
        try:
            if path.is_file() and path.resolve().is_relative_to(root):
                yield path.stat().st_mtime_ns, path
        except OSError:
            continue
