"""The search benchmark on data small enough to check by hand."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks import search
from benchmarks.search_data import Cached, corpus, enlarge
from benchmarks.search_quality import bankfaqs, measure, stackfaq


class Letters:
    """A text's letters, counted."""

    fingerprint = "letters"

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        self.calls += 1
        counts = np.array([[text.lower().count(c) + 0.01 for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    faqs = [
        {"question": f"{word} how", "answer": [f"use {word} now", ""], "rephr": [f"how {word}", "*", None]}
        for word in ("alpha", "bravo", "cocoa", "delta", "ember", "fjord")
    ]
    (folder / "stack.json").write_text(json.dumps({"root": {"qapair": faqs}}))
    rows = [("alpha ok", "gamma one"), ("alpha ok", "zulu two"), ("bravo", "bravo three"), ("bravo", "bravo three")]
    with (folder / "bank.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("Question", "Answer", "Class"), *[(*row, "c") for row in rows]])
    return folder


def test_collections(datasets: Path) -> None:
    questions, answers, both, apart = stackfaq(datasets / "stack.json")
    assert len(apart.documents) == 6 and apart.queries[1] == ("how bravo", ("1",))
    assert [len(c.queries) for c in (questions, answers, both)] == [6, 6, 6]  # neither * nor null is a query
    assert [len(c.texts()) for c in (questions, answers, both)] == [6, 6, 12]
    (bank,) = bankfaqs(datasets / "bank.csv")
    assert bank.queries == (("alpha ok", ("0", "1")), ("bravo", ("2",)))
    assert [d.texts for d in bank.documents] == [("gamma one",), ("zulu two",), ("bravo three",)]


def test_quality(datasets: Path, tmp_path: Path) -> None:
    found = measure(stackfaq(datasets / "stack.json")[0], Cached(Letters(), tmp_path / "cache", {}), resamples=50)
    assert set(found["systems"]) == {"lexical", "semantic", "ranks", "fitted"}
    assert len(found["fitted_weights"]) == 5
    for name in ("lexical", "fitted"):  # each query has the one word that only its document has
        assert found["systems"][name]["mrr@10"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_vectors_are_computed_once(tmp_path: Path) -> None:
    encoder = Letters()
    texts = [f"text {c}" for c in "abcdef"] * 2
    first = Cached(encoder, tmp_path, {}).prepare(texts)
    again = Cached(encoder, tmp_path, {}).prepare(texts)
    assert encoder.calls == 1 and np.array_equal(first, again) and first.shape == (12, 26)


def test_enlarged_vectors_are_near_real_ones() -> None:
    random = np.random.default_rng(0)
    real = random.standard_normal((400, 32)).astype(np.float32)
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    many = enlarge(real, 3000)
    assert many.shape == (3000, 32) and np.allclose(np.linalg.norm(many, axis=1), 1, atol=1e-5)
    assert np.array_equal(many[:400], real) and len(np.unique(many, axis=0)) == 3000
    nearest = (many[400:] @ real.T).max(axis=1)
    strangers = random.standard_normal((500, 32)).astype(np.float32)
    strangers /= np.linalg.norm(strangers, axis=1, keepdims=True)
    assert np.median(nearest) > np.median((strangers @ real.T).max(axis=1)) + 0.1
    assert np.array_equal(enlarge(real, 100), real[:100])


def test_corpus_has_each_text_once_in_a_seeded_order(datasets: Path) -> None:
    texts = corpus(datasets)
    assert len(texts) == len(set(texts)) and "use alpha now" in texts
    assert corpus(datasets, 3) == texts[:3] == corpus(datasets)[:3]


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_latency(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(1)
    rows = random.standard_normal((1550, 24)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = search.latency(rows[:1500], rows[1500:], kind, tmp_path)
    assert found["rows"] == 1500 and found["kind"] == kind
    assert found["recall@10"] == 1.0 if found["kind"] == "flat" else found["recall@10"] > 0.9
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p95"]


def test_plot(tmp_path: Path) -> None:
    part = {"rows": 1000, "asked": "hnsw", "latency_ms": {"p50": 0.1}, "recall@10": 0.99}
    file = tmp_path / "r.json"
    file.write_text(json.dumps({"parts": {"vectors/1000/hnsw": part, "stackfaq": {"skipped": "no data"}}}))
    search.plot(file, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.png", "r.json"]
