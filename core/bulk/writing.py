"""Shards on the disk, whole or not at all, and joined in order into one file."""

import base64
import csv
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.bulk.layout import Suffix
from core.serving.folders import sync

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 1 << 20


def write_table(table: "pa.Table", path: Path, suffix: Suffix) -> None:
    """Write a table beside ``path``, have it on the disk, and rename it."""
    with _beside(path) as partial:
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            pq.write_table(table, partial, compression="zstd")
        elif suffix == ".jsonl":
            with partial.open("w", encoding="utf-8", newline="") as out:
                out.writelines(_json_lines(table))
        else:
            with partial.open("w", encoding="utf-8", newline="") as out:
                writer = _writer(out, suffix)
                writer.writerow(table.column_names)
                writer.writerows(_cells(table))


def join(parts: Sequence[Path], path: Path, suffix: Suffix, empty: "pa.Table") -> None:
    """One file of all parts in their order, a block at a time; ``empty`` gives the columns when there is no part."""
    if not parts:
        write_table(empty, path, suffix)
        return
    with _beside(path) as partial:
        if suffix == ".parquet":
            _join_parquet(parts, partial)
            return
        header = 0
        if suffix != ".jsonl":
            import io

            text = io.StringIO()
            _writer(text, suffix).writerow(empty.column_names)
            header = len(text.getvalue().encode())
        with partial.open("wb") as out:
            for number, part in enumerate(parts):
                with part.open("rb") as source:
                    source.seek(header if number else 0)
                    shutil.copyfileobj(source, out, _BLOCK)


def _join_parquet(parts: Sequence[Path], partial: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(partial, pq.read_schema(parts[0]), compression="zstd") as out:
        for part in parts:
            with pq.ParquetFile(part) as source:
                for number in range(source.num_row_groups):
                    out.write_table(source.read_row_group(number))


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        yield partial
        sync(partial)
        os.replace(partial, path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _writer(out: Any, suffix: Suffix) -> Any:
    return csv.writer(out, delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n")


def _cells(table: "pa.Table") -> Iterable[tuple[Any, ...]]:
    return zip(*([_plain(cell) for cell in column.to_pylist()] for column in table.columns), strict=True)


def _plain(cell: Any) -> Any:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return json.dumps(cell, ensure_ascii=False, default=_odd) if isinstance(cell, list | dict) else cell


def _json_lines(table: "pa.Table") -> Iterator[str]:
    raw = {field.name for field in table.schema if (field.metadata or {}).get(b"holds") == b"json"}
    for record in table.to_pylist():
        for name in raw & record.keys():
            record[name] = None if record[name] is None else json.loads(record[name])
        yield json.dumps(record, ensure_ascii=False, default=_odd) + "\n"


def _odd(value: Any) -> Any:
    """What JSON has no form for: times in ISO 8601, bytes in base 64, decimals as they are written."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
