"""Reading plain tables: exact text, exact row numbers, and one clear sentence for every bad file."""

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.formats import FORMATS
from core.data.readers import read
from core.data.sources import Columns, Source
from core.data.table import Task
from core.errors import InputError


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def rows(path: Path, task: Task = "classification", columns: Columns | None = None, **source: Any) -> list[dict]:
    table = read(Source(path=path, **source), task, columns)
    return table.frame.drop(columns="file").to_dict("records")


def refusal(path: Path, task: Task = "classification", columns: Columns | None = None, **source: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(Source(path=path, **source), task, columns)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_csv_quoted_newlines_keep_the_starting_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\r\n"one\r\ntwo, ""three""",x\r\n\r\nfour,y\r\n')
    assert rows(path) == [
        {"text": 'one\r\ntwo, "three"', "label": "x", "row": 2},
        {"text": "four", "label": "y", "row": 5},
    ]


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\r,\";'\t"), max_size=12)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_csv_round_trip(tmp_path_factory: pytest.TempPathFactory, pairs: list, end: str, bom: bool) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "label"), *pairs])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(buffer.getvalue().encode("utf-8-sig" if bom else "utf-8"))
    frame = read(Source(path=path), "classification").frame
    blank = {"", "NaN", "nan", "None"}
    assert [None if pd.isna(t) else t for t in frame["text"]] == [None if t in blank else t for t, _ in pairs]
    line = 2
    for (text, label), row in zip(pairs, frame["row"], strict=True):
        assert row == line
        ends = (text + "\0" + label).replace("\r\n", "\n").replace("\r", "\n").count("\n")
        line += 1 + ends


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_delimiter_is_found_from_the_header(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path, "a.csv", f"text{delimiter}label\ngood, really{delimiter}x\n")
    table = read(Source(path=path), "classification")
    assert table.frame["text"].tolist() == ["good, really"]
    assert [f.kind for f in table.findings] == ["delimiter"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "déjà vu – “très” bon café"),
        ("cp1252", "it’s"),
        ("latin-1", "na\xefve \x81 caf\xe9"),
        ("utf-16", "naïve – ok"),
        ("utf-16-le", "plain western text"),
        ("gb18030", "这个宾馆比较陈旧了特价的房间也很一般"),
        ("cp1251", "Привет мир это хорошо сделано"),
    ],
)
def test_other_encodings_are_read_and_told(tmp_path: Path, encoding: str, text: str) -> None:
    path = write(tmp_path, "a.csv", f"text,label\n{text},x\n{text},y\n".encode(encoding))
    table = read(Source(path=path), "classification")
    assert table.frame["text"].tolist() == [text, text]
    assert [f.kind for f in table.findings] == ["encoding"]


