"""Temperature scaling: make a probability mean what it says, without changing any prediction."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, logsumexp, softmax

from core.errors import InputError
from core.evaluation import weighted
from core.evaluation.files import write_json
from core.evaluation.intervals import Floats

LOWEST, HIGHEST = 0.01, 100.0


@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability diagram: rows with confidence in (low, high], their confidence, accuracy."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature with what it changed; ECE and NLL (nats) are on the ``measured_n`` rows.

    ``held_out`` is False when those rows are the fitting rows, which flatters the figures after scaling.
    """

    temperature: float
    ece_before: float
    ece_after: float
    nll_before: float
    nll_after: float
    fitted_on: int
    measured_n: int
    held_out: bool
    multi_label: bool
    bins_before: tuple[ReliabilityBin, ...]
    bins_after: tuple[ReliabilityBin, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        bins = {name: [b.to_dict() for b in getattr(self, name)] for name in ("bins_before", "bins_after")}
        return {**vars(self), **bins}

    def save(self, path: str | Path) -> Path:
        """Write as JSON, atomically."""
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Read what ``save`` wrote; raises InputError naming the file and what is wrong with it."""
        path = Path(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls.from_dict(values)
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such file; tune the model again to calibrate it.") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path} is not a calibration file ({error}); tune the model again.") from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """The inverse of ``to_dict``; raises ValueError for a temperature that cannot be used."""
        bins = {n: tuple(ReliabilityBin(**b) for b in values[n]) for n in ("bins_before", "bins_after")}
        made = cls(**{**values, **bins})
        if not (isinstance(made.temperature, int | float) and 0 < made.temperature < math.inf):
            raise ValueError(f"temperature = {made.temperature!r} must be a number above 0")
        return made


def fit_temperature(logits: ArrayLike, truth: ArrayLike) -> float:
    """The temperature that minimises the negative log-likelihood (Guo et al. 2017), within 0.01 to 100.

    ``truth`` [n] of class numbers means a softmax over ``logits`` [n, c]; ``truth`` [n, c] of 0/1 means
    sigmoids. When every decision is right, or there is nothing to learn from (no rows, one class), the
    likelihood only asks for ever more confidence, which the rows cannot justify: the answer is then 1.
    """
    from scipy.optimize import minimize_scalar

    logits, truth = _check(logits, truth)
    if not len(logits) or (truth.ndim == 1 and logits.shape[1] < 2) or _separated(logits, truth):
        return 1.0
    bounds = (math.log(LOWEST), math.log(HIGHEST))
    # Convex in 1/T, hence with one valley in log T: a bounded scalar search finds the bottom.
    found = minimize_scalar(
        lambda t: negative_log_likelihood(logits, truth, math.exp(t)),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-6},
    )
    # Where the likelihood is flat, or the best end lies on a bound, the search may stop beside it.
    options = [math.exp(found.x), LOWEST, HIGHEST, 1.0]
    return float(min(options, key=lambda t: (negative_log_likelihood(logits, truth, t), abs(math.log(t)))))


def apply(logits: ArrayLike, temperature: float, multi_label: bool = False) -> Floats:
    """Calibrated probabilities [n, c]: the softmax (or each sigmoid) of ``logits / temperature``."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    return np.asarray(expit(scaled) if multi_label else softmax(scaled, axis=-1))


def calibrate(
    logits: ArrayLike, truth: ArrayLike, held_out: tuple[ArrayLike, ArrayLike] | None = None, bins: int = 15
) -> Calibration:
    """Fit a temperature on (logits, truth) and measure it, on other rows when ``held_out`` is given."""
    fit_logits, fit_truth = _check(logits, truth)
    temperature = fit_temperature(fit_logits, fit_truth)
    rows, labels = (fit_logits, fit_truth) if held_out is None else _check(*held_out)
    if not len(rows):
        raise InputError("There are no rows to calibrate on; give the model a validation part.")
    multi_label = labels.ndim == 2
    before, after = (_confidence(rows, labels, t) for t in (1.0, temperature))
    return Calibration(
        temperature=temperature,
        ece_before=expected_calibration_error(*before, bins=bins),
        ece_after=expected_calibration_error(*after, bins=bins),
        nll_before=negative_log_likelihood(rows, labels, 1.0),
        nll_after=negative_log_likelihood(rows, labels, temperature),
        fitted_on=len(fit_logits),
        measured_n=len(rows),
        held_out=held_out is not None,
        multi_label=multi_label,
        bins_before=reliability(*before, bins=bins),
        bins_after=reliability(*after, bins=bins),
    )


def negative_log_likelihood(logits: Floats, truth: NDArray[Any], temperature: float = 1.0) -> float:
    """Mean negative log-likelihood in nats: a row (class numbers [n]) or a decision (0/1 [n, c])."""
    scaled = logits / temperature
    if truth.ndim == 2:
        return float(-log_expit(np.where(truth == 1, scaled, -scaled)).mean())
    return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(scaled)), truth]).mean())


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """ECE over equal-width bins (Guo et al. 2017), between 0 and 1."""
    confidence = np.asarray(confidence, dtype=np.float64)
    return float(weighted.ece(confidence, correct, np.ones((1, len(confidence))), bins)[0])


def reliability(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> tuple[ReliabilityBin, ...]:
    """The bars of a reliability diagram; an empty bin has no confidence and no accuracy."""
    confidence, correct = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    index = weighted.bin_index(confidence, bins)
    counts = np.bincount(index, minlength=bins)
    sure, right = (np.bincount(index, weights=v, minlength=bins) for v in (confidence, correct))
    return tuple(
        ReliabilityBin(
            i / bins,
            (i + 1) / bins,
            int(counts[i]),
            float(sure[i] / counts[i]) if counts[i] else None,
            float(right[i] / counts[i]) if counts[i] else None,
        )
        for i in range(bins)
    )


def _confidence(logits: Floats, truth: NDArray[Any], temperature: float) -> tuple[Floats, NDArray[Any]]:
    probabilities = apply(logits, temperature, multi_label=truth.ndim == 2)
    if truth.ndim == 2:
        return probabilities.ravel(), truth.ravel()
    # The class is chosen from the logits: dividing by a temperature can make near neighbours equal.
    called = logits.argmax(axis=1)
    return probabilities[np.arange(len(called)), called], called == truth


def _separated(logits: Floats, truth: NDArray[Any]) -> bool:
    if truth.ndim == 2:
        return bool(np.where(truth == 1, logits >= 0, logits <= 0).all())
    return bool((logits[np.arange(len(logits)), truth] >= logits.max(axis=1)).all())


def _check(logits: ArrayLike, truth: ArrayLike) -> tuple[Floats, NDArray[Any]]:
    scores, labels = np.asarray(logits, dtype=np.float64), np.asarray(truth)
    if scores.ndim != 2 or len(labels) != len(scores) or labels.ndim not in (1, 2):
        raise ValueError(f"logits {scores.shape} must be [n, c], truth {labels.shape} [n] or [n, c]")
    if labels.ndim == 2 and labels.shape != scores.shape:
        raise ValueError(f"truth {labels.shape} and logits {scores.shape} differ in shape")
    if not np.isfinite(scores).all():
        raise InputError("The model gives scores that are not numbers; tune it with a lower learning rate.")
    labels = labels.astype(np.int64)
    if labels.size and (labels.min() < 0 or labels.max() >= (2 if labels.ndim == 2 else scores.shape[1])):
        raise ValueError("truth names a class that the logits do not have")
    return scores, labels
