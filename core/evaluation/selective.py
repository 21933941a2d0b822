"""Is the confidence worth listening to: answering only when sure, and noticing what is out of scope."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InputError
from core.evaluation import weighted
from core.evaluation.intervals import Floats, Interval, bootstrap


@dataclass(frozen=True)
class RiskCoverage:
    """Error among the answered rows (``risk``) at each answered share ``coverage``; ``aurc`` is its mean."""

    coverage: Floats
    risk: Floats
    aurc: Interval

    def risk_at(self, coverage: float) -> float:
        """Risk when at least this share of rows is answered."""
        index = math.ceil(round(coverage * len(self.risk), 9)) - 1
        return float(self.risk[min(max(index, 0), len(self.risk) - 1)])

    def to_dict(self) -> dict[str, Any]:
        """AURC and the risk at usual coverages."""
        return {
            "aurc": self.aurc.to_dict(),
            "risk_at_coverage": {f"{c:.2f}": self.risk_at(c) for c in (0.5, 0.7, 0.8, 0.9, 0.95, 1.0)},
        }


@dataclass(frozen=True)
class OutOfScopeResult:
    """Out-of-scope detection; ``recall``: share rejected while ``accepted`` of in-scope rows pass."""

    auroc: Interval
    recall: Interval
    threshold: float
    accepted: float
    n_in: int
    n_out: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "auroc": self.auroc.to_dict(), "recall": self.recall.to_dict()}


def risk_coverage(confidence: ArrayLike, correct: ArrayLike, resamples: int = 1000, seed: int = 0) -> RiskCoverage:
    """Risk-coverage curve and the area under it, AURC (Geifman, Uziel & El-Yaniv 2019); lower is better.

    Rows of equal confidence share their mean error, which is the expectation over every order of them.
    """
    confidence = _scores(confidence)
    wrong = 1.0 - np.asarray(correct, dtype=np.float64)
    aurc = bootstrap(_aurc, [confidence, wrong], resamples, seed)
    answered = np.arange(1, len(wrong) + 1)
    risk = np.cumsum(_spread_ties(confidence, wrong)) / answered
    return RiskCoverage(answered / len(wrong), risk, aurc)


def auroc(scores_in: ArrayLike, scores_out: ArrayLike, resamples: int = 1000, seed: int = 0) -> Interval:
    """Probability that an in-scope row scores above an out-of-scope row (ties half), with a 95 % interval."""
    scores, inside = _joined(scores_in, scores_out)
    return bootstrap(weighted.auroc, [scores, inside], resamples, seed)


def out_of_scope(
    scores_in: ArrayLike,
    scores_out: ArrayLike,
    acceptance: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> OutOfScopeResult:
    """AUROC, and how much out-of-scope text is caught while at least ``acceptance`` of in-scope text passes.

    The threshold is the highest in-scope score that lets that share pass (score >= threshold); it is chosen
    on these rows, so choose it on validation rows and apply it elsewhere when it is to be used.
    """
    if not 0 < acceptance <= 1:
        raise ValueError(f"acceptance = {acceptance}; it must lie in (0, 1]")
    scores, inside = _joined(scores_in, scores_out)
    ordered = np.sort(scores[inside])[::-1]
    threshold = float(ordered[math.ceil(round(acceptance * ordered.size, 9)) - 1])
    outside = scores[~inside]

    def rejected(below: Any, weights: Floats) -> Floats:
        return np.asarray(weights @ below.astype(np.float64) / weights.sum(axis=1))

    return OutOfScopeResult(
        auroc=bootstrap(weighted.auroc, [scores, inside], resamples, seed),
        recall=bootstrap(rejected, [outside < threshold], resamples, seed),
        threshold=threshold,
        accepted=float((ordered >= threshold).mean()),
        n_in=int(inside.sum()),
        n_out=int(outside.size),
    )


def _aurc(confidence: Any, wrong: Any, weights: Floats) -> Floats:
    """Weighted AURC; within a group of equal confidence the errors grow linearly with coverage."""
    _, group = np.unique(-confidence, return_inverse=True)
    groups = int(group.max()) + 1
    errors = weighted.column_sums(weights, weighted.indicator(group, groups, wrong))
    sizes = weighted.column_sums(weights, weighted.indicator(group, groups))
    errors_before, rows_before = np.cumsum(errors, axis=1) - errors, np.cumsum(sizes, axis=1) - sizes
    rate = weighted.divide(errors, sizes)
    # Sum over k = 1..size of (errors_before + rate k) / (rows_before + k), by harmonic numbers of whole row
    # counts.
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int(weights.sum(axis=1).max()) + 1))])
    start, end = rows_before.astype(np.int64), (rows_before + sizes).astype(np.int64)
    span = harmonic[end] - harmonic[start]
    total = (errors_before * span + rate * (sizes - rows_before * span)).sum(axis=1)
    return np.asarray(total / weights.sum(axis=1))


def _spread_ties(confidence: Floats, wrong: Floats) -> Floats:
    _, group = np.unique(-confidence, return_inverse=True)
    rate = np.bincount(group, weights=wrong) / np.bincount(group)
    return np.asarray(rate[np.sort(group)])


def _joined(scores_in: ArrayLike, scores_out: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    inside, outside = _scores(scores_in), _scores(scores_out)
    if not inside.size or not outside.size:
        raise InputError("Out-of-scope detection needs rows of both kinds; give in-scope and out-of-scope test rows.")
    return np.concatenate([inside, outside]), np.arange(inside.size + outside.size) < inside.size


def _scores(values: ArrayLike) -> Floats:
    scores = np.asarray(values, dtype=np.float64).ravel()
    if np.isnan(scores).any():
        raise InputError("The model gives scores that are not numbers; tune it with a lower learning rate.")
    return scores
