"""A tiny encoder whose cosines can be worked out by hand."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest


@dataclass
class WordEncoder:
    """Each known word is an axis, and synonyms share one; other words fall on one of the remaining axes."""

    fingerprint: str = "words-1"
    encoded: list[str] = field(default_factory=list)
    _axes = {"refund": 0, "money": 0, "reimbursement": 0, "password": 1, "login": 1, "parcel": 2, "delivery": 2}

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        self.encoded += texts
        result = np.zeros((len(texts), 32), dtype=np.float32)
        for row, text in zip(result, texts, strict=True):
            for word in text.lower().split():
                other = 3 + int(hashlib.sha256(word.encode()).hexdigest(), 16) % 29
                row[self._axes.get(word, other)] += 1.0 if word in self._axes else 0.2
        return result / np.maximum(np.linalg.norm(result, axis=1, keepdims=True), 1e-9)


@pytest.fixture
def encoder() -> WordEncoder:
    return WordEncoder()


def unit_vectors(rows: int, dimension: int = 16, seed: int = 0, clusters: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.standard_normal((rows, dimension)).astype(np.float32)
    if clusters:
        centres = random.standard_normal((clusters, dimension)).astype(np.float32)
        values = centres[random.integers(clusters, size=rows)] + 0.5 * values
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture(name="unit_vectors", scope="session")
def unit_vectors_fixture() -> object:
    return unit_vectors
