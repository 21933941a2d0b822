"""Every kind of FAISS index finds what exact search finds, also among few allowed rows."""

from collections.abc import Callable

import numpy as np
import pytest

from core.search import ann

Make = Callable[..., np.ndarray]


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-sq8", "ivf-pq"])
def test_recall(unit_vectors: Make, kind: ann.Kind) -> None:
    rows = unit_vectors(3030, 32, clusters=60)
    vectors, queries = rows[:3000], rows[3000:]
    built = ann.build(vectors, kind)
    assert built.kind == kind
    _, found = built.search(queries, built.candidates(10), None)
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)])
    assert recall >= 0.95


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-sq8"])
def test_only_allowed_rows_are_found(unit_vectors: Make, kind: ann.Kind) -> None:
    vectors = unit_vectors(2000, 16)
    allowed = np.arange(2000) % 3 == 0
    _, found = ann.build(vectors, kind).search(vectors[:20], 10, allowed)
    assert (found >= 0).all() and (found % 3 == 0).all()


def test_too_few_rows_to_train_are_searched_exactly(unit_vectors: Make) -> None:
    assert ann.build(unit_vectors(50), "ivf-pq").kind == "flat"


def test_the_kind_follows_the_size() -> None:
    kinds = [ann.kind_for(rows) for rows in (0, 1_000, 100_000, 10_000_000)]
    assert kinds == ["flat", "flat", "hnsw", "ivf-sq8"]
    limits = [limit for limit, _ in ann.CHOICES]
    assert limits == sorted(limits)


def test_exact_search_in_blocks(unit_vectors: Make) -> None:
    vectors, queries = unit_vectors(500), unit_vectors(7, seed=1)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    assert (ann.exact_search(vectors, queries, 10, block=64) == expected).all()
    assert ann.exact_search(vectors[:3], queries, 10).shape == (7, 3)
