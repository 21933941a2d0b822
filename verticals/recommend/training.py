"""Train on what is in the store: sources, blend, trees, curves of probability; a new version, or none."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.errors import InputError
from verticals.recommend import saved
from verticals.recommend.behaviour import KINDS, Events
from verticals.recommend.ease import MAX_ITEMS
from verticals.recommend.histories import Float32, Floats, Histories, Ints
from verticals.recommend.hybrid import Hybrid, HybridConfig, fit_hybrid, fit_newcomers, last_events
from verticals.recommend.items import Items
from verticals.recommend.known import known_vectors
from verticals.recommend.popularity import Popular, Trending
from verticals.recommend.probability import Probability, fit_all
from verticals.recommend.ranking import Blend
from verticals.recommend.settings import RecommendSettings
from verticals.recommend.snapshot import histories_of, strongest_of
from verticals.recommend.splits import temporal_split
from verticals.recommend.store import Store
from verticals.recommend.taste import TextTaste, centred, main_directions
from verticals.recommend.vectors import hashes_of

Report = Callable[[str], None]
LEAST_EVENTS = 50


@dataclass(frozen=True)
class Trained:
    """What a training made; ``to_dict`` is what the command prints."""

    version: int
    told: dict[str, Any]
    path: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"version": self.version, **self.told, "path": self.path}


def train(
    settings: RecommendSettings, report: Report = lambda line: None, encoder: str | None = None, note: str = ""
) -> Trained:
    """Fit everything to the store's items and events and make it the version in use.

    ``encoder`` replaces that of the settings. A killed run leaves the version before in use. Raises InputError when
    there are no items, fewer than 50 events, or another process trains at the same time.
    """
    from filelock import FileLock, Timeout

    settings.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(settings.folder / ".training.lock", timeout=0):
            return _train(settings, report, encoder or settings.encoder, note)
    except Timeout:
        raise InputError("another process is training the recommender right now; wait for it.") from None


def _train(settings: RecommendSettings, report: Report, encoder: str, note: str) -> Trained:
    store = Store.open(settings.core)
    version = store.version()
    items, events = store.items(until=version), store.events(until=version)
    if items is None:
        raise InputError("There are no items yet; load some: headwater recommend load --items FILE --events FILE.")
    if events is None or len(events) < LEAST_EVENTS:
        raise InputError(f"{0 if events is None else len(events)} events are too few; load at least {LEAST_EVENTS}.")
    report(f"{len(items)} items, {len(events)} events of {events.frame['user'].nunique()} users")
    report(f"vectors of {len(items)} texts by {encoder}")
    vectors = known_vectors(settings.folder, settings.sample, encoder)
    unit = vectors.of(items.texts)
    strongest = strongest_of(events)
    _, past = histories_of(events, items, strongest)
    config = _config(settings, len(items))
    report("probabilities")
    curves = fit_curves(items, events, unit, config, strongest)
    report("ranking")
    hybrid = fit_hybrid(items, past, unit, config)
    newcomers = fit_newcomers(items, past, unit, config, settings.warm_from - 1)
    learnt = [s for s in hybrid.features.sources if not isinstance(s, Popular | Trending | TextTaste)]
    number = max(saved.versions(settings.folder), default=0) + 1
    told: dict[str, Any] = {
        "items": len(items),
        "events": len(events),
        "users": len(past),
        "data": version,
        "time": store.clock().isoformat(),
        "encoder": encoder,
        "note": note,
        "strongest": strongest,
        "ranker": "trees" if hybrid.ranker else "blend",
        "weights": hybrid.blend.to_dict(),
        "newcomers": newcomers.to_dict(),
        "importance": hybrid.ranker.importance() if hybrid.ranker else {},
        "calibration": {kind: curve.ece for kind, curve in curves.get("ranked", {}).items()},
    }
    model = saved.Saved(
        version=number,
        item_ids=items.ids,
        collaborative=tuple(learnt),
        order=tuple(source.name for source in hybrid.features.sources),
        numeric=tuple(hybrid.features.numeric),
        blend=hybrid.blend,
        cold=newcomers,
        ranker=hybrid.ranker,
        shortlist=hybrid.shortlist,
        curves=curves,
        encoder=encoder,
        fingerprint=vectors.fingerprint,
        hashes=hashes_of(items.texts),
        vectors=unit,
        directions=_directions(hybrid, unit),
        told=told,
    )
    path = saved.save(model, settings.folder)
    saved.prune(settings.folder)
    return Trained(number, told, str(path))


def _directions(hybrid: Hybrid, unit: Float32) -> Float32:
    found = [s.directions for s in hybrid.features.sources if isinstance(s, TextTaste) and s.directions is not None]
    return found[0] if found else main_directions(centred(unit))


def _config(settings: RecommendSettings, n: int) -> HybridConfig:
    config = settings.hybrid()
    # Beyond this size the closed form has no room; item-kNN and transitions carry on.
    return config if n <= MAX_ITEMS else config.model_copy(update={"without": ("ease", "recent ease", "latest ease")})


def fit_curves(
    items: Items, events: Events, vectors: Float32, config: HybridConfig, strongest: float, fraction: float = 0.2
) -> dict[str, dict[str, Probability]]:
    """Probabilities of each kind of event, learnt from what came last and was not learnt from.

    With impressions they hold for what is shown, otherwise for any item of the catalogue. Keys: "ranked" (the
    trees), "blend" and "newcomers"; empty where there is too little.
    """
    try:
        split = temporal_split(events, "global", fraction)
    except InputError:
        return {}
    users, past = histories_of(split.train, items, strongest)
    try:
        hybrid = fit_hybrid(items, past, vectors, config)
        newcomers = fit_newcomers(items, past, vectors, config, 2)
    except InputError:
        return {}
    rows = _shown_rows(split.test, items, users) or _catalogue_rows(split.test, items, users, config.seed)
    if not rows:
        return {}
    outcomes = np.concatenate([row.happened for row in rows], axis=1)
    mass = np.concatenate([row.mass for row in rows])
    by_kind = {kind: outcomes[at] for at, kind in enumerate(KINDS)}
    found = {}
    for where, scores in _scores(hybrid, newcomers, past, rows).items():
        found[where] = fit_all(scores, by_kind, mass, config.seed)
    return found


@dataclass(frozen=True)
class Judged:
    """One list of a user after the cut: ``items`` [c], what happened with each kind [kinds, c], weights [c]."""

    user: int
    items: Ints
    happened: Float32
    mass: Float32


def _scores(hybrid: Hybrid, newcomers: Blend, past: Histories, rows: list[Judged]) -> dict[str, Floats]:
    """The scores of all rows in their order, by each ranker; one pass over the users, all their items at once."""
    candidates = np.unique(np.concatenate([row.items for row in rows]))
    every = replace(hybrid, shortlist=len(candidates))  # the trees' curve needs the trees' scores
    by_user: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        by_user.setdefault(row.user, []).append(number)
    found: dict[str, list[Float32]] = {name: [np.empty(0, np.float32)] * len(rows) for name in _RANKERS}
    users = np.array(sorted(by_user))
    for start in range(0, len(users), 128):
        some = users[start : start + 128]
        few = past.take(some)
        scores, plain, _ = every.parts(few, every.features.columns(few, candidates), candidates)
        new = newcomers.score(every.features.columns(last_events(few, 2), candidates))
        for at, user in enumerate(some.tolist()):
            for number in by_user[user]:
                places = np.searchsorted(candidates, rows[number].items)
                for name, table in zip(_RANKERS, (scores, plain, new), strict=True):
                    found[name][number] = table[at, places]
    joined = {name: np.concatenate(parts).astype(np.float64) for name, parts in found.items()}
    if hybrid.ranker is None:
        del joined["ranked"]
    return joined


_RANKERS = ("ranked", "blend", "newcomers")
_MOST_ITEMS = 3000  # of which features are made for every user at once


def _shown_rows(later: Events, items: Items, users: dict[str, int]) -> list[Judged]:
    """Impressions after the cut, until they hold as many different items as can be scored at once."""
    shown = later.shown
    shown = shown[shown["user"].isin(users) & shown["item"].isin(items.positions)]
    if shown.empty:
        return []
    done = _done(later)
    rows: list[Judged] = []
    different: set[str] = set()
    for _, part in shown[shown["time"] >= later.frame["time"].min()].groupby("impression", sort=False):
        names, user = part["item"].tolist(), str(part["user"].iloc[0])
        different |= set(names)
        if len(different) > _MOST_ITEMS:
            break
        numbers = items.numbers_of(names)
        rows.append(Judged(users[user], numbers, _outcome(done, user, names), np.ones(len(names), np.float32)))
    return rows


def _catalogue_rows(later: Events, items: Items, users: dict[str, int], seed: int) -> list[Judged]:
    """Without impressions: each later user's items and a sample of all others, weighed to stand for them."""
    random = np.random.default_rng(seed)
    done = _done(later)
    pool = np.sort(random.choice(len(items), min(_MOST_ITEMS // 2, len(items)), replace=False))
    rows: list[Judged] = []
    different: set[int] = set(pool.tolist())
    for name, part in later.frame[later.frame["user"].isin(users)].groupby("user", sort=False):
        had = items.numbers_of(sorted(set(part["item"])))
        different |= set(had.tolist())
        if len(different) > _MOST_ITEMS:
            break
        others = np.setdiff1d(pool, had)
        some = np.sort(random.choice(others, min(100, len(others)), replace=False))
        numbers = np.concatenate([had, some]).astype(np.int64)
        share = (len(items) - len(had)) / max(len(some), 1)
        mass = np.concatenate([np.ones(len(had)), np.full(len(some), share)]).astype(np.float32)
        outcome = _outcome(done, str(name), [items.ids[number] for number in numbers])
        rows.append(Judged(users[str(name)], numbers, outcome, mass))
    return rows


def _done(events: Events) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for user, item, kind in events.frame[["user", "item", "event"]].itertuples(index=False):
        found.setdefault((user, item), set()).add(kind)
    return found


def _outcome(done: dict[tuple[str, str], set[str]], user: str, names: list[str]) -> Float32:
    """0/1 [kinds, c]; whoever clicked, liked or bought has viewed as well."""
    table = np.zeros((len(KINDS), len(names)), dtype=np.float32)
    for column, name in enumerate(names):
        kinds = done.get((user, name), set())
        for kind in kinds:
            table[KINDS.index(kind), column] = 1.0
        if kinds:
            table[0, column] = 1.0
        if kinds - {"view"}:
            table[1, column] = 1.0
    return table
