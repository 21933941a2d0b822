"""Judge recommenders on held-out behaviour, with intervals over users, by cohort, and against each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.evaluation.intervals import Interval, PairedResult, bootstrap_many, paired_bootstrap, weighted_mean
from verticals.recommend import metrics
from verticals.recommend.candidates import Source, seen_mask, top_k
from verticals.recommend.histories import Float32, Floats, Histories, Ints

DEPTH = 50  # places kept of each list; MAP is cut there


@dataclass(frozen=True)
class Judged:
    """One system: intervals over the n users with something to find, and each user's values for comparisons.

    ``coverage`` is over those users' lists, as everything else. Per-user values are not part of ``to_dict``.
    """

    name: str
    values: Mapping[str, Interval]
    coverage: float
    per_user: Mapping[str, Floats]
    ranked: Ints

    def to_dict(self) -> dict[str, Any]:
        """``{"ndcg@10": {"value", "low", "high"}, …, "coverage@10", "novelty", "ild"}``."""
        told: dict[str, Any] = {name: interval.to_dict() for name, interval in self.values.items()}
        scalars: dict[str, Any] = {name: told.pop(name)["value"] for name in ("novelty", "ild") if name in told}
        return {**told, "coverage@10": self.coverage, **scalars}


@dataclass(frozen=True)
class Bench:
    """What systems are judged on: the users with new held-out items, what they had before, item facts."""

    histories: Histories
    relevant: tuple[Ints, ...]
    popularity: Floats
    vectors: Float32 | None
    n_users: int

    def judge(self, system: Source, resamples: int = 1000, seed: int = 0, users_at_once: int = 256) -> Judged:
        """Rank the whole catalogue for each user without what they had, and judge the lists.

        Raises InputError when a system gives scores that are no numbers.
        """
        parts = []
        for start in range(0, len(self.histories), users_at_once):
            few = self.histories.take(np.arange(start, min(start + users_at_once, len(self.histories))))
            scores = system.score(few)
            if np.isnan(scores).any():
                raise InputError(f"{system.name} gives scores that are not numbers; fit it again.")
            items, best = top_k(scores, DEPTH, seen_mask(few))
            parts.append(np.where(best > -np.inf, items, -1))
        return self.judge_lists(system.name, np.concatenate(parts) if parts else np.empty((0, 0), int), resamples, seed)

    def judge_lists(self, name: str, ranked: Ints, resamples: int = 1000, seed: int = 0) -> Judged:
        """Judge lists made elsewhere: item numbers [m, k], best first, -1 for an empty place."""
        n = self.histories.n_items
        hits = metrics.hits_of(ranked, self.relevant, n)
        counts = np.array([len(items) for items in self.relevant])
        per_user = {
            "ndcg@10": metrics.ndcg(hits, counts, 10),
            "recall@20": metrics.recall(hits, counts, 20),
            "mrr@10": metrics.mrr(hits, 10),
            "map": metrics.average_precision(hits, counts, DEPTH),
            "novelty": metrics.novelty(ranked, self.popularity, self.n_users, 10),
        }
        if self.vectors is not None:
            per_user["ild"] = metrics.diversity(ranked, self.vectors, 10)
        return Judged(name, _intervals(per_user, resamples, seed), metrics.coverage(ranked, 10, n), per_user, ranked)


def make_bench(train: Histories, relevant: Sequence[Ints], vectors: Float32 | None = None) -> Bench:
    """A bench for the users of ``train`` that have relevant items; raises InputError when nobody has."""
    users = np.flatnonzero([len(items) > 0 for items in relevant]).astype(np.int64)
    if not users.size:
        raise InputError("No user has a held-out item; give users with more events each.")
    popularity = np.bincount(train.matrix(equal=True).indices, minlength=train.n_items).astype(np.float64)
    picked = tuple(np.asarray(relevant[user], dtype=np.int64) for user in users.tolist())
    return Bench(train.take(users), picked, popularity, vectors, len(train))


def compare(a: Judged, b: Judged, metric: str = "ndcg@10", resamples: int = 1000, seed: int = 0) -> PairedResult:
    """Is a better than b? The difference of a metric over the same users, by paired bootstrap."""

    def mean(_: Any, values: Any, weights: Floats) -> Floats:
        return weighted_mean(values, weights)

    first, second = a.per_user[metric], b.per_user[metric]
    return paired_bootstrap(mean, np.zeros(len(first)), first, second, resamples, seed)


def ratio(a: Judged, b: Judged, metric: str = "ndcg@10", resamples: int = 1000, seed: int = 0) -> Interval:
    """How many times a's metric is b's, with an interval over the same users."""

    def quotient(first: Any, second: Any, weights: Floats) -> dict[str, Floats]:
        below = weighted_mean(second, weights)
        return {"ratio": weighted_mean(first, weights) / np.where(below > 0, below, np.nan)}

    return bootstrap_many(quotient, [a.per_user[metric], b.per_user[metric]], resamples, seed)["ratio"]


def by_history(bench: Bench, judged: Judged, edges: Sequence[int] = (5, 20, 50, 100), resamples: int = 1000) -> Any:
    """``{"<5": {"users", "ndcg@10": {…}, …}, "5-19": …}``: quality by how much is known of the user."""
    lengths = bench.histories.lengths
    borders = [0, *edges, np.inf]
    found = {}
    for low, high in zip(borders, borders[1:], strict=False):
        name = f"<{high}" if low == 0 else f">={low}" if high == np.inf else f"{low}-{int(high) - 1}"
        found[name] = (lengths >= low) & (lengths < high)
    return _cohorts(judged, found, resamples)


def by_item(
    bench: Bench, judged: Judged, groups: Sequence[str], k: int = 20, resamples: int = 1000
) -> dict[str, dict[str, Any]]:
    """Recall@k of the relevant items of each group (a category, an age) on their own: ``groups`` [n] names them."""
    names = np.asarray(groups, dtype=str)
    out: dict[str, dict[str, Any]] = {}
    for group in np.unique(names):
        inside = names == group
        relevant = [items[inside[items]] for items in bench.relevant]
        counts = np.array([len(items) for items in relevant])
        users = counts > 0
        if users.any():
            hits = metrics.hits_of(judged.ranked, relevant, len(names))
            values = {f"recall@{k}": metrics.recall(hits, counts, k)[users]}
            told = {name: interval.to_dict() for name, interval in _intervals(values, resamples, 0).items()}
            out[str(group)] = {"users": int(users.sum()), **told}
    return out


def impression_auc(
    scores: Sequence[Floats], clicked: Sequence[NDArray[np.bool_]], users: Sequence[str], resamples: int = 1000
) -> Interval:
    """Mean AUC over users of the mean over each user's impression lists; lists without both kinds are left out."""
    values = metrics.auc(scores, clicked)
    known = ~np.isnan(values)
    if not known.any():
        raise InputError("No impression list has both clicked and unclicked items; log what was shown as well.")
    _, rows = np.unique(np.asarray(users, dtype=str)[known], return_inverse=True)
    means = np.bincount(rows, weights=values[known]) / np.bincount(rows)
    return _intervals({"auc": means}, resamples, 0)["auc"]


def report(split: Mapping[str, Any], systems: Sequence[Judged]) -> dict[str, Any]:
    """``{"split", "systems": {NAME: {"ndcg@10": {"value", "low", "high"}, …}}}``."""
    return {"split": dict(split), "systems": {judged.name: judged.to_dict() for judged in systems}}


def _cohorts(judged: Judged, members: Mapping[str, NDArray[np.bool_]], resamples: int) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for name, inside in members.items():
        if inside.any():
            values = {metric: judged.per_user[metric][inside] for metric in ("ndcg@10", "recall@20")}
            told = {metric: interval.to_dict() for metric, interval in _intervals(values, resamples, 0).items()}
            out[name] = {"users": int(inside.sum()), **told}
    return out


def _intervals(per_user: Mapping[str, Floats], resamples: int, seed: int) -> dict[str, Interval]:
    names = list(per_user)
    table = np.stack([per_user[name] for name in names], axis=1)

    def means(values: Any, weights: Floats) -> dict[str, Floats]:
        result = weights @ values / weights.sum(axis=1, keepdims=True)
        return {name: result[:, column] for column, name in enumerate(names)}

    return bootstrap_many(means, [table], resamples, seed)
