"""Vectors by id: every kind, filters, changes while others search, and a dictionary as the model."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core.errors import InputError
from core.search.vector import VectorIndex

DIMENSION = 16


def unit(rng: np.random.Generator, rows: int, clusters: int = 30) -> np.ndarray:
    centres = rng.normal(size=(clusters, DIMENSION))
    vectors = centres[rng.integers(clusters, size=rows)] + 0.5 * rng.normal(size=(rows, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def exact(vectors: np.ndarray, query: np.ndarray, k: int) -> list[int]:
    return np.argsort(-(vectors @ query), kind="stable")[:k].tolist()


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-sq8", "ivf-pq"])
def test_every_kind_finds_what_exact_search_finds(kind: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    vectors, queries = np.split(unit(rng, 4050), [4000])
    index = VectorIndex.build([str(i) for i in range(4000)], vectors, kind=kind)
    index.save(tmp_path)
    again = VectorIndex.open(tmp_path)
    assert (len(again), again.kind) == (4000, kind)
    found = index.search(queries, 10)
    hits = sum(
        len({int(i) for i, _ in line} & set(exact(vectors, q, 10))) for q, line in zip(queries, found, strict=True)
    )
    assert hits / 500 >= 0.95
    for line, query in zip(found, queries, strict=True):
        scores = [score for _, score in line]
        assert scores == sorted(scores, reverse=True)
        assert scores == pytest.approx([float(vectors[int(i)] @ query) for i, _ in line], abs=1e-4)
    assert [[i for i, _ in line] for line in again.search(queries, 10)] == [[i for i, _ in line] for line in found]


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-sq8"])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.9])
def test_a_filter_leaves_k_hits_where_k_match(kind: Any, share: float) -> None:
    rng = np.random.default_rng(4)
    vectors = unit(rng, 3000)
    groups = np.where(rng.random(3000) < share, "mine", "theirs")
    index = VectorIndex.build([str(i) for i in range(3000)], vectors, [{"group": g} for g in groups], kind)
    mine = np.flatnonzero(groups == "mine")
    for query in unit(rng, 10):
        found = index.search(query, 5, {"group": "mine"})[0]
        assert len(found) == min(5, len(mine))
        assert {int(i) for i, _ in found} <= set(mine.tolist())
        assert int(found[0][0]) == mine[np.argmax(vectors[mine] @ query)]


def test_searches_go_on_while_rows_come_and_go() -> None:
    rng = np.random.default_rng(5)
    vectors = unit(rng, 6000)
    index = VectorIndex.build([str(i) for i in range(3000)], vectors[:3000])
    stop, problems = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            found = index.search(vectors[:4], 5)
            if any(len(line) != 5 or len({i for i, _ in line}) != 5 for line in found):
                problems.append(found)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for start in range(3000, 6000, 300):
        ids = [str(i) for i in range(start, start + 300)]
        index.upsert(ids, vectors[start : start + 300])
        index.remove(ids[:50])
    stop.set()
    for reader in readers:
        reader.join()
    assert not problems and len(index) == 3000 + 10 * 250
    assert index.search(vectors[5999], 1)[0][0][0] == "5999" and "3000" not in index


class AgainstADictionary(RuleBasedStateMachine):
    """The index behaves like a dictionary that is searched one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(9)
        self.model: dict[str, np.ndarray] = {}
        self.index = VectorIndex.build([], np.empty((0, DIMENSION), dtype=np.float32))

    @rule(ids=st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True))
    def upsert(self, ids: list[int]) -> None:
        vectors = unit(self.rng, len(ids))
        self.index.upsert([str(i) for i in ids], vectors, [{"odd": i % 2} for i in ids])
        self.model |= {str(i): vector for i, vector in zip(ids, vectors, strict=True)}

    @rule(ids=st.lists(st.integers(0, 30), max_size=8))
    def remove(self, ids: list[int]) -> None:
        there = {str(i) for i in ids} & set(self.model)
        assert self.index.remove([str(i) for i in ids]) == len(there)
        self.model = {name: vector for name, vector in self.model.items() if name not in there}

    @rule()
    def save_and_open(self) -> None:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            self.index.save(Path(folder))
            self.index = VectorIndex.open(Path(folder))

    @invariant()
    def finds_the_same(self) -> None:
        assert len(self.index) == len(self.model)
        query = unit(self.rng, 1)[0]
        for where, names in ((None, list(self.model)), ({"odd": 1}, [n for n in self.model if int(n) % 2])):
            best = sorted(((float(self.model[n] @ query), n) for n in names), reverse=True)[:3]
            found = self.index.search(query, 3, where)[0]
            assert [score for _, score in found] == pytest.approx([score for score, _ in best], abs=1e-5)


AgainstADictionary.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
TestAgainstADictionary = AgainstADictionary.TestCase


def test_mistakes_are_one_sentence() -> None:
    vectors = np.eye(3, dtype=np.float32)
    with pytest.raises(InputError, match="id 'a' is there twice"):
        VectorIndex.build(["a", "b", "a"], vectors)
    with pytest.raises(InputError, match="2 ids, vectors of shape"):
        VectorIndex.build(["a", "b"], vectors)
    with pytest.raises(InputError, match="the vector of id 'b' is not finite"):
        VectorIndex.build(["a", "b"], np.array([[1, 0], [np.nan, 1]]))
    index = VectorIndex.build(["a", "b", "c"], vectors)
    with pytest.raises(InputError, match="queries have 2 dimensions, the index 3"):
        index.search(np.ones(2), 1)
    with pytest.raises(InputError, match="k is 0"):
        index.search(np.ones(3), 0)
    with pytest.raises(InputError, match="vectors have 2 dimensions"):
        index.upsert(["d"], np.ones((1, 2)))