def test_given_encoding_wins_and_is_not_a_finding(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\nŁódź,x\n".encode("cp1250"))
    table = read(Source(path=path, encoding="cp1250"), "classification")
    assert table.frame["text"].tolist() == ["Łódź"]
    assert table.findings == []


def test_utf8_with_a_broken_byte_is_refused_with_its_row(tmp_path: Path) -> None:
    content = ("text,label\n" + "größer über alles,x\n" * 9).encode() + b"caf\xe9,y\n" + "schön,x\n".encode()
    assert "row 11" in refusal(write(tmp_path, "a.csv", content))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"text,label\n", "no rows"),
        ("a.jsonl", b"\n\n", "no rows"),
        ("a.csv", b"texts,label\na,b\n", "did you mean 'texts'"),
        ("a.csv", b"text,label\na,b\nc\n", "row 3"),
        ("a.csv", b'text,label\n"a\nb",x\nc,y,z\n', "row 4"),
        ("a.csv", b'text,label\na,x\n"never closed,y\n', "row 3: a quotation mark is opened"),
        ("a.csv", b'text,label\n"a"b,x\n', "row 2: text follows"),
        ("a.csv", b"text,text,label\na,b,c\n", "2 columns 'text'"),
        ("a.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "PNG"),
        ("a.csv", b"PK\x03\x04\x14\x00", "zip"),
        ("a.jsonl", b"\x1f\x8b\x08", "gzip"),
        ("a.csv", b"text,label\na,b\nc\x00d,e\n", "row 3 holds a NUL"),
        ("a.tsv", bytes(range(1, 256)) * 20, "not text"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n{"text": \n', "row 2 is not valid JSON"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n\n[1]\n', "row 3 is a list"),
        ("a.jsonl", b'{"text": ["a"], "label": "b"}\n', "row 1, column text: a list"),
        ("a.jsonl", b"[" * 100_000, "row 1"),
        ("a.jsonl", b'{"text": 1' + b"0" * 5000 + b', "label": "b"}\n', "row 1"),
        ("a.parquet", b"not parquet at all", "parquet"),
        ("a.txt", b"It rose .@positive\nIt fell .@negative\n", 'format = "phrasebank"'),
        ("a.txt", b"plain words\n", "set format to csv, tsv"),
        ("a.xyz", b"plain words\n", "set format to csv, tsv"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    assert expected in refusal(write(tmp_path, name, content))


def test_missing_file_folder_and_unknown_names(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.csv")
    assert "folder" in refusal(tmp_path)
    path = write(tmp_path, "a.csv", "text,label\na,b\n")
    assert all(name in refusal(path, format="excel") for name in FORMATS)
    assert "encoding 'utf-9'" in refusal(path, encoding="utf-9")
    assert "'text', 'label'" in refusal(path, columns=Columns(label="klass"))
    assert "for classification" in refusal(path, task="ranking", format="banking77")
    accented = write(tmp_path, "b.csv", "text,label\né,b\n")
    assert "cannot be read as ascii" in refusal(accented, encoding="ascii")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_an_endless_line_is_refused_quickly(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(b"text,label\n")
        for _ in range(100):
            file.write(b"a" * (1 << 20))
    start = time.process_time()
    assert "row 2 is longer" in refusal(path)
    assert time.process_time() - start < 2


def test_a_cell_of_endless_lines_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b'text,label\n"' + b"words and words\n" * 700_000)
    assert "quotation mark may not be closed" in refusal(path)


def test_tsv_with_quotes_as_text(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", 'text\tlabel\n"open and never\tx\nsay "hi"\ty\n')
    table = read(Source(path=path), "classification")
    assert table.frame["text"].tolist() == ['"open and never', 'say "hi"']
    assert [f.kind for f in table.findings] == ["quoting"]


def test_json_values_become_text_or_blank(tmp_path: Path) -> None:
    records = [
        {"text": 12, "label": 1},
        {"text": 1.5, "label": 2.0},
        {"text": None, "label": True},
        {"text": float("nan"), "label": None},
        {"text": "", "label": "x"},
        {"label": "x"},
        {"text": "ok \ud800!", "label": "x"},
    ]
    path = write(tmp_path, "a.jsonl", "\n".join(json.dumps(r) for r in records))
    table = read(Source(path=path), "classification")
    texts = [None if pd.isna(v) else v for v in table.frame["text"]]
    assert texts == ["12", "1.5", None, None, None, None, "ok \ufffd!"]
    assert [None if pd.isna(v) else v for v in table.frame["label"]] == [
        "1",
        "2",
        "true",
        None,
        "x",
        "x",
        "x",
    ]
    assert [(f.kind, f.examples) for f in table.findings] == [("encoding", (f"{path}:7 text",))]


def test_parquet_keeps_values_and_counts_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"t": ["a", None, "c"], "l": [1.0, None, 3.0], "n": [0, 1, 2]}).to_parquet(path)
    frame = read(Source(path=path, columns=Columns(text="t")), "classification", Columns(label="l")).frame
    assert frame["row"].tolist() == [1, 2, 3]
    assert frame["text"].isna().tolist() == [False, True, False]
    assert frame["label"].fillna("?").tolist() == ["1", "?", "3"]
    assert "has no column 'text'" in refusal(path)


@pytest.mark.parametrize(
    ("task", "header", "expected"),
    [
        ("matching", "text,positive", ["text", "positive", "row"]),
        ("generation", "prompt,reply", ["prompt", "reply", "row"]),
    ],
)
def test_other_tasks(tmp_path: Path, task: Task, header: str, expected: list[str]) -> None:
    path = write(tmp_path, "a.csv", f"{header}\na,b\n")
    assert list(rows(path, task)[0]) == expected


def test_ranking_scores(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "query,document,label\na,b,1\na,c,0.5\na,d,\n")
    assert read(Source(path=path), "ranking").frame["label"].fillna(-1).tolist() == [1.0, 0.5, -1.0]
    for bad in ("high", "inf"):
        path = write(tmp_path, "b.csv", f"query,document,label\na,b,1\na,c,{bad}\n")
        assert "row 3, column label" in refusal(path, "ranking")


def test_multi_label_cells(tmp_path: Path) -> None:
    records = [{"text": "a", "label": v} for v in (["x", "y", "x"], [], None, "x|y", "x; z", '["p;q"]', 7, [None])]
    path = write(tmp_path, "a.jsonl", "\n".join(json.dumps(r) for r in records))
    labels = read(Source(path=path), "classification", multi_label=True).frame["label"].tolist()
    assert labels[:2] == [["x", "y"], []]
    assert labels[3:7] == [["x", "y"], ["x", "z"], ["p;q"], ["7"]]
    assert not isinstance(labels[2], list)
    assert not isinstance(labels[7], list)


def test_group_and_time(tmp_path: Path) -> None:
    content = (
        "text,label,who,when\n"
        "a,x,1,2024-05-31T14:00:00+02:00\n"
        "b,x,1,2024-05-31\n"
        "c,y,2,1717156800\n"
        "d,y,2,1717156800000\n"
        "e,y,2,Jul 18 2020\n"
        ",,,\n"
    )
    columns = Columns(group="who", time="when")
    frame = read(Source(path=write(tmp_path, "a.csv", content)), "classification", columns).frame
    assert frame["group"].tolist()[:5] == ["1", "1", "2", "2", "2"]
    assert str(frame["time"].dtype).endswith("UTC]")
    assert [t.isoformat() for t in frame["time"][:5]] == [
        "2024-05-31T12:00:00+00:00",
        "2024-05-31T00:00:00+00:00",
        "2024-05-31T12:00:00+00:00",
        "2024-05-31T12:00:00+00:00",
        "2020-07-18T00:00:00+00:00",
    ]
    bad = write(tmp_path, "b.csv", "text,label,who,when\na,x,1,2024-05-31\nb,x,1,soon\n")
    assert "row 3, column when: 'soon' is not a time" in refusal(bad, columns=columns)
    bad = write(tmp_path, "c.csv", "text,label,who,when\na,x,1,2024-05-31\nb,x,,2024-05-31\n")
    assert "row 3, column who" in refusal(bad, columns=columns)
