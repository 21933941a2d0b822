import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from verticals.support.dialogues.logs import LogMapping, read_logs

ROW = {"id": "a", "turns": [{"role": "customer", "text": "where is my card?"}], "outcome": "resolved", "csat": 5}


def write(folder: Path, text: str, name: str = "log.jsonl") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_json_lines_and_csv_say_the_same(tmp_path: Path) -> None:
    turns = [
        {"role": "customer", "text": 'a "quoted", long question?', "minutes": 0},
        {"role": "agent", "text": "an answer", "minutes": 2, "accepted": True},
    ]
    row = {"id": "a", "turns": turns, "outcome": "resolved", "csat": 4, "intent": "pin"}
    lines = read_logs(write(tmp_path, json.dumps(row) + "\n"))
    text = 'id,role,text,minutes,accepted,outcome,csat,intent\na,customer,"a ""quoted"", long question?",0,,,,\n'
    table = read_logs(write(tmp_path, text + "a,agent,an answer,2,true,resolved,4,pin\n", "log.csv"))
    assert lines == table
    assert lines[0].messages[1].accepted is True


def test_other_names_for_fields_and_roles(tmp_path: Path) -> None:
    mapping = LogMapping(id="ticket", turns="messages", role="from", text="body", time="at", customer_roles=("guest",))
    row = {
        "ticket": 7,
        "messages": [
            {"from": "agent", "body": "second", "at": "2026-03-01T10:01:00+00:00"},
            {"from": "Guest", "body": "first", "at": "2026-03-01T10:00:00+00:00"},
            {"from": "system", "body": "joined"},
        ],
    }
    (found,) = read_logs(write(tmp_path, json.dumps(row)), mapping)
    assert found.id == "7"
    assert [message.text for message in found.messages] == ["first", "second"]


WRONG = [
    ("{", "row 1 is not valid JSON"),
    ("[]", "row 1 is not an object"),
    (json.dumps({**ROW, "turns": []}), "row 1, field turns"),
    (json.dumps({**ROW, "turns": [{"role": "ghost", "text": "x"}]}), "turns 1, field role: 'ghost'"),
    (json.dumps({**ROW, "turns": [{"role": "customer"}]}), "field text: is missing"),
    (json.dumps({**ROW, "csat": 9}), "field csat: 9"),
    (json.dumps({**ROW, "csat": "good"}), "field csat: 'good'"),
    (json.dumps({**ROW, "outcome": "won"}), "field outcome: 'won'"),
    (json.dumps({**ROW, "turns": [{"role": "agent", "text": "x", "minutes": "noon"}]}), "field minutes: 'noon'"),
    (json.dumps({**ROW, "turns": [{"role": "agent", "text": "x", "accepted": "maybe"}]}), "field accepted: 'maybe'"),
    (json.dumps(ROW) + "\n" + json.dumps(ROW), "'a' is there twice"),
    ("\n", "holds no conversations"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_logs(write(tmp_path, text))
    assert message in str(caught.value) and "log.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,role\na,agent\n", "no column 'text'"),
        ("id,role,text\na,agent,x,y\n", "row 2: more cells"),
        ("id,role,text\n,agent,x\n", "row 2, column id"),
        ('id,role,text\na,agent,"x\n', "row"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_logs(write(tmp_path, text, "log.csv"))


def test_files_that_are_no_logs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_logs(tmp_path / "gone.jsonl")
    with pytest.raises(InputError, match="jsonl or .csv"):
        read_logs(write(tmp_path, "x", "log.xml"))
    (tmp_path / "log.csv").write_bytes(b"id,role,text\na,agent,\xff\xfe\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_logs(tmp_path / "log.csv")


@given(text=st.text(max_size=120))
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("log")
    for name in ("log.jsonl", "log.csv"):
        path = folder / name
        path.write_bytes(text.encode("utf-8", "replace"))
        try:
            read_logs(path)
        except InputError as error:
            assert name in str(error)
