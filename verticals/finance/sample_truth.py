"""The synthetic sample's own labels in a labeller's place: to judge models against, and for tests without models."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verticals.finance.sample_feed import FOLDER, load_articles

if TYPE_CHECKING:
    import numpy as np

SURE = 0.9  # the probability that a truth is given, so that nothing downstream sees ones and zeros alone
WIDTH = 64


@dataclass(frozen=True)
class Toward:
    """A company that is named; toward it the article's own sentiment counts."""

    code: str
    name: str
    sentiment: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a model's tag has them."""
        spread = _spread(self.sentiment)
        score = spread["positive"] - spread["negative"]
        return {**self.__dict__, "probabilities": spread, "score": score, "start": 0, "end": 0}


@dataclass(frozen=True)
class Truth:
    """What the sample says about one of its articles."""

    sentiment: str
    probabilities: Mapping[str, float]
    topic: str | None
    topic_probability: float | None
    companies: tuple[Toward, ...]
    vector: "np.ndarray[Any, Any]"


def _spread(sentiment: str) -> dict[str, float]:
    rest = (1 - SURE) / 2
    return {name: SURE if name == sentiment else rest for name in ("negative", "neutral", "positive")}


class TruthLabeller:
    """Looks labels up by title. What is not of the sample is neutral and has no topic."""

    version = "sample-truth:1"

    def __init__(self, folder: Path = FOLDER) -> None:
        import csv

        self._by_title = {a.title: a for a in load_articles(folder / "articles.jsonl", datetime.now(UTC))}
        with (folder / "companies.csv").open(encoding="utf-8", newline="") as stream:
            self._names = {row["code"]: row["name"] for row in csv.DictReader(stream)}

    def label(self, articles: Sequence[Any]) -> list[Truth]:
        """One answer for each article; articles of one story get one vector."""
        return [self._one(article.title) for article in articles]

    def _one(self, title: str) -> Truth:
        found = self._by_title.get(title)
        if found is None:
            return Truth("neutral", _spread("neutral"), None, None, (), _direction(title))
        companies = tuple(Toward(code, self._names.get(code, code), found.sentiment) for code in found.companies)
        return Truth(found.sentiment, _spread(found.sentiment), found.topic, SURE, companies, _direction(found.story))


def _direction(name: str) -> "np.ndarray[Any, Any]":
    """A unit vector that only this name has."""
    import numpy as np

    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    drawn = np.random.default_rng(seed).standard_normal(WIDTH)
    return np.asarray(drawn / np.linalg.norm(drawn), dtype=np.float32)
