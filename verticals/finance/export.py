"""Rows as files: CSV that spreadsheets open safely, or Parquet."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import InputError

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """UTF-8 with a byte order mark, for Excel. What a spreadsheet would run as a formula gets a leading quote."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=_columns(rows), extrasaction="ignore")
    writer.writeheader()
    writer.writerows({key: _safe(_flat(value)) for key, value in row.items()} for row in rows)
    return out.getvalue().encode("utf-8-sig")


def to_parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A Parquet file; lists and mappings become JSON text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _columns(rows)
    table = pa.table({name: pa.array([_flat(row.get(name)) for row in rows]) for name in columns})
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def write(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows by the ending of the path, beside it and renamed. Raises InputError for another ending."""
    writers = {".csv": to_csv, ".parquet": to_parquet}
    if path.suffix.lower() not in writers:
        raise InputError(f"{path}: rows are written as .csv or .parquet; choose one of these endings.")
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(writers[path.suffix.lower()](rows))
    beside.replace(path)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict | tuple) else value


def _safe(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
