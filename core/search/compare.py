"""What a new version of an index changes for queries people really ask."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.search.encoding import Encoder
from core.search.hybrid import Hit, HybridIndex

Search = Callable[[str, int], Sequence[Hit]]


@dataclass(frozen=True)
class QueryChange:
    """One query's first k results in two versions."""

    query: str
    overlap: float
    """Share of the k results that both have."""
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    moved: dict[str, tuple[int, int]]
    """Ranks before and after, from 1, of documents in both whose rank changed."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        moved = {name: list(ranks) for name, ranks in self.moved.items()}
        lists = {"gained": list(self.gained), "lost": list(self.lost), "moved": moved}
        return {"query": self.query, "overlap": self.overlap, **lists}


def diff(queries: Sequence[str], old: Search, new: Search, k: int = 10) -> list[QueryChange]:
    """Compare two versions on saved queries; the most changed first."""
    changes = [_change(query, [h.id for h in old(query, k)], [h.id for h in new(query, k)]) for query in queries]
    return sorted(changes, key=lambda change: change.overlap)


def _change(query: str, before: Sequence[str], after: Sequence[str]) -> QueryChange:
    ranks = {name: (before.index(name) + 1, after.index(name) + 1) for name in before if name in after}
    longest = max(len(before), len(after))
    return QueryChange(
        query,
        len(ranks) / longest if longest else 1.0,
        tuple(name for name in after if name not in ranks),
        tuple(name for name in before if name not in ranks),
        {name: pair for name, pair in ranks.items() if pair[0] != pair[1]},
    )


def diff_versions(
    root: Path, encoder: Encoder, queries: Sequence[str], old: int, new: int | None = None, k: int = 10
) -> list[QueryChange]:
    """Compare two versions of a saved index; ``new`` is the served one unless given."""
    before, after = HybridIndex.open(root, encoder, old), HybridIndex.open(root, encoder, new)
    return diff(queries, before.search, after.search, k)
