"""Readers of plain tables: delimited text, JSON lines, parquet; the wanted columns as they stand."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from core.data.encodings import LINE_LIMIT, lines, open_text, require_file
from core.data.sources import Source
from core.data.table import Finding, Raw, counted, place
from core.errors import InputError

_DELIMITERS = (",", ";", "\t", "|")
# A cell of exactly this text is a missing value that some program wrote out.
_BLANK_CELLS = frozenset({"", "NaN", "nan", "None"})


def read_csv(source: Source, wanted: Sequence[str]) -> Raw:
    """RFC 4180; the delimiter is a comma unless the header line shows ``;``, tab or ``|``."""
    with open_text(source.path, source.encoding) as (stream, findings):
        header = next((line for line in lines(stream, source.path) if line.strip()), "")
    delimiter = _sniff(header, wanted)
    raw = _read_delimited(source, wanted, delimiter, csv.QUOTE_MINIMAL)
    if delimiter != ",":
        shown = {"\t": "tab"}.get(delimiter, delimiter)
        message = f"{source.path}: the header shows that columns are separated by {shown!r}, not by a comma."
        raw.findings.append(Finding("delimiter", "repaired", 1, (str(source.path),), message))
    return raw


def read_tsv(source: Source, wanted: Sequence[str]) -> Raw:
    """Tab-separated, quoted as in RFC 4180; where that cannot be so, quotation marks are taken as text."""
    try:
        return _read_delimited(source, wanted, "\t", csv.QUOTE_MINIMAL)
    except _BadRow as error:
        try:
            raw = _read_delimited(source, wanted, "\t", csv.QUOTE_NONE)
        except _BadRow:
            raise error from None
        message = f"{source.path}: quotation marks do not enclose cells here and were taken as text."
        raw.findings.append(Finding("quoting", "repaired", 1, (error.where,), message))
        return raw


def read_tsv_unquoted(source: Source, wanted: Sequence[str]) -> Raw:
    """Tab-separated text in which a quotation mark is a character like any other."""
    return _read_delimited(source, wanted, "\t", csv.QUOTE_NONE)


def read_jsonl(source: Source, wanted: Sequence[str]) -> Raw:
    """One JSON object per line; a key that an object lacks is a blank."""
    columns: dict[str, list[Any]] = {name: [] for name in wanted}
    rows: list[int] = []
    seen: dict[str, None] = {}
    with open_text(source.path, source.encoding) as (stream, findings):
        for number, line in enumerate(lines(stream, source.path), start=1):
            if not line.strip():
                continue
            record = _json_object(line, source.path, number)
            seen.update(dict.fromkeys(record))
            rows.append(number)
            for name in wanted:
                columns[name].append(record.get(name))
    if rows:
        require_columns(source.path, wanted, list(seen))
    return Raw(columns, rows, findings)


def read_parquet(source: Source, wanted: Sequence[str]) -> Raw:
    """The wanted columns of a parquet file; rows are counted from 1."""
    import pyarrow
    import pyarrow.parquet

    require_file(source.path)
    try:
        require_columns(source.path, wanted, pyarrow.parquet.read_schema(source.path).names)
        table = pyarrow.parquet.ParquetFile(source.path).read(columns=list(wanted))
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{source.path} is not a readable parquet file ({reason}); write it again.") from None
    columns = {name: table.column(name).to_pylist() for name in wanted}
    return Raw(columns, list(range(1, table.num_rows + 1)))


def require_columns(path: Path, wanted: Sequence[str], existing: Sequence[str]) -> None:
    """Refuse a table without a wanted column, naming the ones it has and the closest."""
    import difflib

    for name in wanted:
        if name in existing:
            continue
        close = difflib.get_close_matches(name.casefold(), [column.casefold() for column in existing], n=1)
        nearest = next((c for c in existing if close and c.casefold() == close[0]), None)
        hint = f"did you mean {nearest!r}? " if nearest else ""
        shown = ", ".join(repr(c) for c in existing[:20]) + (", …" if len(existing) > 20 else "")
        raise InputError(
            f"{path} has no column {name!r}: {hint}It has {shown or 'none'}; name the columns under [data]."
        )


class _BadRow(InputError):
    """A row that does not fit the header or breaks the rules of quoting."""

    def __init__(self, path: Path, row: int, what: str) -> None:
        super().__init__(f"{path}, row {row}: {what}")
        self.where = f"{path}:{row}"


def _sniff(header: str, wanted: Sequence[str]) -> str:
    cells = {delimiter: _header_cells(header, delimiter) for delimiter in _DELIMITERS}
    for delimiter in _DELIMITERS:
        if wanted and set(wanted) <= set(cells[delimiter]):
            return delimiter
    return max(_DELIMITERS, key=lambda delimiter: len(cells[delimiter]))  # the first, a comma, wins ties


def _header_cells(header: str, delimiter: str) -> list[str]:
    first: list[str] = next(csv.reader([header], delimiter=delimiter), [])
    return [cell.strip() for cell in first]


def _read_delimited(source: Source, wanted: Sequence[str], delimiter: str, quoting: Any) -> Raw:
    path = source.path
    with open_text(path, source.encoding) as (stream, findings):
        records = _records(stream, path, delimiter, quoting)
        _, cells = next(records, (1, []))
        header = [cell.strip() for cell in cells]
        require_columns(path, wanted, header)
        for name in wanted:
            if header.count(name) > 1:
                raise InputError(f"{path}, row 1 has {header.count(name)} columns {name!r}; rename all but one.")
        at = [header.index(name) for name in wanted]
        values: list[list[Any]] = [[] for _ in wanted]
        rows: list[int] = []
        blank_lines: list[int] = []
        for row, cells in records:
            if not cells or (len(cells) == 1 and len(header) > 1 and not cells[0].strip()):
                blank_lines.append(row)
                continue
            if len(cells) != len(header):
                raise _BadRow(
                    path,
                    row,
                    f"{len(cells)} columns where the header has {len(header)}; mend or quote that row.",
                )
            rows.append(row)
            for column, index in zip(values, at, strict=True):
                cell = cells[index]
                column.append(None if cell in _BLANK_CELLS else cell)
        findings = findings + _blank_line_findings(path, blank_lines, rows[-1] if rows else 0)
    return Raw(dict(zip(wanted, values, strict=True)), rows, findings)


def _records(stream: IO[str], path: Path, delimiter: str, quoting: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line each starts at."""
    csv.field_size_limit(LINE_LIMIT)
    reader = csv.reader(lines(stream, path), delimiter=delimiter, quoting=quoting, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _BadRow(path, start, _quoting_problem(str(error))) from None
        yield start, cells


def _quoting_problem(error: str) -> str:
    if "field limit" in error:
        return f"a cell is longer than {LINE_LIMIT:,} characters; a quotation mark may not be closed."
    if "unexpected end" in error:
        return "a quotation mark is opened and never closed; close it or double it."
    if "expected after" in error:
        return "text follows a closing quotation mark; double the quotation marks inside a quoted cell."
    return f"not valid delimited text ({error})."


def _blank_line_findings(path: Path, blank: list[int], last_row: int) -> list[Finding]:
    inside = [row for row in blank if row < last_row]  # blank lines at the end are how some editors save
    if not inside:
        return []
    examples = tuple(place(path, row, "line") for row in inside[:5])
    return [
        Finding(
            "blank_line",
            "dropped",
            len(inside),
            examples,
            f"{path}: {counted(len(inside), 'blank line')} skipped.",
        )
    ]


def _json_object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "too deep or a number too long")
        raise InputError(f"{path}, row {number} is not valid JSON ({reason}); write one object per line.") from None
    if not isinstance(record, dict):
        kind = {list: "a list", str: "a text", type(None): "null"}.get(type(record), "a number")
        raise InputError(f"{path}, row {number} is {kind}, not an object; write one JSON object per line.")
    return record


def column_names(source: Source) -> list[str]:
    """All columns of a table: header, jsonl keys or parquet schema; none for files without them."""
    from core.data.formats import find_format

    path, read = source.path, find_format(source).read
    if read is read_parquet:
        import pyarrow
        import pyarrow.parquet

        require_file(path)
        try:
            return list(pyarrow.parquet.read_schema(path).names)
        except (pyarrow.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise InputError(f"{path} is not a readable parquet file ({reason}); write it again.") from None
    with open_text(path, source.encoding) as (stream, _):
        if read is read_jsonl:
            keys: dict[str, None] = {}
            for number, line in enumerate(lines(stream, path), start=1):
                if line.strip():
                    keys.update(dict.fromkeys(_json_object(line, path, number)))
            return list(keys)
        header = next((line for line in lines(stream, path) if line.strip()), "").rstrip("\r\n")
    if read is read_csv:
        return _header_cells(header, _sniff(header, ()))
    return _header_cells(header, "\t") if read in (read_tsv, read_tsv_unquoted) else []
