"""Reading in shards: whatever the file, each row is in one shard, in order."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.bulk.layout import Layout, scan, suffix_of
from core.bulk.reading import read_shard, schema
from core.bulk.writing import join, write_table
from core.errors import InputError

CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | CELL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELL, inner, max_size=3),
    max_leaves=5,
)
SLOW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows_of(path: Path, layout: Layout) -> list[dict[str, Any]]:
    return [row for shard in layout.shards for row in read_shard(path, layout, shard).table.to_pylist()]


@SLOW
@given(rows=st.lists(st.tuples(CELL, CELL), max_size=25), shard_rows=st.integers(1, 7), mark=st.booleans())
def test_csv_rows_survive(tmp_path: Path, rows: list[tuple[str, str]], shard_rows: int, mark: bool) -> None:
    path = tmp_path / "in.csv"
    with path.open("w", newline="", encoding="utf-8-sig" if mark else "utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "other"])
        writer.writerows(rows)
    layout = scan(path, shard_rows, ["text"])
    assert [tuple(row.values()) for row in rows_of(path, layout)] == rows
    assert [shard.rows for shard in layout.shards[:-1]] == [shard_rows] * (len(layout.shards) - 1)


@SLOW
@given(
    rows=st.lists(st.fixed_dictionaries({"a": JSON}, optional={"b": JSON, "c": JSON}), max_size=12),
    shard_rows=st.integers(1, 5),
)
def test_jsonl_values_survive(tmp_path: Path, rows: list[dict[str, Any]], shard_rows: int) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows) or "\n", encoding="utf-8")
    layout = scan(path, shard_rows, [])
    parts = []
    for shard in layout.shards:
        parts.append(tmp_path / f"part-{shard.number}.jsonl")
        write_table(read_shard(path, layout, shard).table, parts[-1], ".jsonl")
    join(parts, out, ".jsonl", schema(layout, path).empty_table())
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n") if line]
    assert found == [{name: row.get(name) for name in layout.columns} for row in rows]


@SLOW
@given(groups=st.lists(st.integers(0, 9), min_size=1, max_size=5), shard_rows=st.integers(1, 8))
def test_parquet_shards_cross_row_groups(tmp_path: Path, groups: list[int], shard_rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, shape, count = tmp_path / "in.parquet", pa.schema([("text", pa.string()), ("n", pa.int16())]), 0
    with pq.ParquetWriter(path, shape) as out:
        for rows in groups:
            numbers = list(range(count, count + rows))
            out.write_table(pa.table({"text": [str(n) for n in numbers], "n": pa.array(numbers, pa.int16())}, shape))
            count += rows
    layout = scan(path, shard_rows, ["text"])
    tables = [read_shard(path, layout, shard).table for shard in layout.shards]
    assert [row["n"] for table in tables for row in table.to_pylist()] == list(range(count))
    assert all(table.schema == shape for table in tables)


def test_broken_rows_keep_their_place(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"text,n\r\nfine,1\r\nshort\r\n\r\nlong,2,3\r\n\xff\xfe,4\r\nlast,5\r\n")
    layout = scan(path, 2, ["text"])
    found = [read_shard(path, layout, shard) for shard in layout.shards]
    assert [row["text"] for rows in found for row in rows.table.to_pylist()] == ["fine", "short", "long", "��", "last"]
    errors = [error for rows in found for error in rows.errors]
    assert errors[0] is None and errors[4] is None
    assert errors[1] == "1 cell where the header has 2" and errors[2] == "3 cells where the header has 2"
    assert "UTF-8" in str(errors[3])


def test_broken_json_lines_keep_their_place(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a"}\n{"text": \n[1]\n{"text": "\\ud800"}\n')
    layout = scan(path, 10, ["text"])
    rows = read_shard(path, layout, layout.shards[0])
    assert rows.table.column("text").to_pylist() == ["a", None, None, "\ufffd"]
    assert rows.errors[0] is None and str(rows.errors[1]).startswith("not JSON") and "object" in str(rows.errors[2])


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("in.csv", b"", "empty"),
        ("in.csv", b"other\n1\n", "no column 'text'"),
        ("in.csv", b"text,a,a\n1,2,3\n", "2 columns 'a'"),
        ("in.csv", "text\nä\n".encode("utf-16"), "UTF-16"),
        ("in.csv", b'text\n"' + b"x" * 10_000_001, "more than|quotation"),
        ("in.parquet", b"PAR1 no", "not a readable parquet"),
        ("in.xlsx", b"PK", "unknown"),
    ],
)
def test_unreadable_files_are_refused(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=problem):
        scan(tmp_path / name, 10, ["text"])


@pytest.mark.parametrize("lines", [1, 800_000])
def test_a_quotation_mark_that_never_closes_is_refused(tmp_path: Path, lines: int) -> None:
    """Otherwise the rest of the file would be one row."""
    (tmp_path / "in.csv").write_text('text,n\n"open,1\n' + "line of text,2\n" * lines)
    with pytest.raises(InputError, match="quotation mark"):
        scan(tmp_path / "in.csv", 10, ["text"])


def test_endings() -> None:
    assert suffix_of(Path("a.JSONL")) == ".jsonl"
    with pytest.raises(InputError):
        suffix_of(Path("a.txt"))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_joined_like_one(tmp_path: Path, suffix: Any) -> None:
    import pyarrow as pa

    table = pa.table({'a "quoted"\nname': ["x", "a\nb", None, 'q"'], "n": [1, 2, None, 4], "l": [[0.5], None, [], [1]]})
    write_table(table, tmp_path / f"whole{suffix}", suffix)
    parts = [tmp_path / f"{i}{suffix}" for i in range(3)]
    for part, (start, rows) in zip(parts, [(0, 1), (1, 2), (3, 1)], strict=True):
        write_table(table.slice(start, rows), part, suffix)
    join(parts, tmp_path / f"joined{suffix}", suffix, table.slice(0, 0))
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        assert pq.read_table(tmp_path / "joined.parquet").equals(table)
    else:
        assert (tmp_path / f"joined{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
