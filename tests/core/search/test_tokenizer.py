"""Words, numbers, codes and Chinese become terms that meet when people would say they are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.search.tokenizer import STOP_WORDS, tokenize


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Refunds", "refund"),
        ("cancelling my ORDER", "cancel order"),
        ("customer's", "customers"),
        ("1,234.50", "1234.5"),
        ("0.50", "0,5"),
        ("ＡＢ－１２３", "AB-123"),
        ("STRASSE", "straße"),
        ("can’t", "can't"),
    ],
)
def test_writings_of_the_same_thing_meet(one: str, other: str) -> None:
    assert set(tokenize(one)) & set(tokenize(other))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("AB-1234/x", ["ab-1234/x", "ab", "1234", "x"]),
        ("3.5%", ["3.5", "3.5%"]),
        ("$1,234.50 and €20", ["1234.5", "20"]),
        ("取消订单", ["取", "消", "订", "单", "取消", "消订", "订单"]),
        ("iphone15", ["iphone15", "iphone", "15"]),
        ("do not pay", ["not", "pay"]),
        ("", []),
        ("?!… \x00", []),
    ],
)
def test_terms(text: str, terms: list[str]) -> None:
    assert sorted(tokenize(text)) == sorted(terms)


def test_scripts_can_be_mixed_without_a_space() -> None:
    terms = tokenize("我的iPhone15坏了 call 400-800-1234")
    assert {"我的", "坏了", "iphone15", "15", "call", "400-800-1234", "800"} <= set(terms)


def test_stop_words_are_the_callers_choice() -> None:
    assert tokenize("the order", frozenset()) == ["the", "order"]
    assert tokenize("the order", frozenset({"order"})) == ["the"]


@given(st.text(max_size=200))
def test_any_text_gives_terms_without_spaces_or_stop_words(text: str) -> None:
    terms = tokenize(text)
    assert all(term and not any(c.isspace() for c in term) for term in terms)
    assert not STOP_WORDS.intersection(terms)
    assert tokenize(text) == terms


@given(st.lists(st.sampled_from(["refund", "AB-12", "1,000", "订单", "3%", "it's"]), max_size=8))
def test_words_are_independent_of_their_neighbours(words: list[str]) -> None:
    assert tokenize(" ".join(words)) == [term for word in words for term in tokenize(word)]


@given(st.integers(0, 10**9), st.integers(0, 99))
def test_grouping_and_zeros_do_not_matter(whole: int, cents: int) -> None:
    plain = tokenize(f"{whole}.{cents:02}")
    assert tokenize(f"{whole:,}.{cents:02}0") == plain
    assert len(plain) == 1 and float(plain[0]) == float(f"{whole}.{cents:02}")
