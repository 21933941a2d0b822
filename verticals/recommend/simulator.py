"""Made-up behaviour over real texts: seeded, documented, and labelled synthetic wherever it is shown.

Nobody's behaviour is in it. Each made-up user has a *taste*: a mix of one to three declared interests (short texts of
``data/recommend/interests.toml``), as a point in the latent semantic space of the catalogue's own texts (TF-IDF and
a truncated SVD: not the encoder that the recommender uses, so that a recommender cannot win by sharing the
simulator's eyes). Tastes drift: halfway through, a share of users turn to another interest. Items appear on their
day of publication and have no events before it; the last ones stay cold. On each visit a feed of ``feed`` places
is drawn place by place from a softmax over popularity so far, freshness and a little chance (the *logging policy*;
its probability for each place is logged as the propensity). A user looks at place p with probability
``p ** -attention`` and opens what is seen with a logistic chance in the match of taste and text; likes, comments,
shares and, for products, buys follow with further chances that grow with the match.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from core.errors import InputError
from verticals.recommend.behaviour import Events, tidy
from verticals.recommend.histories import Floats
from verticals.recommend.items import Items

_DAY = 86_400.0
_AFTER = (("like", 0.30), ("comment", 0.06), ("share", 0.10))


class Simulation(BaseModel):
    """The dials of the simulator; the same dials and items give the same events, to the byte."""

    model_config = ConfigDict(extra="forbid")

    users: int = 320
    days: int = 180
    end: datetime = datetime(2026, 6, 30, tzinfo=UTC)
    visits: float = 9.0
    feed: int = 8
    drift: float = 0.35
    attention: float = 0.55
    sharpness: float = 9.0
    openness: float = -3.1
    seed: int = 11


@dataclass(frozen=True)
class Interest:
    """An interest as somebody would declare it."""

    name: str
    text: str


def read_interests(path: str | Path) -> list[Interest]:
    """The ``[[interests]]`` of a TOML file; raises InputError."""
    import tomllib

    try:
        rows = tomllib.loads(Path(path).read_text(encoding="utf-8"))["interests"]
        return [Interest(str(row["name"]), str(row["text"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as interests ({error}); give [[interests]] with name, text.") from None


def simulate(items: Items, interests: Sequence[Interest], dials: Simulation | None = None) -> Events:
    """Events of made-up users over these items, oldest first; every user's name starts with ``sim-``."""
    dials = dials or Simulation()
    if not interests:
        raise InputError("The simulator needs at least one interest; give [[interests]] with name and text.")
    random = np.random.default_rng(dials.seed)
    texts, wanted = _space(items, [interest.text for interest in interests], dials.seed)
    end = dials.end.timestamp()
    start = end - dials.days * _DAY
    published = np.where(np.isnan(items.published), start, items.published)
    counts = np.zeros(len(items))
    quality = random.normal(0.0, 0.35, len(items))  # some texts are simply better
    visits = _visits(random, dials, start, end)
    before, after = _tastes(random, wanted, dials)
    buyable = (items.frame["kind"] == "product").to_numpy() if "kind" in items.frame else np.zeros(len(items), bool)
    seen: list[set[int]] = [set() for _ in range(dials.users)]
    rows: list[dict[str, Any]] = []
    for number, (moment, user) in enumerate(visits):
        there = np.flatnonzero(published <= moment)
        if there.size < dials.feed:
            continue
        shown, chances = _feed(random, there, counts, published, moment, dials.feed)
        taste = after[user] if moment > (start + end) / 2 else before[user]
        for place, (item, chance) in enumerate(zip(shown.tolist(), chances.tolist(), strict=True), start=1):
            base = {
                "user": f"sim-{user:03d}", "item": items.ids[item], "impression": f"sim-{number:05d}",
                "position": place, "propensity": chance,
            }  # fmt: skip
            match = float(taste @ texts[item])
            liking = dials.openness + dials.sharpness * match + quality[item] - (2.0 if item in seen[user] else 0.0)
            opened = random.random() < place**-dials.attention and random.random() < 1 / (1 + np.exp(-liking))
            at = moment + 5.0 * place
            if not opened:
                rows.append({**base, "event": None, "time": at})
                continue
            seen[user].add(item)
            counts[item] += 1
            read = random.random() < 0.25 + 0.7 * max(match, 0.0)
            rows.append({**base, "event": "click" if read else "view", "time": at})
            if read:
                rows += _later(random, base, match, at, bool(buyable[item]))
    if not rows:
        raise InputError("The simulation has no events; give items that are published before its end.")
    frame = pd.DataFrame(rows)
    frame["time"] = pd.to_datetime(frame["time"].round(), unit="s", utc=True).dt.as_unit("us")
    frame["file"], frame["row"] = "simulator", np.arange(1, len(frame) + 1)
    return tidy(frame)


