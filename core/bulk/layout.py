"""What an input file holds, found in one pass: its columns, and where each shard of rows begins."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from core.data.encodings import LINE_LIMIT, require_file
from core.data.plain import require_columns
from core.errors import InputError

Suffix = Literal[".parquet", ".csv", ".tsv", ".jsonl"]
SUFFIXES: tuple[Suffix, ...] = (".parquet", ".csv", ".tsv", ".jsonl")
Kind = Literal["text", "integer", "number", "boolean", "json"]
_MARK = b"\xef\xbb\xbf"
_HEAD = 1 << 20


@dataclass(frozen=True)
class Shard:
    """``rows`` rows from the 0-based row ``first``; in a text file they begin at the byte ``offset``."""

    number: int
    first: int
    rows: int
    offset: int = 0


@dataclass(frozen=True)
class Layout:
    """Columns in order with their kind (parquet: all empty, the file knows), and shards in order."""

    suffix: Suffix
    delimiter: str
    columns: dict[str, Kind]
    shards: tuple[Shard, ...]

    @property
    def rows(self) -> int:
        """Rows in all."""
        return sum(shard.rows for shard in self.shards)


def suffix_of(path: Path) -> Suffix:
    """The kind of file by its name. Raises InputError for one that cannot be read or written in bulk."""
    for suffix in SUFFIXES:
        if path.suffix.lower() == suffix:
            return suffix
    raise InputError(f"{path}: {path.suffix or 'a file without an extension'} is unknown; use {', '.join(SUFFIXES)}.")


def fingerprint(path: Path) -> dict[str, Any]:
    """Size, time of change and SHA-256 of the first MiB: cheap, and different for any file that was written anew."""
    import hashlib

    require_file(path)
    found = path.stat()
    with path.open("rb") as file:
        head = hashlib.sha256(file.read(_HEAD)).hexdigest()
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "head": head}


def scan(path: Path, shard_rows: int, needed: Sequence[str]) -> Layout:
    """Read the file once in bounded memory. Raises InputError when it cannot be read or lacks a needed column."""
    require_file(path)
    suffix = suffix_of(path)
    if suffix == ".parquet":
        return _scan_parquet(path, shard_rows, needed)
    _refuse_wide(path)
    if suffix == ".jsonl":
        return _scan_jsonl(path, shard_rows, needed)
    return _scan_delimited(path, suffix, shard_rows, needed)


def _scan_parquet(path: Path, shard_rows: int, needed: Sequence[str]) -> Layout:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        found = pq.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{path} is not a readable parquet file ({reason}); write it again.") from None
    with found:
        names = found.schema_arrow.names
        _check_columns(path, names, needed)
        rows = found.metadata.num_rows
    shards = [Shard(i, first, min(shard_rows, rows - first)) for i, first in enumerate(range(0, rows, shard_rows))]
    return Layout(".parquet", "", dict.fromkeys(names, "text"), tuple(shards))


def _scan_delimited(path: Path, suffix: Suffix, shard_rows: int, needed: Sequence[str]) -> Layout:
    with path.open("rb") as file:
        skip = _skip_mark(file)
        first = file.readline(LINE_LIMIT).decode("utf-8", "replace")
        file.seek(skip)
        source = Lines(path, file, skip)
        delimiter = "\t" if suffix == ".tsv" else max(",;\t|", key=first.count)  # a comma wins ties
        records = csv_records(path, source, delimiter)
        header = [cell.strip() for cell in next(records, [])]
        _check_columns(path, header, needed)
        shards = _cut(records, source, shard_rows)
    return Layout(suffix, delimiter, dict.fromkeys(header, "text"), shards)


def _scan_jsonl(path: Path, shard_rows: int, needed: Sequence[str]) -> Layout:
    kinds: dict[str, Kind | None] = {}

    def learn(line: str) -> str:
        record = json_object(line)
        if isinstance(record, dict):
            for name, value in record.items():
                kinds[name] = _joined(kinds.get(name), value)
        return line

    with path.open("rb") as file:
        source = Lines(path, file, _skip_mark(file))
        shards = _cut((learn(line) for line in source if line.strip()), source, shard_rows)
    columns: dict[str, Kind] = {name: kind or "text" for name, kind in kinds.items()}
    _check_columns(path, list(columns), needed)
    return Layout(".jsonl", "", columns, shards)


class Lines:
    """A file's lines as text, with the byte reached and whether the last lines were UTF-8.

    Iterating decodes what is no UTF-8 with U+FFFD and sets ``broken``, for the caller to read and clear.
    """

    def __init__(self, path: Path, file: IO[bytes], at: int) -> None:
        self.path, self.file, self.at = path, file, at
        self.broken = self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.file.readline(LINE_LIMIT + 1)
        if not line:
            self.ended = True
            raise StopIteration
        if len(line) > LINE_LIMIT:
            raise InputError(f"{self.path}, byte {self.at}: a line of more than {LINE_LIMIT:,} bytes; split it.")
        self.at += len(line)
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError:
            self.broken = True
            return line.decode("utf-8", "replace")


def csv_records(path: Path, source: Lines, delimiter: str) -> Iterator[list[str]]:
    """Records that are not blank lines. Raises InputError where a quotation mark never closes."""
    csv.field_size_limit(LINE_LIMIT)
    reader = csv.reader(source, delimiter=delimiter)
    while True:
        start = source.at
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise InputError(
                f"{path}: the row that begins at byte {start} cannot be read ({error}); "
                "look for a quotation mark that is not closed."
            ) from None
        if record is None:
            return
        if source.ended:  # a record that was still going on when the file ended
            raise InputError(f"{path}: the row that begins at byte {start} opens a quotation mark and never closes it.")
        if record:
            yield record


def json_object(line: str) -> dict[str, Any] | str:
    """The object of one line, or what is wrong with it."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    return record if isinstance(record, dict) else "not a JSON object"


def _joined(known: Kind | None, value: Any) -> Kind | None:
    if value is None:
        return known
    found: Kind = "json"
    if isinstance(value, str):
        found = "text"
    elif isinstance(value, bool):
        found = "boolean"
    elif isinstance(value, int):
        found = "integer" if -(2**63) <= value < 2**63 else "json"
    elif isinstance(value, float):
        found = "number"
    if known is None or known == found:
        return found
    # An integer among numbers would come out as 1.0, so the column keeps each value as it was written.
    return "json"


def _cut(records: Iterator[Any], source: Lines, shard_rows: int) -> tuple[Shard, ...]:
    shards: list[Shard] = []
    first, start, count = 0, source.at, 0
    for _ in records:
        count += 1
        if count == shard_rows:
            shards.append(Shard(len(shards), first, count, start))
            first, start, count = first + count, source.at, 0
    if count:
        shards.append(Shard(len(shards), first, count, start))
    return tuple(shards)


def _skip_mark(file: IO[bytes]) -> int:
    """Place the file after a byte-order mark, if there is one; where that is."""
    skip = len(_MARK) if file.read(len(_MARK)) == _MARK else 0
    file.seek(skip)
    return skip


def _check_columns(path: Path, names: Sequence[str], needed: Sequence[str]) -> None:
    require_columns(path, needed, names)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path} has {names.count(twice)} columns {twice!r}; rename all but one.")


def _refuse_wide(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is UTF-16; save it as UTF-8.")
