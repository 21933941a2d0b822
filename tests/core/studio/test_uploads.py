"""Uploaded tables: kept once, looked at, made a recipe of, and refused with a reason."""

from pathlib import Path

import pytest

from core.errors import InputError
from core.settings import Settings
from core.studio import uploads

ROWS = "".join(
    f"{i},{'card' if i % 2 else 'loan'} question number {i},{'card' if i % 2 else 'loan'}\n" for i in range(40)
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(var=tmp_path)


def test_the_same_content_is_kept_once_whatever_its_name_holds(settings: Settings) -> None:
    first = uploads.keep("../My Rows!.csv", b"text,label\na,b\n", settings)
    again = uploads.keep("../My Rows!.csv", b"text,label\na,b\n", settings)
    other = uploads.keep("rows.csv", b"text,label\nc,d\n", settings)
    assert first == again != other
    assert first.parent == settings.var / "studio" / "data" and first.name.startswith("my-rows-")
    assert set(uploads.uploads(settings)) == {first, other}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [("rows.xlsx", b"x", "ends in .csv"), ("rows.csv", b"", "is empty"), ("rows", b"x", "ends in .csv")],
)
def test_what_is_no_table_is_refused(settings: Settings, name: str, content: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        uploads.keep(name, content, settings)
    assert not uploads.uploads(settings)


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("a.csv", "id;Question;Intent\n1;x;y\n", ["id", "Question", "Intent"]),
        ("a.tsv", "title\tsentiment\nx\ty\n", ["title", "sentiment"]),
        ("a.jsonl", '{"sentence": "x"}\n{"sentence": "z", "topic": "y"}\n', ["sentence", "topic"]),
    ],
)
def test_columns_are_guessed_by_their_names(settings: Settings, name: str, content: str, columns: list[str]) -> None:
    names, text, label = uploads.guess_columns(uploads.keep(name, content.encode(), settings))
    assert names == columns
    assert (text, label) == (columns[-2], columns[-1])


def test_a_single_column_is_refused(settings: Settings) -> None:
    with pytest.raises(InputError, match="one with texts and one with labels"):
        uploads.guess_columns(uploads.keep("a.csv", b"text\nx\n", settings))


def test_the_report_says_what_a_tuning_would_find(settings: Settings) -> None:
    path = uploads.keep("rows.csv", ("id,text,label\n" + ROWS + "41,,card\n42,no label,\n").encode(), settings)
    found = uploads.report(uploads.recipe("mine", path, "text", "label"))
    assert set(found.labels) == {"card", "loan"}
    assert sum(found.rows.values()) == 40
    assert {one["kind"] for one in found.findings} >= {"blank_text", "missing_label"}


def test_one_label_alone_is_refused(settings: Settings) -> None:
    path = uploads.keep("rows.csv", b"text,label\n" + b"".join(b"row %d,x\n" % i for i in range(30)), settings)
    with pytest.raises(InputError):
        uploads.report(uploads.recipe("mine", path, "text", "label"))
