"""Off-policy estimates: what another ranking would have earned, from logs of the ranking that was shown."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from core.errors import InputError
from core.evaluation.intervals import Floats, Interval, bootstrap_many


@dataclass(frozen=True)
class OffPolicy:
    """IPS and SNIPS with intervals over logged rows; ``effective_n`` says how many rows the weights are worth."""

    ips: Interval
    snips: Interval
    logged: Interval
    effective_n: float
    n: int
    clipped: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parts = {name: getattr(self, name).to_dict() for name in ("ips", "snips", "logged")}
        return {**parts, "effective_n": self.effective_n, "n": self.n, "clipped": self.clipped}


def estimate(
    reward: ArrayLike,
    propensity: ArrayLike,
    target: ArrayLike,
    clip: float | None = 100.0,
    resamples: int = 1000,
    seed: int = 0,
) -> OffPolicy:
    """The mean reward under another policy, from the rows another one logged.

    ``reward`` [r] (clicked 0/1, a value), ``propensity`` [r]: the probability with which the logging policy showed
    the row's item there, ``target`` [r]: that of the policy to be judged. IPS is the mean of reward * target /
    propensity (Horvitz & Thompson 1952), SNIPS divides by the mean weight (Swaminathan & Joachims 2015): biased
    a little, far steadier. Weights above ``clip`` are cut and counted. Raises InputError for a propensity that
    is not in (0, 1] and where the target puts no weight on anything that was shown.
    """
    rewards, shown, wanted = (np.asarray(a, dtype=np.float64) for a in (reward, propensity, target))
    if not rewards.shape == shown.shape == wanted.shape or rewards.ndim != 1:
        raise InputError(f"off-policy: {rewards.shape} rewards, {shown.shape} propensities, {wanted.shape} targets.")
    for name, values, good in (
        ("propensity", shown, (shown > 0) & (shown <= 1)),
        ("target probability", wanted, (wanted >= 0) & (wanted <= 1)),
        ("reward", rewards, np.isfinite(rewards)),
    ):
        if not good.all():
            row = int(np.argmin(good))
            raise InputError(f"off-policy, row {row + 1}: {name} {values[row]} cannot be; log it with the impression.")
    weights = wanted / shown
    clipped = int((weights > clip).sum()) if clip else 0
    weights = np.minimum(weights, clip) if clip else weights
    if weights.sum() <= 0:
        raise InputError("off-policy: the policy to be judged would have shown none of the logged items.")

    def metrics(given: Any, share: Any, weights: Floats) -> dict[str, Floats]:
        total, mass = weights @ (given * share), weights @ share
        n = weights.sum(axis=1)
        snips = np.divide(total, mass, out=np.full(len(total), np.nan), where=mass > 0)
        return {"ips": total / n, "snips": snips, "logged": weights @ given / n}

    found = bootstrap_many(metrics, [rewards, weights], resamples, seed)
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    return OffPolicy(found["ips"], found["snips"], found["logged"], effective, len(rewards), clipped)


def position_propensities(position: ArrayLike, clicked: ArrayLike, eta: float | None = None) -> Floats:
    """Chance that a place is looked at, from its position (from 1): (1 / position) ** eta, 1 at the top.

    Joachims et al. 2017; without ``eta`` it is the slope of log click rate on log position, which takes the items
    of all places for equally good: a rough guess, to be told as one.
    """
    places, hits = np.asarray(position, dtype=np.float64), np.asarray(clicked, dtype=np.float64)
    if not len(places) or not (np.isfinite(places) & (places >= 1)).all():
        raise InputError("off-policy: positions count from 1; log the place of each shown item.")
    if eta is None:
        levels, rows = np.unique(places, return_inverse=True)
        shown = np.bincount(rows)
        rates = (np.bincount(rows, weights=hits) + 0.5) / (shown + 1)
        eta = 0.0
        if len(levels) > 1:
            x, y = np.log(levels), np.log(rates)
            middle = np.average(x, weights=shown)
            eta = float(-np.average((x - middle) * y, weights=shown) / np.average((x - middle) ** 2, weights=shown))
        eta = max(0.0, eta)
    return np.asarray(places**-eta)
