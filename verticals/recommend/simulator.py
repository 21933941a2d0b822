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
from verticals.recommend.behaviour import COLUMNS, Events
from verticals.recommend.histories import Floats
from verticals.recommend.items import Items

_DAY = 86_400.0
_AFTER = (("like", 0.30), ("comment", 0.06), ("share", 0.10))


class Simulation(BaseModel):
    """The dials of the simulator; the same dials and items give the same events, to the byte."""

    model_config = ConfigDict(extra="forbid")

    users: int = 400
    days: int = 180
    end: datetime = datetime(2026, 6, 30, tzinfo=UTC)
    visits: float = 14.0
    feed: int = 8
    drift: float = 0.35
    attention: float = 0.55
    sharpness: float = 13.0
    openness: float = -3.6
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
    shown: list[_Row] = []
    done: list[_Row] = []
    places = np.arange(1, dials.feed + 1)
    looks = places**-dials.attention
    for number, (moment, user) in enumerate(visits):
        there = np.flatnonzero(published <= moment)
        if there.size < dials.feed:
            continue
        picks, chances = _feed(random, there, counts, published, moment, dials.feed)
        taste = after[user] if moment > (start + end) / 2 else before[user]
        matches = texts[picks] @ taste
        had = np.array([item in seen[user] for item in picks])
        liking = dials.openness + dials.sharpness * matches + quality[picks] - 2.0 * had
        opened = (random.random(dials.feed) < looks) & (random.random(dials.feed) < 1 / (1 + np.exp(-liking)))
        name, impression = f"sim-{user:03d}", f"sim-{number:05d}"
        for place in range(dials.feed):
            item, at = int(picks[place]), round(moment + 5.0 * (place + 1))
            row = (name, items.ids[item], impression, place + 1, float(chances[place]))
            shown.append((*row, at, bool(opened[place])))
            if opened[place]:
                seen[user].add(item)
                counts[item] += 1
                match = float(max(matches[place], 0.0))
                kinds = _kinds(random, match, bool(buyable[item]))
                done += [(*row, at + later, kind) for kind, later in kinds]
    if not done:
        raise InputError("The simulation has no events; give items that are published before its end.")
    return Events(_frame(done, "event"), _frame(shown, "clicked")[_SHOWN])


_Row = tuple[Any, ...]
_SHOWN = ["impression", "user", "item", "position", "clicked", "propensity", "time"]


def _frame(rows: list[_Row], last: str) -> pd.DataFrame:
    columns = ["user", "item", "impression", "position", "propensity", "time", last]
    frame = pd.DataFrame.from_records(rows, columns=columns)
    frame["time"] = pd.to_datetime(frame["time"], unit="s", utc=True).dt.as_unit("us")
    frame["position"] = frame["position"].astype(np.float64)
    if last == "event":
        for name in ("user", "item", "event"):
            frame[name] = frame[name].astype("str")
        frame["value"] = np.nan
        frame["file"], frame["row"] = "simulator", np.arange(1, len(frame) + 1)
        frame = frame.sort_values("time", kind="stable").reset_index(drop=True)
        return frame[[*COLUMNS, "file", "row"]]
    return frame


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
    for user in np.flatnonzero(random.random(dials.users) < dials.drift).tolist():
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
    # The largest of logit + Gumbel noise are a draw without replacement from the softmax (Yellott 1977).
    keys = logits + random.gumbel(size=there.size)
    top = np.argpartition(-keys, places - 1)[:places]
    top = top[np.argsort(-keys[top])]
    weights = np.exp(logits - logits.max())
    left = weights.sum() - np.concatenate([[0.0], np.cumsum(weights[top])[:-1]])
    return there[top], np.clip(weights[top] / left, 1e-6, 1.0).round(6)


def _kinds(random: np.random.Generator, match: float, buyable: bool) -> list[tuple[str, float]]:
    """What happens with an opened item and how many seconds later; each chance grows with the match."""
    if random.random() >= 0.25 + 0.7 * match:
        return [("view", 0.0)]
    found = [("click", 0.0)]
    fits = 0.4 + 1.2 * match
    for step, (kind, chance) in enumerate(_AFTER, start=1):
        if random.random() < chance * fits:
            found.append((kind, 20.0 * step))
    if buyable and random.random() < 0.35 * fits:
        found.append(("buy", 90.0))
    return found