def _space(items: Items, wanted: Sequence[str], seed: int) -> tuple[Floats, Floats]:
    """Unit vectors of the items and of the interests in one latent semantic space."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(stop_words="english", sublinear_tf=True, min_df=1)
    table = words.fit_transform([*items.texts, *wanted])
    rank = int(min(48, min(table.shape) - 1))
    vectors = TruncatedSVD(max(rank, 1), random_state=seed).fit_transform(table)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return vectors[: len(items)], vectors[len(items) :]


def _tastes(random: np.random.Generator, wanted: Floats, dials: Simulation) -> tuple[Floats, Floats]:
    """Each user's taste in the first and in the second half [users, d]."""

    def mixed(parts: Floats) -> Floats:
        return np.asarray(parts / np.maximum(np.linalg.norm(parts, axis=1, keepdims=True), 1e-9))

    shares = np.zeros((dials.users, len(wanted)))
    for user in range(dials.users):
        chosen = random.choice(len(wanted), min(int(random.integers(1, 4)), len(wanted)), replace=False)
        shares[user, chosen] = random.dirichlet(np.full(len(chosen), 1.5))
    later = shares.copy()
    for user in np.flatnonzero(random.random(dials.users) < dials.drift):
        later[user] *= 0.3
        later[user, random.integers(len(wanted))] += 0.7
    return mixed(shares @ wanted), mixed(later @ wanted)


def _visits(random: np.random.Generator, dials: Simulation, start: float, end: float) -> list[tuple[float, int]]:
    """Moments and users of all visits in order; some users come often, many a few times."""
    found = []
    for user in range(dials.users):
        count = 1 + int(random.poisson(dials.visits * random.gamma(1.2, 1 / 1.2)))
        found += [(float(moment), user) for moment in random.uniform(start, end, count)]
    return sorted(found)


def _feed(
    random: np.random.Generator, there: Any, counts: Floats, published: Floats, moment: float, places: int
) -> tuple[Any, Floats]:
    """Items of a feed and, for each place, the chance that this item was drawn for it from what was left."""
    age = (moment - published[there]) / _DAY
    logits = 0.5 * np.log1p(counts[there]) + 1.2 * np.exp(-age / 10) + 0.3 * random.normal(size=there.size)
    weights = np.exp(logits - logits.max())
    left = np.ones(there.size, dtype=bool)
    picks, chances = [], []
    for _ in range(places):
        shares = np.where(left, weights, 0.0)
        shares = shares / shares.sum()
        at = int(random.choice(there.size, p=shares))
        picks.append(int(there[at]))
        chances.append(round(float(shares[at]), 6) or 1e-6)
        left[at] = False
    return np.array(picks), np.array(chances)


def _later(
    random: np.random.Generator, base: dict[str, Any], match: float, at: float, buyable: bool
) -> list[dict[str, Any]]:
    """What follows a read: each kind with its own chance, growing with the match."""
    found = []
    fits = 0.4 + 1.2 * max(match, 0.0)
    for step, (kind, chance) in enumerate(_AFTER, start=1):
        if random.random() < chance * fits:
            found.append({**base, "event": kind, "time": at + 20.0 * step})
    if buyable and random.random() < 0.35 * fits:
        found.append({**base, "event": "buy", "time": at + 90.0})
    return found
