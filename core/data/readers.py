"""Read a source into canonical columns: text as str, labels as the task needs them, file and row."""

import datetime
import json
import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from core.data.encodings import require_file
from core.data.formats import Format, find_format
from core.data.sources import Columns, Source
from core.data.table import EXAMPLES_SHOWN, TEXT_COLUMNS, Finding, Raw, Table, Task, place
from core.errors import InputError

_EPOCH = re.compile(r"\d{9,13}(\.\d+)?")
_LABEL_SEPARATORS = re.compile(r"[|;]")


def read(source: Source, task: Task, columns: Columns | None = None, multi_label: bool = False) -> Table:
    """Read one file of labelled text for a task.

    The frame has the task's columns, ``file``, ``row`` and, where named, ``group`` and ``time`` (UTC). Blank
    cells are missing values, left to ``core.data.checks``. Several labels in one cell are a JSON list or are
    separated by ``|`` or ``;``; an empty JSON list means that none applies, a blank cell that it is missing.
    Raises InputError naming the file, and the row and column where there is one.
    """
    require_file(source.path)
    format = find_format(source)
    if format.columns is not None and task not in ("classification", "unlabelled"):
        raise InputError(f"{source.path}: format {format.name} is for classification, not for {task}.")
    mapping = _mapping(source, format, columns or Columns(), task)
    raw = format.read(source, tuple(dict.fromkeys(mapping.values())))
    if not raw.rows:
        raise InputError(f"{source.path} has no rows of data; add labelled examples below the header.")
    values: dict[str, Any] = {}
    findings = list(raw.findings)
    for name, column in mapping.items():
        cells = raw.columns[column]
        if name == "label":
            values[name] = _labels(source.path, raw, column, task, format, multi_label)
        elif name not in ("group", "time"):
            texts = _texts(source.path, raw.rows, column, cells)
            findings += _without_surrogates(source.path, raw.rows, column, texts)
            values[name] = pd.Series(texts, dtype="str")
    blank = _blank_rows(values[name] for name in TEXT_COLUMNS[task] if name in values)
    if "group" in mapping:
        values["group"] = _groups(source.path, raw, mapping["group"], blank)
    if "time" in mapping:
        values["time"] = _times(source.path, raw, mapping["time"], blank)
    frame = pd.DataFrame(values)
    frame["file"] = pd.Series([str(source.path)] * len(frame), dtype="str")
    frame["row"] = raw.rows
    return Table(frame, source, findings, format.licence)


def _mapping(source: Source, format: Format, columns: Columns, task: Task) -> dict[str, str]:
    """Canonical name -> name in the file, for the columns this task wants from this source."""
    if format.columns is not None:
        columns = format.columns
    elif source.columns is not None:
        columns = columns.model_copy(update=source.columns.model_dump(exclude_unset=True))
    wanted = [
        *TEXT_COLUMNS[task],
        *(["label"] if task in ("classification", "ranking") else []),
        "group",
        "time",
    ]
    return {name: getattr(columns, name) for name in wanted if getattr(columns, name)}


def _cell_text(value: Any) -> str | None:
    """A scalar as text; None for a missing one. Raises TypeError for lists, objects and bytes."""
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value):
            return None
        # A whole number with a gap in its column arrives as 3.0 from most writers.
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    raise TypeError


def _texts(path: Path, rows: Sequence[int], column: str, cells: Sequence[Any]) -> list[str | None]:
    try:
        return [_cell_text(cell) for cell in cells]
    except TypeError:
        for row, cell in zip(rows, cells, strict=True):
            try:
                _cell_text(cell)
            except TypeError:
                kinds = {"dict": "an object", "list": "a list", "bytes": "binary data"}
                kind = kinds.get(type(cell).__name__, type(cell).__name__)
                raise InputError(f"{path}, row {row}, column {column}: {kind} where a text is needed.") from None
        raise


def _without_surrogates(path: Path, rows: Sequence[int], column: str, texts: list[str | None]) -> list[Finding]:
    """Replace halves of surrogate pairs (JSON may carry them), which no encoder or tokenizer accepts."""
    broken: list[int] = []
    for index, text in enumerate(texts):
        if text is None or text.isascii():
            continue
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            texts[index] = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            broken.append(rows[index])
    if not broken:
        return []
    examples = tuple(place(path, row, column) for row in broken[:EXAMPLES_SHOWN])
    message = f"{path}: {len(broken)} texts held broken characters, replaced by U+FFFD."
    return [Finding("encoding", "repaired", len(broken), examples, message)]


