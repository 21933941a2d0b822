"""The official formats: on small files written here, and on the real sets where they are present."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.formats import FINANCE_TOPICS, FORMATS
from core.data.readers import read
from core.data.sentfin import SENTIMENTS, parse_decisions
from core.data.sources import Source
from core.errors import InputError
from core.settings import get_settings

entities = st.dictionaries(st.text(max_size=20), st.sampled_from(SENTIMENTS), max_size=6)


@given(entities)
def test_decisions_written_by_python_come_back_whole(decisions: dict[str, str]) -> None:
    assert parse_decisions(repr(decisions)) == list(decisions.items())


plain = st.text(st.characters(categories=["L", "N", "Zs"], include_characters="'&.-,:"), min_size=1, max_size=20)


@given(st.lists(st.tuples(plain, st.sampled_from(SENTIMENTS)), max_size=6), st.sampled_from("'\""))
def test_decisions_with_unescaped_apostrophes_lose_no_entity(pairs: list[tuple[str, str]], quote: str) -> None:
    text = "{" + ", ".join(f"{quote}{name}{quote}: '{sentiment}'" for name, sentiment in pairs) + "}"
    assert parse_decisions(text) == pairs


@pytest.mark.parametrize("text", ["", "{", "nothing", "{'a': 'great'}", "{'a': 'neutral', 'b'}", "{'a': 'neutral' x"])
def test_decisions_that_cannot_be_read_are_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_decisions(text)


SENTFIN = """S No.,Title,Decisions,Words
1,Up and away,"{'Acme': 'positive', 'Kim's Shop': 'positive'}",3
2,Mixed bag,"{'Acme': 'positive', ""Kim's"": 'negative'}",2
3,Flat,{'Acme': 'neutral'},1
"""


def test_sentfin_by_title_and_by_entity(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(SENTFIN, encoding="utf-8")
    titles = read(Source(path=path, format="sentfin"), "classification")
    assert titles.frame[["text", "label", "row"]].values.tolist() == [
        ["Up and away", "positive", 2],
        ["Flat", "neutral", 4],
    ]
    assert [(f.kind, f.action, f.count, f.examples) for f in titles.findings] == [
        ("mixed_sentiment", "dropped", 1, (f"{path}:3 Decisions",))
    ]
    pairs = read(Source(path=path, format="sentfin-entities"), "classification").frame
    assert pairs["text_pair"].tolist() == ["Acme", "Kim's Shop", "Acme", "Kim's", "Acme"]
    assert pairs["group"].tolist() == pairs["text"].tolist()
    path.write_text(SENTFIN.replace("'neutral'", "'fine'"), encoding="utf-8")
    with pytest.raises(InputError, match="row 4, column Decisions"):
        read(Source(path=path, format="sentfin"), "classification")


def test_phrasebank(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes("\ufeffMail me at a@b.c .@neutral\r\n\r\nIt rose .@positive\r\n1\r\n".encode())
    table = read(Source(path=path, format="phrasebank"), "classification")
    assert table.licence == "CC BY-NC-SA 3.0"
    assert table.frame["text"].tolist() == ["Mail me at a@b.c .", "It rose .", "1"]
    assert table.frame["label"].fillna("?").tolist() == ["neutral", "positive", "?"]
    assert table.frame["row"].tolist() == [1, 3, 4]
    assert [f.kind for f in table.findings] == ["blank_line"]
    path.write_text("It rose .@up\n", encoding="utf-8")
    with pytest.raises(InputError, match="row 1, column label: 'up'"):
        read(Source(path=path, format="phrasebank"), "classification")


@pytest.mark.parametrize("indent", [None, 4])
def test_clinc150_splits_and_lines(tmp_path: Path, indent: int | None) -> None:
    document = {
        "oos_train": [['odd "one" [', "oos"]],
        "train": [["a {", "x"], ["b", "y"]],
        "test": [["c", "x"]],
    }
    path = tmp_path / "c.json"
    text = json.dumps(document, indent=indent)
    path.write_text(text, encoding="utf-8")
    frame = read(Source(path=path, format="clinc150", split="train+oos_train"), "classification").frame
    assert frame["text"].tolist() == ["a {", "b", 'odd "one" [']
    if indent is None:
        assert frame["row"].tolist() == [1, 1, 1]
    else:
        lines = text.splitlines()
        assert all(json.dumps(t) in lines[r] for t, r in zip(frame["text"], frame["row"], strict=True))
    assert len(read(Source(path=path, format="clinc150"), "classification").frame) == 2
    with pytest.raises(InputError, match="no split 'val'"):
        read(Source(path=path, format="clinc150", split="val"), "classification")
    path.write_text('{"train": [["a", "x"], "b"]}', encoding="utf-8")
    with pytest.raises(InputError, match="pairs"):
        read(Source(path=path, format="clinc150"), "classification")


def test_coded_labels_are_named_and_others_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\na,0\nb,1\nc,2\n", encoding="utf-8")
    frame = read(Source(path=path, format="twitter_fin_sentiment"), "classification").frame
    assert frame["label"].tolist() == ["negative", "positive", "neutral"]
    frame = read(Source(path=path, format="twitter_fin_topic"), "classification").frame
    assert frame["label"].tolist() == list(FINANCE_TOPICS[:3])
    path.write_text("sentence\tlabel\na\t3\n", encoding="utf-8")
    with pytest.raises(InputError, match="row 2, column label: '3'"):
        read(Source(path=path, format="sst2"), "classification")


REAL = [
    ("banking77", "banking77/train.csv", None, 10_003, 77),
    ("banking77", "banking77/test.csv", None, 3_080, 77),
    ("clinc150", "clinc150/data_full.json", None, 15_000, 150),
    ("clinc150", "clinc150/data_full.json", "val+oos_val", 3_100, 151),
    ("clinc150", "clinc150/data_full.json", "test+oos_test", 5_500, 151),
    ("phrasebank", "phrasebank/Sentences_50Agree.txt", None, 4_846, 3),
    ("phrasebank", "phrasebank/Sentences_AllAgree.txt", None, 2_264, 3),
    ("sentfin", "sentfin/SEntFiN.csv", None, 10_753, 3),
    ("twitter_fin_topic", "twitter_fin_topic/train.csv", None, 16_990, 20),
    ("twitter_fin_topic", "twitter_fin_topic/validation.csv", None, 4_117, 20),
    ("twitter_fin_sentiment", "twitter_fin_sentiment/sent_train.csv", None, 9_543, 3),
    ("twitter_fin_sentiment", "twitter_fin_sentiment/sent_valid.csv", None, 2_388, 3),
    ("sst2", "sst2/train.tsv", None, 60_614, 2),
    ("sst2", "sst2/dev.tsv", None, 6_735, 2),
    ("sst2", "sst2/test.tsv", None, 872, 2),
    ("chnsenticorp", "chnsenticorp/train.tsv", None, 9_600, 2),
    ("chnsenticorp", "chnsenticorp/dev.tsv", None, 1_200, 2),
    ("chnsenticorp", "chnsenticorp/test.tsv", None, 1_200, 2),
]


@pytest.mark.parametrize(("name", "file", "part", "count", "labels"), REAL)
def test_real_sets_are_read_whole(name: str, file: str, part: str | None, count: int, labels: int) -> None:
    path = get_settings().datasets / file
    if not path.exists():
        pytest.skip(f"{path} is not here; point HEADWATER_DATASETS at the folder of public data sets")
    table = read(Source(path=path, format=name, split=part), "classification")
    left_out = sum(f.count for f in table.findings if f.kind == "mixed_sentiment")
    assert len(table.frame) + left_out == count
    assert table.frame["label"].nunique() == labels
    assert table.frame["row"].is_monotonic_increasing or name == "clinc150"
    assert not table.frame["text"].isna().any()


def test_topic_names_are_the_published_ones() -> None:
    path = get_settings().datasets / "twitter_fin_topic/classes.txt"
    if not path.exists():
        pytest.skip(f"{path} is not here; point HEADWATER_DATASETS at the folder of public data sets")
    assert tuple(path.read_text(encoding="utf-8").splitlines()) == FINANCE_TOPICS


def test_sentfin_entities_lose_none() -> None:
    path = get_settings().datasets / "sentfin/SEntFiN.csv"
    if not path.exists():
        pytest.skip(f"{path} is not here; point HEADWATER_DATASETS at the folder of public data sets")
    frame = read(Source(path=path, format="sentfin-entities"), "classification").frame
    # Every entry of the dict has one quoted sentiment after a colon, however its name is written.
    assert len(frame) == path.read_text(encoding="utf-8").count(": 'ne") + path.read_text(encoding="utf-8").count(
        ": 'positive'"
    )
    assert frame["row"].nunique() == 10_753


def test_every_format_describes_itself() -> None:
    for name, format in FORMATS.items():
        assert format.name == name
        assert format.description
        assert (format.licence is None) == (format.columns is None)
