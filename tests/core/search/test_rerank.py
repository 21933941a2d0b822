"""Reranking keeps to its budget."""

import time
from collections.abc import Sequence

import numpy as np

from core.search.rerank import Reranker


def test_all_are_scored_when_there_is_time() -> None:
    def lengths(query: str, texts: Sequence[str]) -> np.ndarray:
        return np.array([len(text) for text in texts])

    assert Reranker(lengths, budget_ms=10_000, batch=2)("q", ["a", "bb", "ccc"]).tolist() == [1, 2, 3]


def test_what_does_not_fit_is_left_out() -> None:
    def slow(query: str, texts: Sequence[str]) -> np.ndarray:
        time.sleep(0.03)
        return np.ones(len(texts))

    started = time.perf_counter()
    scores = Reranker(slow, budget_ms=100, batch=1)("q", ["text"] * 50)
    assert 1 <= len(scores) <= 3
    assert time.perf_counter() - started < 1.0


def test_the_first_batch_is_always_scored() -> None:
    assert len(Reranker(lambda q, t: np.zeros(len(t)), budget_ms=0, batch=4)("q", ["x"] * 9)) == 4
    assert len(Reranker(lambda q, t: np.zeros(len(t)))("q", [])) == 0
