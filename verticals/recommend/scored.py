"""What the recommender answers: rows with scores, probabilities, ranks and reasons, and what rules and variety did."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from verticals.recommend.explanation import Reason


@dataclass(frozen=True)
class Scored:
    """One item of a list. ``rank`` counts from 1; ``seen``: the user had it before.

    ``score`` has the ranker's own unit, ``probabilities`` say how often such an item is viewed, …, bought.
    """

    item: str
    title: str
    category: str
    rank: int
    score: float
    probabilities: dict[str, float]
    seen: bool
    rules: tuple[str, ...]
    reason: Reason | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``reason`` is None beyond the rows that were to be explained."""
        reason = None if self.reason is None else self.reason.to_dict()
        return {**vars(self), "rules": list(self.rules), "reason": reason}


@dataclass(frozen=True)
class ScoredList:
    """All candidates, best first, and how they came to their order.

    ``basis``: "history", "interest", "history and interest" or "popular" (nothing was known). ``ranker``: "trees",
    "blend", or "blend for newcomers". ``variety`` is the dial, ``ild`` the diversity of the first ten places;
    ``rules``: cost and what could not be met. ``notes`` tell what was put right in the request.
    """

    user: str | None
    basis: str
    ranker: str
    model: int
    data: int
    rows: tuple[Scored, ...]
    weights: dict[str, float]
    variety: float
    ild: float
    rules: dict[str, Any]
    notes: tuple[str, ...]
    latency_ms: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ``{"user", "basis", "ranker", …, "candidates": [row, …]}``."""
        told = {name: value for name, value in vars(self).items() if name not in ("rows", "notes")}
        return {**told, "notes": list(self.notes), "candidates": [row.to_dict() for row in self.rows]}

    def to_frame(self) -> pd.DataFrame:
        """One row a candidate for CSV or Parquet, probabilities in columns of their own."""
        return frame_of([self])


def frame_of(lists: Sequence[ScoredList]) -> pd.DataFrame:
    """The rows of several lists under each other, with the user first."""
    rows = []
    for one in lists:
        for row in one.rows:
            near = row.reason.closest[0][0] if row.reason and row.reason.closest else ""
            rows.append(
                {
                    "user": one.user or "",
                    "rank": row.rank,
                    "item": row.item,
                    "title": row.title,
                    "category": row.category,
                    "score": row.score,
                    **{f"p_{kind}": value for kind, value in row.probabilities.items()},
                    "closest": near,
                    "words": " ".join(row.reason.words) if row.reason else "",
                    "rules": "; ".join(row.rules),
                }
            )
    return pd.DataFrame(rows)
