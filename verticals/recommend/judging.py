"""What ``headwater recommend evaluate`` does: split by time, every baseline in the same run, intervals over users."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from verticals.recommend import evaluation
from verticals.recommend.behaviour import read_events
from verticals.recommend.candidates import Source
from verticals.recommend.ease import MAX_ITEMS, fit_ease
from verticals.recommend.evaluation import Bench, Judged, make_bench
from verticals.recommend.histories import Float32, Histories, Ints, histories
from verticals.recommend.hybrid import Hybrid, HybridConfig, fit_hybrid
from verticals.recommend.item_knn import fit_item_knn
from verticals.recommend.items import Items, read_items
from verticals.recommend.known import known_vectors
from verticals.recommend.logged import off_policy
from verticals.recommend.popularity import fit_popular
from verticals.recommend.settings import RecommendSettings
from verticals.recommend.splits import How, TemporalSplit, temporal_split
from verticals.recommend.store import Store
from verticals.recommend.taste import TextTaste, centred, normalised
from verticals.recommend.training import fit_curves
from verticals.recommend.validation import validate

Report = Callable[[str], None]
LIKING = ("click", "like", "comment", "share", "buy")


@dataclass(frozen=True)
class Ground:
    """What is judged on: items, the split, and vectors of the texts by the configured and by the untuned encoder."""

    items: Items
    split: TemporalSplit
    users: tuple[str, ...]
    train: Histories
    later: list[Ints]
    vectors: Float32
    untuned: Float32
    told: dict[str, Any]

    @property
    def bench(self) -> Bench:
        """The users that have something to find."""
        return make_bench(self.train, self.later, centred(self.untuned))


def ground(
    settings: RecommendSettings,
    items: Path | None = None,
    events: Path | None = None,
    format: str = "auto",
    how: How = "user",
    fraction: float = 0.2,
    encoder: str | None = None,
) -> Ground:
    """Read (or take from the store), check, split and encode. Raises InputError when only one table is named."""
    if (items is None) != (events is None):
        raise InputError("Give both --items and --events, or neither to judge on what is loaded.")
    if items is not None and events is not None:
        known = read_items(items, format)
        checked = validate(read_events(events, format), known, lambda: datetime.now(UTC))
        done, source = checked.events, f"{items}, {events}"
    else:
        store = Store.open(settings.core)
        loaded, stored = store.items(), store.events()
        if loaded is None or stored is None:
            raise InputError("Nothing is loaded to judge on; load items and events, or name --items and --events.")
        known, done, source = loaded, stored, f"loaded data, version {store.version()}"
    liked = done.only([kind for kind in LIKING if (done.frame["event"] == kind).any()] or ["view"])
    split = temporal_split(liked, how, fraction)
    users, train = histories(split.train, known)
    _, after = histories(split.test, known, users)
    later = [np.unique(after.of(user)[0]) for user in range(len(users))]
    name = encoder or settings.encoder
    vectors = known_vectors(settings.folder, settings.sample, name).of(known.texts)
    untuned = vectors
    if name != "minilm":
        untuned = known_vectors(settings.folder, settings.sample, "minilm").of(known.texts)
    synthetic = bool(done.frame["user"].str.startswith("sim-").all())
    told = {**split.to_dict(), "items": len(known), "users": len(users), "source": source, "synthetic": synthetic}
    return Ground(known, split, users, train, later, vectors, untuned, {**told, "encoder": name})


def systems_of(given: Ground, config: HybridConfig, only: Sequence[str] | None = None) -> list[Source]:
    """The baselines, the text alone, the transparent blend and the hybrid, fitted on the earlier part."""
    large = len(given.items) > MAX_ITEMS
    tuned = given.vectors is not given.untuned
    hybrid = fit_hybrid(given.items, given.train, given.vectors, config)
    made: list[Source] = [
        fit_popular(given.train),
        fit_item_knn(given.train, 100),
        *([] if large else [fit_ease(given.train, config.ease_l2)]),
        TextTaste(centred(given.untuned), name="untuned text"),
        *([TextTaste(normalised(given.vectors), name="tuned text")] if tuned else []),
        replace(hybrid, ranker=None, name="blend"),
        *([hybrid] if hybrid.ranker is not None else []),
    ]
    return [system for system in made if only is None or system.name in only]


def evaluate(
    settings: RecommendSettings,
    given: Ground,
    resamples: int = 1000,
    report: Report = lambda line: None,
    calibration: bool = True,
) -> dict[str, Any]:
    """``{"split", "systems": {NAME: {…}}, "comparisons", "cohorts", "impressions", "calibration"}``.

    Comparisons set the best of ours against each other system on the same users, by paired bootstrap.
    """
    bench = given.bench
    systems = systems_of(given, settings.hybrid())
    judged: dict[str, Judged] = {}
    for system in systems:
        judged[system.name] = bench.judge(system, resamples, settings.seed)
        report(f"{system.name}: nDCG@10 {judged[system.name].values['ndcg@10'].value:.4f}")
    ours = systems[-1]
    best = judged[ours.name]
    told = {
        **evaluation.report(given.told, list(judged.values())),
        "comparisons": {
            f"{best.name} - {name}": evaluation.compare(best, other, resamples=resamples).to_dict()
            for name, other in judged.items()
            if name != best.name
        },
        "cohorts": cohorts(given, bench, best, resamples),
    }
    shown = impressions(given, systems, resamples)
    if shown:
        told["impressions"] = shown
    if calibration:
        curves = fit_curves(given.items, given.split.train, given.vectors, settings.hybrid(), 3.0)
        own = curves.get("ranked") or curves.get("blend") or {}
        told["calibration"] = {kind: {"ece": curve.ece, "rows": curve.fitted_on} for kind, curve in own.items()}
    return told


def cohorts(given: Ground, bench: Bench, judged: Judged, resamples: int) -> dict[str, Any]:
    """Quality by length of history, by category and by the age of the item when the held-out events begin."""
    names, codes = given.items.categories
    found: dict[str, Any] = {
        "system": judged.name,
        "history": evaluation.by_history(bench, judged, resamples=resamples),
        "category": evaluation.by_item(bench, judged, [names[code] for code in codes], resamples=resamples),
    }
    published = given.items.published
    if np.isfinite(published).any():
        start = given.split.test.frame["time"].min().timestamp()
        days = (start - published) / 86_400
        groups = np.select(
            [np.isnan(days), days < 0, days < 30, days < 180],
            ["unknown", "not yet published", "< 30 days", "30-180 days"],
            "older",
        )
        found["age"] = evaluation.by_item(bench, judged, groups.tolist(), resamples=resamples)
    seen = np.bincount(given.train.items, minlength=len(given.items)) > 0
    found["events"] = evaluation.by_item(
        bench, judged, ["some events" if known else "none (cold)" for known in seen], resamples=resamples
    )
    return found


def impressions(given: Ground, systems: Sequence[Source], resamples: int, limit: int = 3000) -> dict[str, Any]:
    """AUC over what was shown, and IPS/SNIPS where propensities or positions were logged; {} without impressions."""
    shown = given.split.test.shown
    users = {name: number for number, name in enumerate(given.users)}
    if shown.empty:
        return {}
    shown = shown[shown["user"].isin(users) & shown["item"].isin(given.items.positions)]
    lists = [part for _, part in shown.groupby("impression", sort=False)][:limit]
    lists = [part for part in lists if 0 < part["clicked"].astype(bool).sum() < len(part)]
    if not lists:
        return {}
    rows = np.array([users[part["user"].iloc[0]] for part in lists])
    numbers = [given.items.numbers_of(part["item"].tolist()) for part in lists]
    clicked = [part["clicked"].to_numpy(dtype=bool) for part in lists]
    found: dict[str, Any] = {"lists": len(lists), "auc": {}}
    for system in systems:
        scores = scores_of(system, given.train, rows, numbers)
        auc = evaluation.impression_auc(scores, clicked, [given.users[row] for row in rows], resamples)
        found["auc"][system.name] = auc.to_dict()
        told = off_policy(system, given, lists, rows, numbers, scores, resamples)
        if told:
            found.setdefault("off_policy", {})[system.name] = told
    return found


def scores_of(system: Source, past: Histories, rows: Ints, numbers: Sequence[Ints]) -> list[Any]:
    """The system's scores of each list, all of one user's items at once."""
    candidates = np.unique(np.concatenate(list(numbers)))
    scorer = replace(system, shortlist=len(candidates)) if isinstance(system, Hybrid) else system
    found: list[Any] = [None] * len(rows)
    users = np.unique(rows)
    for start in range(0, len(users), 128):
        some = users[start : start + 128]
        table = scorer.score(past.take(some), candidates)
        for number in np.flatnonzero(np.isin(rows, some)).tolist():
            at = int(np.searchsorted(some, rows[number]))
            found[number] = table[at, np.searchsorted(candidates, numbers[number])].astype(np.float64)
    return found
