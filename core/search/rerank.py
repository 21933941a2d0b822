"""A second, slower look at the first hits, within a budget of time."""

import time
from collections.abc import Callable, Sequence

import numpy as np

Score = Callable[[str, Sequence[str]], np.ndarray]
"""Scores of texts for a query, higher is better; a cross-encoder's ``predict``, for example."""


class Reranker:
    """Scores as many texts as fit into the budget."""

    def __init__(self, score: Score, budget_ms: float = 150.0, batch: int = 8) -> None:
        """``batch`` texts are scored at once; the clock is looked at between batches."""
        self.score = score
        self.budget_ms = budget_ms
        self.batch = batch

    def __call__(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """Scores of the first texts, in order; fewer than there are texts when the time is up."""
        started = time.perf_counter()
        scores: list[np.ndarray] = []
        longest = 0.0
        for start in range(0, len(texts), self.batch):
            begun = time.perf_counter()
            if scores and (begun - started + longest) * 1000 > self.budget_ms:
                break
            scores.append(np.asarray(self.score(query, texts[start : start + self.batch]), dtype=np.float32))
            longest = max(longest, time.perf_counter() - begun)
        return np.concatenate(scores) if scores else np.empty(0, dtype=np.float32)
