"""Corrections: kept once, read in order, written as rows that the readers take."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.data.readers import read
from core.data.sources import Source
from core.errors import InputError
from core.operations.feedback import Correction, corrections, latest, record, write_rows
from tests.core.operations.conftest import Clock


def one(clock: Clock, text: str = "Profit fell", **other: object) -> Correction:
    values = {"label": "negative", "actor": "mei", "source": "relabel-17", "detail": {"before": "neutral"}, **other}
    return Correction(vertical="finance", task="sentiment", text=text, time=clock(), **values)  # type: ignore[arg-type]


def test_an_act_counts_once(engine: Engine, clock: Clock) -> None:
    assert record(engine, one(clock))
    assert not record(engine, one(clock, label="positive"))
    assert corrections(engine, "finance", "sentiment") == [one(clock)]
    assert record(engine, replace(one(clock), task="topic")), "the same act may correct several models"
    assert corrections(engine, "support", "sentiment") == []


def test_it_joins_the_callers_transaction(engine: Engine, clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        assert record(connection, one(clock))
        raise ZeroDivisionError
    assert corrections(engine, "finance", "sentiment") == []


def test_since_and_order(engine: Engine, clock: Clock) -> None:
    late = one(clock, source="b")
    early = replace(late, source="a", time=clock() - timedelta(days=1))
    for correction in (late, early):
        record(engine, correction)
    assert corrections(engine, "finance", "sentiment") == [early, late]
    assert corrections(engine, "finance", "sentiment", since=clock()) == [late]


def test_the_last_word_counts(clock: Clock) -> None:
    first, other, second = one(clock), one(clock, text="Sales rose"), one(clock, label="neutral")
    assert latest([first, other, second]) == [other, second]


def test_rows_are_read_by_the_readers(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    texts = ['A "quoted" line\nand another', "利润下降", "Profit fell"]
    found = [one(clock, text=text, source=str(n)) for n, text in enumerate(texts)]
    assert write_rows([*found, one(clock, label="positive")], path) == 3
    frame = read(Source(path=path), "classification").frame
    assert frame["text"].tolist() == texts
    assert frame["label"].tolist() == ["negative", "negative", "positive"]


def test_pairs_are_read_by_the_readers(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows([one(clock, pair="A film about it", label="1")], path, pair="document", text="query")
    frame = read(Source(path=path), "ranking").frame
    assert frame[["query", "document", "label"]].values.tolist() == [["Profit fell", "A film about it", 1.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": " "}, "text is empty"),
        ({"actor": ""}, "actor is empty"),
        ({"label": None}, "neither label nor pair"),
        ({"label": " "}, "label is empty"),
        ({"text": "a\0b"}, "NUL"),
        ({"text": "x" * 100_001}, "100,001 characters"),
    ],
)
def test_what_says_nothing_is_refused(sqlite: Engine, clock: Clock, change: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        record(sqlite, replace(one(clock), **change))
    assert corrections(sqlite, "finance", "sentiment") == []
