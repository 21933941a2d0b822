"""MovieLens-100k with plots as the recommender's benchmarks read it: one protocol for every part.

Ratings of 4 stars and up are events; the last 20% of each user (rounded down) are held out; every item of the catalogue
is ranked, without those the user has in train.
"""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from core.settings import Settings
from verticals.recommend.behaviour import read_events
from verticals.recommend.candidates import Source
from verticals.recommend.evaluation import Bench, Judged
from verticals.recommend.histories import Float32, Histories, Ints, histories
from verticals.recommend.items import Items, read_items
from verticals.recommend.splits import temporal_split
from verticals.recommend.validation import validate
from verticals.recommend.vectors import ItemVectors


@dataclass(frozen=True)
class Data:
    """MovieLens, split: what is known of each user, what each turned to later, and the encoded texts."""

    items: Items
    train: Histories
    later: list[Ints]
    vectors: Float32
    split: dict[str, Any]


def load(settings: Settings) -> Data:
    """Read, check, split and encode; the vectors are cached."""
    folder = settings.datasets / "movielens100k"
    items = read_items(folder / "items_info.json", "movielens")
    checked = validate(read_events(folder / "ratings.csv", "movielens"), items, lambda: datetime.now(UTC))
    split = temporal_split(checked.events.only(["like"]), "user", 0.2)
    users, train = histories(split.train, items)
    _, after = histories(split.test, items, users)
    later = [np.unique(after.of(user)[0]) for user in range(len(users))]
    told = {**split.to_dict(), "items": len(items), "users": len(users)}
    return Data(items, train, later, _vectors(items), told)


def judge(bench: Bench, system: Source, resamples: int) -> Judged:
    """Judge one system and say so on stderr."""
    judged = bench.judge(system, resamples)
    shown = ", ".join(f"{name} {judged.values[name].value:.4f}" for name in ("ndcg@10", "recall@20"))
    say(f"{system.name}: {shown}, coverage@10 {judged.coverage:.3f}")
    return judged


def _vectors(items: Items) -> Float32:
    """Title and plot by the untuned MiniLM, unit length; what is encoded stays in the embedding cache."""
    texts = [f"{title}. {plot}" for title, plot in zip(items.frame["title"], items.frame["description"], strict=True)]
    known = ItemVectors("minilm")
    parts = []
    for start in range(0, len(texts), 100):
        parts.append(known.of(texts[start : start + 100]))
        if start % 500 == 0:
            say(f"texts encoded: {start + len(parts[-1])} of {len(texts)}")
    return np.concatenate(parts)


def say(line: str) -> None:
    """One line for whoever waits."""
    print(line, file=sys.stderr, flush=True)
