"""One shard of an input file as an Arrow table, and why rows could not be read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.bulk.layout import Kind, Layout, Lines, Shard, csv_records, json_object
from core.data.table import counted
from core.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 8192
_BROKEN = "not UTF-8; broken characters were replaced by U+FFFD"


@dataclass(frozen=True)
class Rows:
    """The rows of a shard with all input columns; ``errors`` has one entry a row, None where it was read."""

    table: "pa.Table"
    errors: list[str | None]


def read_shard(path: Path, layout: Layout, shard: Shard) -> Rows:
    """Exactly ``shard.rows`` rows. Raises InputError when the file no longer has them."""
    if layout.suffix == ".parquet":
        return _read_parquet(path, shard)
    with path.open("rb") as file:
        file.seek(shard.offset)
        source = Lines(path, file, shard.offset)
        rows = _read_jsonl(source, layout, shard) if layout.suffix == ".jsonl" else _read_csv(source, layout, shard)
    if rows.table.num_rows != shard.rows:
        raise changed(path)
    return rows


def changed(path: Path) -> InputError:
    """What is said when the input is not the one the run began with."""
    return InputError(f"{path} has changed since the run began; start again into another place.")


def schema(layout: Layout, path: Path) -> "pa.Schema":
    """The Arrow schema of the input's columns; columns of JSON text are marked so."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if layout.suffix == ".parquet":
        found: pa.Schema = pq.read_schema(path)
        return found.remove_metadata()
    types = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
    return pa.schema(
        pa.field(name, types.get(kind, pa.string()), metadata={"holds": "json"} if kind == "json" else None)
        for name, kind in layout.columns.items()
    )


def _read_parquet(path: Path, shard: Shard) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        groups: list[int] = []
        start, skip = 0, 0
        for number in range(file.metadata.num_row_groups):
            end = start + file.metadata.row_group(number).num_rows
            if start < shard.first + shard.rows and end > shard.first:
                if not groups:
                    skip = shard.first - start
                groups.append(number)
            start = end
        kept, wanted = [], shard.rows
        for batch in file.iter_batches(_BATCH, row_groups=groups):
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            kept.append(batch.slice(skip, wanted))
            skip, wanted = 0, wanted - kept[-1].num_rows
            if not wanted:
                break
        table = pa.Table.from_batches(kept, file.schema_arrow).replace_schema_metadata(None)
    if table.num_rows != shard.rows:
        raise changed(path)
    return Rows(table, [None] * table.num_rows)


def _read_csv(source: Lines, layout: Layout, shard: Shard) -> Rows:
    names = list(layout.columns)
    cells: dict[str, list[Any]] = {name: [] for name in names}
    errors: list[str | None] = []
    records = csv_records(source.path, source, layout.delimiter)
    for record in records:
        errors.append(_BROKEN if source.broken else None)
        source.broken = False
        if len(record) != len(names):
            errors[-1] = f"{counted(len(record), 'cell')} where the header has {len(names)}"
        padded = [*record[: len(names)], *[None] * (len(names) - len(record))]
        for name, cell in zip(names, padded, strict=True):
            cells[name].append(cell)
        if len(errors) == shard.rows:
            break
    return Rows(_table(cells, layout, source.path), errors)


def _read_jsonl(source: Lines, layout: Layout, shard: Shard) -> Rows:
    cells: dict[str, list[Any]] = {name: [] for name in layout.columns}
    errors: list[str | None] = []
    for line in source:
        if not line.strip():
            continue
        record = json_object(line)
        errors.append(_BROKEN if source.broken else None)
        source.broken = False
        if isinstance(record, str):
            errors[-1], record = record, {}
        for name, kind in layout.columns.items():
            cells[name].append(_cell(record, name, kind))
        if len(errors) == shard.rows:
            break
    return Rows(_table(cells, layout, source.path), errors)


def _cell(record: dict[str, Any], name: str, kind: Kind) -> Any:
    value = record.get(name)
    if kind == "json":
        return json.dumps(value, ensure_ascii=False) if name in record else None
    # JSON may carry halves of surrogate pairs, which no encoder accepts.
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value


def _table(cells: dict[str, list[Any]], layout: Layout, path: Path) -> "pa.Table":
    import pyarrow as pa

    shape = schema(layout, path)
    try:
        return pa.table([pa.array(cells[field.name], field.type) for field in shape], schema=shape)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        raise changed(path) from None


def texts_of(column: "pa.ChunkedArray", holds_json: bool, blank: str) -> tuple[list[str], list[str | None]]:
    """A column as texts, and for each row why it is none."""
    texts: list[str] = []
    errors: list[str | None] = []
    for cell in column.to_pylist():
        value = json.loads(cell) if holds_json and cell is not None else cell
        if isinstance(value, list | dict | bytes):
            texts.append("")
            errors.append(f"{blank} is {type(value).__name__}, not a text")
            continue
        text = "" if value is None else str(value)
        texts.append(text)
        errors.append(None if text.strip() else f"{blank} is blank")
    return texts, errors
