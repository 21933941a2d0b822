"""Re-rank for variety: MMR, determinantal point processes, calibrated categories; each with a dial.

``accuracy`` is the dial: 1 keeps the ranker's order, 0 looks at variety alone. Scores are brought to 0–1 within the
list first, so that the dial means the same for every ranker. All return positions in the given list, best first.
"""

import numpy as np

from core.errors import InputError
from verticals.recommend.histories import Float32, Floats, Ints


def mmr(scores: Floats, vectors: Float32, k: int, accuracy: float = 0.7) -> Ints:
    """Maximal marginal relevance (Carbonell & Goldstein 1998): what is good and unlike what was chosen.

    ``scores`` [c], unit ``vectors`` [c, d]. Each step weighs the score against the largest cosine to the chosen.
    """
    values, k = _check(scores, k, accuracy), min(k, len(scores))
    closest = np.zeros(len(values), dtype=np.float64)
    free = np.ones(len(values), dtype=bool)
    chosen = np.empty(k, dtype=np.int64)
    for step in range(k):
        gain = accuracy * values - (1 - accuracy) * closest
        best = int(np.argmax(np.where(free, gain, -np.inf)))
        chosen[step], free[best] = best, False
        similar = vectors @ vectors[best]
        closest = similar.astype(np.float64) if step == 0 else np.maximum(closest, similar)
    return chosen


def dpp(scores: Floats, vectors: Float32, k: int, accuracy: float = 0.7) -> Ints:
    """The most likely set of a determinantal point process, by the fast greedy search of Chen et al. 2018.

    The kernel is diag(q) S diag(q) with S = (1 + cosine) / 2 and q = exp(a * score), a = accuracy / 2(1 - accuracy).
    When nothing new can be added (as many chosen as dimensions), the rest follows by score.
    """
    values, k = _check(scores, k, accuracy), min(k, len(scores))
    if accuracy == 1:
        return np.argsort(-values, kind="stable")[:k].astype(np.int64)
    log_quality = values * accuracy / (2 * (1 - accuracy))
    # The quality multiplies a row and a column of the kernel, so it only shifts the log of each gain: this way
    # it cannot overflow. Conditional variances start at S_ii.
    variance = np.full(len(values), 1.0) if len(values) else np.empty(0)
    basis = np.zeros((k, len(values)))
    free = np.ones(len(values), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < k:
        gain = np.where(free & (variance > 1e-10), 2 * log_quality + np.log(np.maximum(variance, 1e-300)), -np.inf)
        best = int(np.argmax(gain))
        if gain[best] == -np.inf:
            break
        row = (1 + vectors.astype(np.float64) @ vectors[best].astype(np.float64)) / 2
        step = len(chosen)
        update = (row - basis[:step, best] @ basis[:step]) / np.sqrt(variance[best])
        basis[step] = update
        variance = variance - update**2
        free[best] = False
        chosen.append(best)
    rest = [int(i) for i in np.argsort(-values, kind="stable") if free[i]]
    return np.array([*chosen, *rest][:k], dtype=np.int64)


def calibrated(scores: Floats, categories: Floats, wanted: Floats, k: int, accuracy: float = 0.7) -> Ints:
    """Calibrated recommendations (Steck 2018): the mix of the list follows the mix of the user's past.

    ``categories`` [c, g]: each item's shares of the categories; ``wanted`` [g]: the user's. Greedy steps maximise
    accuracy * sum of scores - (1 - accuracy) * KL(wanted || list), the list mixed with 1% of what is wanted.
    """
    values, k = _check(scores, k, accuracy), min(k, len(scores))
    total = float(np.sum(wanted))
    if categories.shape != (len(values), len(wanted)) or total <= 0 or np.min(wanted) < 0:
        raise InputError(
            f"categories {categories.shape} and {len(wanted)} wanted shares of {len(values)} items differ."
        )
    p = np.asarray(wanted, dtype=np.float64) / total
    there = p > 0
    p, shares = p[there], np.asarray(categories, dtype=np.float64)[:, there]
    sum_shares, sum_scores = np.zeros(len(p)), 0.0
    free = np.ones(len(values), dtype=bool)
    chosen = np.empty(k, dtype=np.int64)
    for step in range(k):
        mix = 0.99 * (sum_shares + shares) / (step + 1) + 0.01 * p
        divergence = (p * np.log(p / mix)).sum(axis=1)
        gain = accuracy * (sum_scores + values) - (1 - accuracy) * divergence
        best = int(np.argmax(np.where(free, gain, -np.inf)))
        chosen[step], free[best] = best, False
        sum_shares, sum_scores = sum_shares + shares[best], sum_scores + values[best]
    return chosen


def user_mix(categories: Floats, weights: Floats) -> Floats:
    """The shares of categories [g] in a history: items' ``categories`` [h, g] by the ``weights`` [h] of its events."""
    total = (np.asarray(weights, dtype=np.float64)[:, None] * categories).sum(axis=0)
    return np.asarray(total / total.sum()) if total.sum() > 0 else np.full(len(total), 1 / max(len(total), 1))


def unit_scores(scores: Floats) -> Floats:
    """Scores brought to 0–1 within the list; equal ones become 1. An excluded item (-inf) stays below all others."""
    values = np.asarray(scores, dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(len(values))
    low, high = values[finite].min(), values[finite].max()
    scaled = (np.where(finite, values, low) - low) / (high - low) if high > low else np.ones(len(values))
    return np.where(finite, scaled, -1e6)


def _check(scores: Floats, k: int, accuracy: float) -> Floats:
    if not 0 <= accuracy <= 1:
        raise InputError(f"accuracy = {accuracy}; the dial goes from 0 (variety) to 1 (accuracy).")
    if k < 0:
        raise InputError(f"k = {k}; a list cannot have fewer than no places.")
    if np.isnan(np.asarray(scores, dtype=np.float64)).any():
        at = int(np.flatnonzero(np.isnan(scores))[0])
        raise InputError(f"score {at + 1} is not a number; score the candidates again.")
    return unit_scores(scores)