def _blank_rows(columns: Iterable[pd.Series]) -> list[bool]:
    blank: list[bool] = []
    for column in columns:
        here = [not isinstance(text, str) or not text.strip() for text in column.tolist()]
        blank = [a or b for a, b in zip(blank, here, strict=True)] if blank else here
    return blank


def _labels(path: Path, raw: Raw, column: str, task: Task, format: Format, multi_label: bool) -> pd.Series:
    cells = raw.columns[column]
    if task == "ranking":
        return pd.Series([_score(path, row, column, c) for row, c in zip(raw.rows, cells, strict=True)], dtype=float)
    if not multi_label:
        texts = [text if text and text.strip() else None for text in _texts(path, raw.rows, column, cells)]
        _without_surrogates(path, raw.rows, column, texts)
        names = [_named(path, row, column, t, format) for row, t in zip(raw.rows, texts, strict=True)]
        return pd.Series(names, dtype="str")
    sets = []
    for row, cell in zip(raw.rows, cells, strict=True):
        parts = [cell] if format.labels is not None else _several(path, row, column, cell)
        sets.append(_label_set(path, row, column, parts, format))
    return pd.Series(sets, dtype=object)


def _several(path: Path, row: int, column: str, cell: Any) -> list[Any] | None:
    """The labels in one cell, or None when it is blank."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = json.loads(cell)
        except ValueError:
            raise InputError(f'{path}, row {row}, column {column}: not a JSON list; write ["a", "b"] or a|b.') from None
    if isinstance(cell, list):
        return cell
    if isinstance(cell, str):
        return list(_LABEL_SEPARATORS.split(cell)) if cell.strip() else None
    return [cell]


def _label_set(path: Path, row: int, column: str, parts: list[Any] | None, format: Format) -> list[str] | None:
    if parts is None or parts == [None]:
        return None
    texts = _texts(path, [row] * len(parts), column, parts)
    names = [_named(path, row, column, text.strip(), format) for text in texts if text and text.strip()]
    if parts and not names:
        return None
    return list(dict.fromkeys(name for name in names if name is not None))


def _named(path: Path, row: int, column: str, label: str | None, format: Format) -> str | None:
    if label is None or format.labels is None:
        return label
    try:
        return format.labels[label.strip()]
    except KeyError:
        known = ", ".join(format.labels)
        raise InputError(
            f"{path}, row {row}, column {column}: {label!r} is no label of {format.name} ({known})."
        ) from None


def _score(path: Path, row: int, column: str, cell: Any) -> float:
    text = None if isinstance(cell, list | dict | bytes) else _cell_text(cell)
    if text is None and not isinstance(cell, list | dict | bytes) or text is not None and not text.strip():
        return math.nan
    try:
        score = float(text or "")
    except ValueError:
        score = math.inf
    if not math.isfinite(score):
        raise InputError(f"{path}, row {row}, column {column}: {cell!r} is not a number; ranking needs a relevance.")
    return score


def _groups(path: Path, raw: Raw, column: str, blank: list[bool]) -> pd.Series:
    groups = _texts(path, raw.rows, column, raw.columns[column])
    for row, group, skip in zip(raw.rows, groups, blank, strict=True):
        if not skip and (group is None or not group.strip()):
            raise InputError(f"{path}, row {row}, column {column}: the group is blank; every row needs one.")
    return pd.Series(groups, dtype="str")


def _times(path: Path, raw: Raw, column: str, blank: list[bool]) -> pd.Series:
    """UTC, from ISO 8601, seconds or milliseconds since 1970, or what pandas reads (month first).

    A time without a zone is taken as UTC.
    """
    texts = pd.Series(_texts(path, raw.rows, column, raw.columns[column]), dtype=object)
    epoch = texts.map(lambda text: isinstance(text, str) and bool(_EPOCH.fullmatch(text.strip())))
    words = texts.where(~epoch)
    times = pd.to_datetime(words, format="ISO8601", utc=True, errors="coerce")
    rest = times.isna() & words.notna()
    if rest.any():
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a zone pandas does not know leaves NaT, refused below
            times[rest] = pd.to_datetime(words[rest], format="mixed", utc=True, errors="coerce")
    if epoch.any():
        seconds = texts[epoch].astype(float)
        times[epoch] = pd.to_datetime(seconds.where(seconds < 1e11, seconds / 1000), unit="s", utc=True)
    for position in times.index[times.isna()]:
        if not blank[position]:
            raise InputError(
                f"{path}, row {raw.rows[position]}, column {column}: {texts[position]!r} is not a time; "
                "write it as 2024-05-31T14:00:00Z."
            )
    return times
