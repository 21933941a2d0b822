"""Two lists of scores into one: by weighted scores or by reciprocal ranks, and the weight that logs support."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RANK_CONSTANT = 60  # Cormack, Clarke & Büttcher 2009
_GRID = np.linspace(0.0, 1.0, 41)


def weighted(lexical: np.ndarray, semantic: np.ndarray, weight: float) -> np.ndarray:
    """``weight`` × semantic + (1 - weight) × lexical; both in [0, 1], so the result is, too."""
    return weight * semantic + (1.0 - weight) * lexical


def reciprocal_ranks(lexical: np.ndarray, semantic: np.ndarray, weight: float = 0.5) -> np.ndarray:
    """Reciprocal rank fusion, scaled so that first in both lists is 1. A score of 0 counts as not found."""
    parts = []
    for scores in (semantic, lexical):
        ranks = np.empty(len(scores))
        ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
        parts.append(np.where(scores > 0, (RANK_CONSTANT + 1) / (RANK_CONSTANT + ranks), 0.0))
    return weight * parts[0] + (1.0 - weight) * parts[1]


@dataclass(frozen=True)
class Case:
    """One query's candidate texts, all arrays [n]: both scores, the document each leads to, and which are right."""

    lexical: np.ndarray
    semantic: np.ndarray
    documents: np.ndarray
    relevant: np.ndarray


def best_weight(cases: Sequence[Case], k: int = 10) -> tuple[float, float]:
    """The semantic weight with the highest mean reciprocal rank at k, and that figure.

    Mixing has to earn its place: unless it beats the better of the two parts alone by more than two standard
    errors of the paired difference, that part gets all the weight. Of equally good weights the middle one is taken.
    """
    ranks = np.array([[_reciprocal_rank(case, weight, k) for case in cases] for weight in _GRID])
    quality = ranks.mean(axis=1)
    winners = np.flatnonzero(np.isclose(quality, quality.max()))
    chosen = int(winners[len(winners) // 2])
    alone = len(_GRID) - 1 if quality[-1] >= quality[0] else 0
    gains = ranks[chosen] - ranks[alone]
    if gains.mean() <= 2 * gains.std() / np.sqrt(len(gains)):
        chosen = alone
    return float(_GRID[chosen]), float(quality[chosen])


def _reciprocal_rank(case: Case, weight: float, k: int) -> float:
    """Of the first right document, by each document's best text; a tie counts against it."""
    if not case.relevant.any():
        return 0.0
    scores = weighted(case.lexical, case.semantic, weight)
    ahead = case.documents[(scores >= scores[case.relevant].max()) & ~case.relevant]
    rank = 1 + len(np.unique(ahead))
    return 1.0 / rank if rank <= k else 0.0
