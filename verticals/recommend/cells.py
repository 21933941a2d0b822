"""Cells of item and event tables as they stand in files: texts, lists, numbers and times."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.formats import find_format
from core.data.plain import column_names
from core.data.sources import Source
from core.data.table import EXAMPLES_SHOWN, Finding, Raw, place
from core.errors import InputError

_MILLISECONDS_FROM = 1e11  # seconds would be the year 5138
_SEPARATORS = re.compile(r"[|;]")


def read_columns(source: Source, wanted: Sequence[str], optional: Sequence[str] = ()) -> tuple[Raw, list[str]]:
    """Columns of a plain table, and the names of all it has; an optional column may be missing.

    Raises InputError for an official format of labelled text, a missing column and a table without rows.
    """
    format = find_format(source)
    if format.columns is not None:
        raise InputError(f"{source.path}: format {format.name} holds labelled text, not items or events.")
    existing = column_names(source)
    columns = [*wanted, *(name for name in optional if name in existing and name not in wanted)]
    raw = format.read(source, tuple(dict.fromkeys(columns)))
    if not raw.rows:
        raise InputError(f"{source.path} has no rows of data; add rows below the header.")
    return raw, existing


def text(cell: Any) -> str | None:
    """A scalar as trimmed text; None for a blank one. An id of 3.0 is the id 3."""
    if cell is None:
        return None
    if isinstance(cell, float):
        if math.isnan(cell):
            return None
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else repr(cell)
    words = str(cell).strip()
    return words or None


def texts(raw: Raw, column: str) -> list[str | None]:
    """A whole column of texts."""
    return [text(cell) for cell in raw.columns[column]]


def several(cell: Any, where: str) -> list[str]:
    """Several texts in one cell: a list, a JSON list, or parts separated by ``|`` or ``;``."""
    if isinstance(cell, str):
        if cell.lstrip().startswith("["):
            try:
                cell = json.loads(cell)
            except ValueError:
                raise InputError(f'{where}: not a JSON list; write ["a", "b"] or a|b.') from None
        else:
            cell = _SEPARATORS.split(cell)
    elif not isinstance(cell, list):
        cell = [cell]
    return list(dict.fromkeys(word for part in cell if (word := text(part)) is not None))


def numbers(cells: Sequence[Any]) -> NDArray[np.float64]:
    """Numbers [n]; NaN for a blank, for what is no number, and for infinities."""
    values = pd.to_numeric(pd.Series(list(cells), dtype=object), errors="coerce").to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def times(cells: Sequence[Any]) -> "pd.Series[pd.Timestamp]":
    """UTC times [n]; NaT for a blank and for what is no time.

    Read are ISO 8601, seconds or milliseconds since 1970, and what pandas reads (month first). A time without a
    zone is taken as UTC.
    """
    column = pd.Series(list(cells), dtype=object)
    number = pd.Series(numbers(cells))
    # A year alone, as in 1995, is a date and not the 1995th second.
    year = (number >= 1800) & (number < 2100) & (number % 1 == 0)
    epoch = number.notna() & ~year
    words = column[~epoch].map(text).astype(object)
    result = pd.Series(pd.NaT, index=column.index, dtype="datetime64[us, UTC]")
    if not words.empty:
        read = pd.to_datetime(words, format="ISO8601", utc=True, errors="coerce")
        rest = read.isna() & words.notna()
        if rest.any():
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a zone pandas does not know leaves NaT
                read[rest] = pd.to_datetime(words[rest], format="mixed", utc=True, errors="coerce")
        result[~epoch] = read.dt.as_unit("us")
    if epoch.any():
        seconds = number[epoch]
        seconds = seconds.where(seconds.abs() < _MILLISECONDS_FROM, seconds / 1000)
        result[epoch] = pd.to_datetime(seconds, unit="s", utc=True, errors="coerce").dt.as_unit("us")
    return result


def told(
    kind: str, action: Any, frame: pd.DataFrame, bad: "pd.Series[bool] | NDArray[np.bool_]", column: str, what: str
) -> list[Finding]:
    """A finding about the rows of ``frame`` where ``bad`` holds; none when it holds nowhere."""
    rows = frame[np.asarray(bad, dtype=bool)]
    if rows.empty:
        return []
    head = rows.head(EXAMPLES_SHOWN)
    examples = tuple(place(f, r, column) for f, r in zip(head["file"], head["row"], strict=True))
    return [Finding(kind, action, len(rows), examples, f"{len(rows)} {what}")]
