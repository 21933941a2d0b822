"""Ranking metrics against scikit-learn and brute force."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from core.errors import InputError
from core.evaluation.retrieval import evaluate_ranking, rank_by_score

GRADES = st.lists(st.integers(0, 3), min_size=2, max_size=25).filter(any)


@settings(deadline=None, max_examples=80)
@given(st.lists(GRADES, min_size=1, max_size=6), st.integers(0, 1000))
def test_agrees_with_scikit_learn_and_brute_force(queries: list[list[int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = [rng.permutation(len(q)).astype(float) for q in queries]
    ranked = [rank_by_score(s, q) for s, q in zip(scores, queries, strict=True)]
    got = {k: v.value for k, v in evaluate_ranking(ranked, ks=(1, 3, 10), resamples=20).metrics.items()}
    binary = [np.array(q) > 0 for q in queries]
    for k in (1, 3, 10):
        pairs = list(zip(queries, scores, strict=True))
        assert got[f"ndcg@{k}"] == pytest.approx(np.mean([ndcg_score([q], [s], k=k) for q, s in pairs]))
        tops = [[q[i] > 0 for i in np.argsort(-s)[:k]] for q, s in pairs]
        firsts = [next((1 / (i + 1) for i, hit in enumerate(top) if hit), 0.0) for top in tops]
        assert got[f"mrr@{k}"] == pytest.approx(np.mean(firsts))
        assert got[f"precision@{k}"] == pytest.approx(np.mean([sum(top) / k for top in tops]))
        recalls = [sum(top) / b.sum() for top, b in zip(tops, binary, strict=True)]
        assert got[f"recall@{k}"] == pytest.approx(np.mean(recalls))
    precisions = [average_precision_score(b, s) for b, s in zip(binary, scores, strict=True)]
    assert got["map"] == pytest.approx(np.mean(precisions))


@given(GRADES, st.integers(1, 30))
def test_every_metric_lies_between_0_and_1_and_grows_with_k(ranked: list[int], k: int) -> None:
    values = evaluate_ranking([ranked], ks=(k, k + 1), gain="exponential", resamples=0).metrics
    assert all(0 <= v.value <= 1 + 1e-12 for v in values.values())
    assert values[f"mrr@{k}"].value <= values[f"mrr@{k + 1}"].value
    assert values[f"recall@{k}"].value <= values[f"recall@{k + 1}"].value


def test_exponential_gain_by_hand() -> None:
    result = evaluate_ranking([[1, 2]], ks=(2,), gain="exponential", resamples=0)
    best = 3 + 1 / np.log2(3)
    assert result.metrics["ndcg@2"].value == pytest.approx((1 + 3 / np.log2(3)) / best)


def test_what_a_cut_off_list_left_out_counts() -> None:
    result = evaluate_ranking([[1, 0]], n_relevant=[4], ks=(2,), resamples=0)
    assert result.metrics["recall@2"].value == 0.25
    assert result.metrics["map"].value == 0.25
    assert result.metrics["ndcg@2"].value == pytest.approx(1 / (1 + 1 / np.log2(3)))
    graded = evaluate_ranking([[1, 0]], grades=[[3, 1]], ks=(2,), resamples=0)
    assert graded.metrics["ndcg@2"].value == pytest.approx(1 / (3 + 1 / np.log2(3)))


def test_queries_with_nothing_to_find_are_left_out_and_counted() -> None:
    result = evaluate_ranking([[1, 0], [0, 0], [0, 1], []], ks=(1,), resamples=50)
    assert (result.n, result.excluded) == (2, 2)
    assert result.metrics["mrr@1"].value == 0.5
    assert list(result.per_query["mrr@1"]) == [1.0, 0.0]
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["excluded"] == 2


def test_a_query_whose_documents_were_not_retrieved_scores_zero() -> None:
    result = evaluate_ranking([[0, 0], []], n_relevant=[1, 2], ks=(5,), resamples=10)
    assert result.n == 2 and all(v.value == 0 for v in result.metrics.values())


def test_equal_scores_do_not_flatter() -> None:
    assert list(rank_by_score([1, 1, 1], [1, 0, 2])) == [0, 1, 2]
    assert list(rank_by_score([1, 1, 1], [1, 0, 2], ties="position")) == [1, 0, 2]
    assert list(rank_by_score([0.1, 0.9, 0.5], [1, 0, 2])) == [0, 2, 1]


def test_wrong_use_is_refused() -> None:
    with pytest.raises(InputError, match="No query"):
        evaluate_ranking([[0, 0]])
    with pytest.raises(InputError, match="not numbers"):
        rank_by_score([np.nan], [1])
    with pytest.raises(ValueError, match="more relevant"):
        evaluate_ranking([[1, 1]], n_relevant=[1])
    with pytest.raises(ValueError, match="counts"):
        evaluate_ranking([[1, 1]], n_relevant=[2, 2])
    with pytest.raises(ValueError, match="cut-offs"):
        evaluate_ranking([[1]], ks=(0,))
    with pytest.raises(ValueError, match="grades"):
        evaluate_ranking([[-1, 1]])
