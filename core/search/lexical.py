"""Matching words: BM25 (Robertson & Zaragoza 2009, the Lucene variant) through bm25s."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.search.tokenizer import STOP_WORDS, tokenize

_SETTINGS = "lexical.json"


@dataclass(frozen=True)
class LexicalIndex:
    """BM25 over texts numbered 0..n-1. Never changes: build another one."""

    size: int
    model: Any  # bm25s.BM25, or None when no text has a term
    k1: float
    b: float
    stop_words: frozenset[str] = STOP_WORDS

    @classmethod
    def build(
        cls, texts: Sequence[str], k1: float = 1.2, b: float = 0.75, stop_words: frozenset[str] = STOP_WORDS
    ) -> "LexicalIndex":
        """Index texts by their order; ``stop_words`` are passed over in texts and queries."""
        import bm25s

        terms = [tokenize(text, stop_words) for text in texts]
        if not any(terms):
            return cls(len(texts), None, k1, b, stop_words)
        model = bm25s.BM25(method="lucene", k1=k1, b=b)
        model.index(terms, show_progress=False)
        return cls(len(texts), model, k1, b, stop_words)

    def scores(self, query: str) -> np.ndarray:
        """float32 [n] in [0, 1]: the share of the query's information that a text holds.

        BM25 divided by the most a text could reach, the sum of the inverse document frequencies of the query's
        terms. A term that no text holds counts in full, so a query about something else scores low everywhere.
        """
        terms = sorted(set(tokenize(query, self.stop_words)))
        if self.model is None or not terms:
            return np.zeros(self.size, dtype=np.float32)
        found = np.asarray(self.model.get_scores(terms), dtype=np.float32)
        return np.clip(found / sum(self._idf(term) for term in terms), 0.0, 1.0)

    def _idf(self, term: str) -> float:
        column = self.model.vocab_dict.get(term)
        pointers = self.model.scores["indptr"]
        frequency = 0 if column is None else int(pointers[column + 1] - pointers[column])
        return float(np.log1p((self.size - frequency + 0.5) / (frequency + 0.5)))

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        settings: dict[str, Any] = {"size": self.size, "k1": self.k1, "b": self.b, "empty": self.model is None}
        settings["stop_words"] = sorted(self.stop_words)
        (folder / _SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        if self.model is not None:
            self.model.save(str(folder / "bm25"), show_progress=False)

    @classmethod
    def open(cls, folder: Path) -> "LexicalIndex":
        """Read what ``save`` wrote; the postings stay on disk, memory-mapped."""
        import bm25s

        settings = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        model = None if settings["empty"] else bm25s.BM25.load(str(folder / "bm25"), mmap=True)
        return cls(settings["size"], model, settings["k1"], settings["b"], frozenset(settings["stop_words"]))
