"""Overlap metrics against values worked out by hand, and perplexity."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.generation import (
    chrf,
    corpus_chrf,
    evaluate_generation,
    exact_match,
    perplexity,
    perplexity_from_mean,
    rouge_l,
    token_f1,
    tokens,
)

WORDS = st.lists(st.sampled_from("abcd"), max_size=10)


def longest_common_subsequence(a: list[str], b: list[str]) -> int:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(WORDS, WORDS)
def test_rouge_l_agrees_with_the_textbook_table(a: list[str], b: list[str]) -> None:
    expected = 2 * longest_common_subsequence(a, b) / (len(a) + len(b)) if a or b else 1.0
    assert rouge_l(" ".join(a), " ".join(b)) == pytest.approx(expected)


def test_rouge_l_of_lins_example() -> None:
    # Lin (2004), section 3.2: the same words in another order share a shorter subsequence.
    reference = "police killed the gunman"
    assert rouge_l("police kill the gunman", reference) == pytest.approx(3 / 4)
    assert rouge_l("the gunman kill police", reference) == pytest.approx(2 / 4)


def test_token_f1_and_exact_match_by_hand() -> None:
    assert token_f1("the cat sat", "The cat.") == pytest.approx(2 * 2 / 5)
    assert token_f1("a a a", "a") == pytest.approx(2 * 1 / 4)
    assert exact_match("Hello, World!", "hello world") == 1.0
    assert exact_match("hello world", "world hello") == 0.0
    assert (token_f1("", ""), token_f1("", "a"), token_f1("!", "?")) == (1.0, 0.0, 1.0)


def test_tokens_of_several_scripts() -> None:
    assert tokens("Größe: 3,5 km²!") == ["grösse", "3", "5", "km2"]
    assert tokens("这很好 ok") == ["这", "很", "好", "ok"]


def test_chrf_by_hand() -> None:
    # "abc" against "abd": orders 1 to 3 occur; precision = recall = (2/3 + 1/2 + 0) / 3.
    assert chrf("abc", "abd") == pytest.approx((2 / 3 + 1 / 2) / 3)
    # "ab" against "abcd": precision 1, recall (2/4 + 1/3) / 2 over orders 1 and 2, beta 2.
    recall = (2 / 4 + 1 / 3) / 2
    assert chrf("ab", "abcd") == pytest.approx(5 * recall / (4 + recall))
    assert chrf("a b", "ab") == 1.0
    assert (chrf("", "a"), chrf("a", ""), chrf("x", "y")) == (0.0, 0.0, 0.0)


def test_corpus_chrf_sums_counts_before_dividing() -> None:
    # Unigrams 1 of 1 and 0 of 3, bigrams 0 of 2, trigrams 0 of 1, the same on the reference side.
    assert corpus_chrf(["a", "xyz"], ["a", "uvw"]) == pytest.approx((1 / 4) / 3)


@given(st.text(max_size=20), st.text(max_size=20))
def test_every_metric_lies_between_0_and_1_and_knows_equality(a: str, b: str) -> None:
    for metric in (exact_match, token_f1, rouge_l, chrf):
        assert 0 <= metric(a, b) <= 1
        assert metric(a, a) == pytest.approx(1)


def test_the_best_reference_counts() -> None:
    result = evaluate_generation(["yes", "no"], [["no", "yes"], "no"], resamples=50)
    assert all(i.to_dict() == {"value": 1.0, "low": 1.0, "high": 1.0} for i in result.metrics.values())


def test_corpus_values_are_those_of_the_parts() -> None:
    said, meant = ["the cat sat", "dogs bark"], ["a cat sat down", "dogs"]
    result = evaluate_generation(said, meant, resamples=50)
    pairs = list(zip(said, meant, strict=True))
    assert result.metrics["rouge_l"].value == pytest.approx(np.mean([rouge_l(*p) for p in pairs]))
    assert result.metrics["chrf"].value == pytest.approx(corpus_chrf(said, meant))
    assert set(result.to_dict()["metrics"]) == {"exact_match", "token_f1", "rouge_l", "chrf"}


def test_perplexity_of_a_uniform_model_is_its_vocabulary() -> None:
    interval = perplexity([-3 * math.log(50), -7 * math.log(50)], [3, 7], resamples=50)
    assert interval.to_dict() == pytest.approx({"value": 50, "low": 50, "high": 50})
    assert perplexity_from_mean(-math.log(50)) == pytest.approx(50)
    assert perplexity_from_mean(-1e6) == math.inf
    assert perplexity([-1e6], [1], resamples=5).to_dict() == {"value": None, "low": None, "high": None}


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ValueError, match="references"):
        evaluate_generation(["a"], [])
    with pytest.raises(ValueError, match="no reference"):
        evaluate_generation(["a"], [[]])
