"""Calibrated probabilities: what share of items with such a score is viewed, clicked, …, bought."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from core.errors import InputError
from core.evaluation.calibration import expected_calibration_error
from verticals.recommend.histories import Floats

ISOTONIC_FROM = 1000  # positives; with fewer, steps follow chance and Platt's two numbers are safer
LEAST = 10


@dataclass(frozen=True)
class Probability:
    """Score -> probability of one kind of event, by Platt's sigmoid or by isotonic steps.

    ``base_rate`` is the share on the fitting rows: the probabilities hold for lists like those (all that was shown,
    or all candidates), and ``ece`` is the expected calibration error on rows that were held back, None without.
    """

    kind: str
    method: Literal["platt", "isotonic"]
    slope: float
    offset: float
    scores: tuple[float, ...]
    shares: tuple[float, ...]
    base_rate: float
    fitted_on: int
    ece: float | None

    def apply(self, scores: ArrayLike) -> Floats:
        """Probabilities between 0 and 1, in the order of the scores; scores beyond those seen get the end's."""
        values = np.asarray(scores, dtype=np.float64)
        if self.method == "isotonic":
            return np.asarray(np.interp(values, self.scores, self.shares))
        from scipy.special import expit

        return np.asarray(expit(self.slope * values + self.offset))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "scores": list(self.scores), "shares": list(self.shares)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Probability":
        """The inverse of ``to_dict``."""
        return cls(**{**values, "scores": tuple(values["scores"]), "shares": tuple(values["shares"])})


def fit_probability(
    scores: ArrayLike,
    happened: ArrayLike,
    kind: str,
    weights: ArrayLike | None = None,
    method: Literal["auto", "platt", "isotonic"] = "auto",
    held_back: float = 0.3,
    seed: int = 0,
) -> Probability:
    """Fit on rows the ranker did not learn from: ``scores`` [r], ``happened`` [r] of 0/1.

    ``weights`` undo sampling: a negative that stands for ten weighs 10. Platt (1999) with its smoothed targets, or
    isotonic regression (Zadrozny & Elkan 2002) where there are many positives. The error is measured on a share
    ``held_back`` of the rows, and the curve then fitted on all. Raises InputError with fewer than 10 of either.
    """
    values, hit = np.asarray(scores, dtype=np.float64), np.asarray(happened, dtype=np.float64)
    mass = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(values) == len(hit) == len(mass):
        raise InputError(f"probability of {kind}: {len(values)} scores, {len(hit)} outcomes, {len(mass)} weights.")
    known = np.isfinite(values)
    values, hit, mass = values[known], hit[known], mass[known]
    if min((hit > 0).sum(), (hit == 0).sum()) < LEAST:
        raise InputError(f"probability of {kind}: at least {LEAST} rows with it and {LEAST} without are needed.")
    if method == "auto":
        method = "isotonic" if (hit > 0).sum() >= ISOTONIC_FROM else "platt"
    ece = None
    order = np.random.default_rng(seed).permutation(len(values))
    back, rest = np.split(order, [int(held_back * len(order))])
    if min((hit[rest] > 0).sum(), (hit[rest] == 0).sum()) >= 1 and back.size:
        trial = _fit(values[rest], hit[rest], mass[rest], kind, method, None)
        ece = _weighted_ece(trial.apply(values[back]), hit[back], mass[back])
    return _fit(values, hit, mass, kind, method, ece)


def fit_all(
    scores: ArrayLike, happened: Mapping[str, ArrayLike], weights: ArrayLike | None = None, seed: int = 0
) -> dict[str, Probability]:
    """One curve for each kind of event with enough rows; the others are left out."""
    found = {}
    for kind, outcome in happened.items():
        hit = np.asarray(outcome, dtype=np.float64)
        if min((hit > 0).sum(), (hit == 0).sum()) >= LEAST:
            found[kind] = fit_probability(scores, hit, kind, weights, seed=seed)
    return found


def _fit(values: Floats, hit: Floats, mass: Floats, kind: str, method: Any, ece: float | None) -> Probability:
    base = float((mass * hit).sum() / mass.sum())
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(values, hit, mass)
        x, y = curve.X_thresholds_, curve.y_thresholds_
        return Probability(kind, "isotonic", 0.0, 0.0, tuple(x.tolist()), tuple(y.tolist()), base, len(values), ece)
    slope, offset = _platt(values, hit, mass)
    return Probability(kind, "platt", slope, offset, (), (), base, len(values), ece)


def _platt(values: Floats, hit: Floats, mass: Floats) -> tuple[float, float]:
    """Slope (never below 0: a better score cannot mean less) and offset of the most likely sigmoid."""
    from scipy.optimize import minimize
    from scipy.special import expit

    positives, negatives = float((mass * hit).sum()), float((mass * (1 - hit)).sum())
    target = np.where(hit > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    middle, spread = float(values.mean()), float(values.std()) or 1.0
    z = (values - middle) / spread

    def loss(w: Floats) -> tuple[float, Floats]:
        s = w[0] * z + w[1]
        value = (mass * (np.logaddexp(0, s) - target * s)).sum() / mass.sum()
        gap = mass * (expit(s) - target) / mass.sum()
        return float(value), np.array([(gap * z).sum(), gap.sum()])

    start = np.array([1.0, np.log((positives + 1) / (negatives + 1))])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)])
    slope = float(found.x[0]) / spread
    return slope, float(found.x[1]) - slope * middle


def _weighted_ece(probability: Floats, hit: Floats, mass: Floats, bins: int = 15) -> float:
    if np.allclose(mass, mass[0]):
        return expected_calibration_error(probability, hit, bins)
    index = np.minimum((probability * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(index, weights=mass * (probability - hit), minlength=bins)
    return float(np.abs(gaps).sum() / mass.sum())
