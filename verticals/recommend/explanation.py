"""Why an item is on a list: the past items closest to it, the words they share, and what each feature added."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from verticals.recommend.histories import Float32, Histories, Ints
from verticals.recommend.hybrid import Hybrid
from verticals.recommend.items import Items

_WORD = re.compile(r"[^\W\d_]{3,}|[\u4e00-\u9fff]{2,}")
_SHARED_BY_MOST = 0.1  # a word in a tenth of all items says nothing about one of them


@dataclass(frozen=True)
class Reason:
    """Why one item was recommended; ``contributions`` are sorted by size, the largest first."""

    item: str
    closest: tuple[tuple[str, float], ...]
    words: tuple[str, ...]
    contributions: tuple[tuple[str, float], ...]
    rules: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """``{"item", "closest": [{"item", "cosine"}], "words", "contributions": {name: value}, "rules"}``."""
        return {
            "item": self.item,
            "closest": [{"item": item, "cosine": cosine} for item, cosine in self.closest],
            "words": list(self.words),
            "contributions": dict(self.contributions),
            "rules": list(self.rules),
        }


@dataclass(frozen=True)
class Words:
    """The words of each item and in how many items each word stands."""

    of: tuple[frozenset[str], ...]
    counts: Counter[str]

    def shared(self, item: int, others: Sequence[int], limit: int = 5) -> tuple[str, ...]:
        """Words of the item that stand in one of the others, the rarest first; common ones are left out."""
        rare = _SHARED_BY_MOST * len(self.of) + 1
        theirs = frozenset().union(*(self.of[other] for other in others)) if others else frozenset()
        found = [word for word in self.of[item] & theirs if self.counts[word] <= rare]
        return tuple(sorted(found, key=lambda word: (self.counts[word], word))[:limit])


def words_of(items: Items) -> Words:
    """Split the texts of a catalogue once."""
    split = tuple(tokens(text) for text in items.texts)
    return Words(split, Counter(word for words in split for word in words))


@lru_cache(maxsize=1024)
def tokens(text: str) -> frozenset[str]:
    """The words of a text in lower case; Chinese as pairs of neighbouring characters."""
    found: set[str] = set()
    for word in _WORD.findall(text.casefold()):
        if "\u4e00" <= word[0] <= "\u9fff":
            found |= {word[start : start + 2] for start in range(len(word) - 1)}
        else:
            found.add(word)
    return frozenset(found)


def explain(
    hybrid: Hybrid,
    items: Items,
    history: Histories,
    chosen: Ints,
    vectors: Float32,
    words: Words,
    rules: Sequence[Sequence[str]] | None = None,
    closest: int = 3,
) -> list[Reason]:
    """A reason for each of the ``chosen`` items of one user's ``history``; ``vectors`` are unit length [n, d]."""
    past = np.unique(history.of(0)[0])
    names, shares = hybrid.contributions(history, chosen)
    reasons = []
    for row, item in enumerate(chosen.tolist()):
        others = past[past != item]
        cosines = vectors[others] @ vectors[item] if others.size else np.empty(0, dtype=np.float32)
        near = np.argsort(-cosines, kind="stable")[:closest]
        added = sorted(zip(names, shares[0, row].tolist(), strict=True), key=lambda pair: -abs(pair[1]))
        reasons.append(
            Reason(
                item=items.ids[item],
                closest=tuple((items.ids[others[at]], round(float(cosines[at]), 4)) for at in near),
                words=words.shared(item, others[near].tolist()),
                contributions=tuple((name, round(float(value), 6)) for name, value in added),
                rules=tuple(rules[row]) if rules else (),
            )
        )
    return reasons
