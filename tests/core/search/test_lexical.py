"""BM25 finds by words; its scores are shares of what the query asks."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.search.lexical import LexicalIndex

TEXTS = ["refund for order AB-1234", "reset the password", "订单取消", "refund refund refund policy", ""]


def test_the_text_with_the_words_wins() -> None:
    index = LexicalIndex.build(TEXTS)
    assert int(index.scores("where is AB-1234?").argmax()) == 0
    assert int(index.scores("passwords").argmax()) == 1
    assert int(index.scores("取消我的订单").argmax()) == 2


def test_a_query_about_something_else_scores_low() -> None:
    index = LexicalIndex.build(TEXTS)
    assert index.scores("weather forecast tomorrow").max() == 0.0
    assert index.scores("").max() == 0.0
    # Of three terms of which two are nowhere, less than half can be found.
    assert 0 < index.scores("password weather forecast").max() < 0.5


def test_formula_by_hand() -> None:
    """One term in one of two texts of equal length: idf × tf / (tf + k1), over idf."""
    scores = LexicalIndex.build(["apple", "pear"], k1=1.2).scores("apple")
    assert np.allclose(scores, [1 / (1 + 1.2), 0.0], atol=1e-5)


def test_saved_and_opened_is_the_same(tmp_path: Path) -> None:
    index = LexicalIndex.build(TEXTS)
    index.save(tmp_path)
    opened = LexicalIndex.open(tmp_path)
    for query in ("refund", "密码", "AB-1234 password"):
        assert np.allclose(opened.scores(query), index.scores(query))


def test_stop_words_are_kept_with_the_index(tmp_path: Path) -> None:
    index = LexicalIndex.build(["the who", "order"], stop_words=frozenset({"order"}))
    index.save(tmp_path)
    opened = LexicalIndex.open(tmp_path)
    assert opened.scores("the who")[0] > 0 and opened.scores("order").max() == 0


def test_nothing_to_index(tmp_path: Path) -> None:
    index = LexicalIndex.build(["", "the"])
    index.save(tmp_path)
    assert LexicalIndex.open(tmp_path).scores("refund").tolist() == [0.0, 0.0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=8), st.text(max_size=30))
def test_scores_are_shares(texts: list[str], query: str) -> None:
    scores = LexicalIndex.build(texts).scores(query)
    assert scores.shape == (len(texts),)
    assert ((scores >= 0) & (scores <= 1)).all()
