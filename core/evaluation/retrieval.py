"""Judge rankings: is what the query needs near the top? For bi- and cross-encoders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InputError
from core.evaluation.intervals import Floats, Interval, bootstrap_many

Gain = Literal["linear", "exponential"]


@dataclass(frozen=True)
class RankingResult:
    """Means over the n queries that have something to find, with intervals over queries.

    ``excluded`` counts queries without any relevant document. ``per_query`` keeps each metric's values [n]
    in query order, for a paired comparison of two systems; it is not part of ``to_dict``.
    """

    metrics: Mapping[str, Interval]
    n: int
    excluded: int
    gain: str
    per_query: Mapping[str, Floats]

    def metrics_dict(self) -> dict[str, dict[str, float | None]]:
        """``{"mrr@10": {"value", "low", "high"}, …}``."""
        return {name: interval.to_dict() for name, interval in self.metrics.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"n": self.n, "excluded": self.excluded, "gain": self.gain, "metrics": self.metrics_dict()}


def evaluate_ranking(
    relevance: Sequence[ArrayLike],
    n_relevant: Sequence[int] | None = None,
    grades: Sequence[ArrayLike] | None = None,
    ks: Sequence[int] = (1, 5, 10, 20),
    gain: Gain = "linear",
    resamples: int = 1000,
    seed: int = 0,
) -> RankingResult:
    """MRR@k, recall@k, precision@k, nDCG@k and MAP from the graded relevance of each ranked list, best first.

    A document is relevant when its grade is above 0. What a cut-off list left out is told by ``n_relevant``
    (relevant documents that exist per query; those not listed count as grade 1) or ``grades`` (all their
    grades); with neither, each list holds everything. nDCG is that of Järvelin & Kekäläinen (2002) with
    discount 1 / log2(rank + 1) and gain ``grade`` (linear) or ``2^grade - 1`` (exponential); for grades 0
    and 1 the two are equal. precision@k divides by k, also for shorter lists. MAP divides by all relevant
    documents. Queries with nothing to find are left out and counted. ``rank_by_score`` makes the lists from
    scores and settles ties.
    """
    ks = sorted(set(ks))
    if not ks or ks[0] < 1:
        raise ValueError(f"ks = {ks}; cut-offs start at 1")
    lists = [_grades(r) for r in relevance]
    ideals = _ideals(lists, n_relevant, grades)
    kept = [i for i, ideal in enumerate(ideals) if ideal.size]
    if not kept:
        raise InputError("No query has a relevant document; check that the relevant ids occur among the documents.")
    rows = [_query_metrics(lists[i], ideals[i], ks, gain) for i in kept]
    names = list(rows[0])
    table = np.array([[row[name] for name in names] for row in rows])

    def means(values: Any, weights: Floats) -> dict[str, Floats]:
        result = weights @ values / weights.sum(axis=1, keepdims=True)
        return {name: result[:, j] for j, name in enumerate(names)}

    return RankingResult(
        metrics=bootstrap_many(means, [table], resamples, seed),
        n=len(kept),
        excluded=len(lists) - len(kept),
        gain=gain,
        per_query={name: table[:, j] for j, name in enumerate(names)},
    )


def rank_by_score(
    scores: ArrayLike, relevance: ArrayLike, ties: Literal["pessimistic", "position"] = "pessimistic"
) -> Floats:
    """Relevance reordered by descending score.

    Equal scores: "pessimistic" puts the less relevant document first, so a model that scores everything
    alike gains nothing from the order of the candidates; "position" keeps the given order, as a server that
    sorts stably would.
    """
    values, grades = np.asarray(scores, dtype=np.float64), _grades(relevance)
    if values.shape != grades.shape:
        raise ValueError(f"scores {values.shape} and relevance {grades.shape} differ in shape")
    if np.isnan(values).any():
        raise InputError("The model gives scores that are not numbers; tune it with a lower learning rate.")
    keys = (grades, -values) if ties == "pessimistic" else (-values,)
    return np.asarray(grades[np.lexsort(keys)])


def _query_metrics(ranked: Floats, ideal: Floats, ks: Sequence[int], gain: Gain) -> dict[str, float]:
    hit = ranked > 0
    ranks = np.flatnonzero(hit) + 1
    first = ranks[0] if ranks.size else np.inf
    gained, best = _gains(ranked, gain), _gains(ideal, gain)
    values: dict[str, float] = {}
    for k in ks:
        found = int(hit[:k].sum())
        values[f"mrr@{k}"] = 1 / first if first <= k else 0.0
        values[f"recall@{k}"] = found / ideal.size
        values[f"precision@{k}"] = found / k
        values[f"ndcg@{k}"] = _dcg(gained[:k]) / _dcg(best[:k])
    values["map"] = float((np.arange(1, ranks.size + 1) / ranks).sum() / ideal.size)
    return values


def _gains(grades: Floats, gain: Gain) -> Floats:
    if gain not in ("linear", "exponential"):
        raise ValueError(f"gain = {gain!r}; it is linear or exponential")
    return grades if gain == "linear" else np.exp2(grades) - 1


def _dcg(gains: Floats) -> float:
    return float((gains / np.log2(np.arange(2, gains.size + 2))).sum())


def _ideals(
    lists: list[Floats], n_relevant: Sequence[int] | None, grades: Sequence[ArrayLike] | None
) -> list[NDArray[np.float64]]:
    """All grades above 0 of each query, best first."""
    if n_relevant is not None and grades is not None:
        raise ValueError("give n_relevant or grades, not both")
    told = n_relevant if n_relevant is not None else grades
    if told is not None and len(told) != len(lists):
        raise ValueError(f"{len(lists)} ranked lists, but {len(told)} counts of relevant documents")
    if grades is not None:
        every = [_grades(g) for g in grades]
        short = [i for i, g in enumerate(every) if (g > 0).sum() < (lists[i] > 0).sum()]
    else:
        counts = [int((r > 0).sum()) for r in lists] if n_relevant is None else n_relevant
        short = [i for i, r in enumerate(lists) if counts[i] < (r > 0).sum()]
        missing = [max(0, int(counts[i] - (r > 0).sum())) for i, r in enumerate(lists)]
        every = [np.concatenate([r, np.ones(missing[i])]) for i, r in enumerate(lists)]
    if short:
        raise ValueError(f"query {short[0]} lists more relevant documents than it is said to have")
    return [np.sort(g[g > 0])[::-1] for g in every]


def _grades(values: ArrayLike) -> Floats:
    grades = np.asarray(values, dtype=np.float64)
    if grades.ndim != 1 or (grades.size and not (np.isfinite(grades).all() and grades.min() >= 0)):
        raise ValueError("relevance must be a list of grades from 0 upwards")
    return grades
