"""The precision dial: how sure the bot must be so that a wanted share of its answers is right, and what that costs.

The threshold comes from held-out answers that people judged, by Learn then Test (Angelopoulos et al. 2021): going from
strict to lenient, a threshold is taken while an exact binomial bound (Clopper & Pearson 1934) says that the precision
behind it reaches the target. So the promise holds for the rows to come, not only for those that were counted.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from core.errors import InputError
from core.evaluation.files import write_json

DELTA = 0.05  # the chance that the promise does not hold
FEWEST = 50  # judged answers below which nothing is promised
_STARTS = (0.1, 0.25, 0.5, 0.75, 1.0)  # coverages at which a walk begins; each has its share of DELTA
_GRID = 100


@dataclass(frozen=True)
class Thresholds:
    """How sure the bot must be: that a question is in scope, that a template is right, that a passage is.

    ``precision`` is what they were fitted for, on ``rows`` judged answers; 0 rows: those that ship.
    """

    scope: float
    template: float
    passage: float
    precision: float = 0.95
    rows: int = 0
    fitted: str = ""

    def with_answer(self, threshold: float, precision: float, rows: int, now: datetime) -> "Thresholds":
        """The same with one threshold for whatever is answered."""
        when = now.astimezone(UTC).isoformat(timespec="seconds")
        return replace(self, template=threshold, passage=threshold, precision=precision, rows=rows, fitted=when)

    def current(self) -> "Thresholds":
        """These."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def save(self, path: Path) -> None:
        """Write as JSON, atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: Path, shipped: Mapping[str, float]) -> "Thresholds":
        """Those fitted here, else the shipped ones. Raises InputError for a file that is damaged."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            scope, template, passage = (float(shipped[name]) for name in ("scope", "template", "passage"))
            return cls(scope, template, passage, float(shipped.get("precision", 0.95)))
        except (ValueError, TypeError, OSError) as error:
            raise InputError(f"{path} holds no thresholds ({error}); delete it to use the shipped ones.") from error


class Watched:
    """Thresholds in a file that other processes may write: a new fit is in force with the next question."""

    def __init__(self, path: Path, shipped: Mapping[str, float]) -> None:
        self.path, self._shipped = path, shipped
        self._seen: tuple[int, int] | None = None
        self._known = Thresholds.load(path, shipped)

    def current(self) -> Thresholds:
        """Those in force. A file that was damaged later changes nothing."""
        try:
            state = self.path.stat()
            mark = (state.st_mtime_ns, state.st_size)
        except OSError:
            mark = None
        if mark != self._seen:
            try:
                self._known, self._seen = Thresholds.load(self.path, self._shipped), mark
            except InputError:
                self._seen = mark
        return self._known


@dataclass(frozen=True)
class Point:
    """At this threshold ``coverage`` of the questions are answered, ``precision`` of them rightly (with bounds)."""

    threshold: float
    coverage: float
    answered: int
    precision: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Dial:
    """The fitted threshold and the curve behind it. ``threshold`` is None when no threshold keeps the promise."""

    target: float
    threshold: float | None
    coverage: float
    curve: tuple[Point, ...]
    rows: int
    delta: float
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "curve": [point.to_dict() for point in self.curve]}


def fit(confidence: ArrayLike, correct: ArrayLike, target: float = 0.95, delta: float = DELTA) -> Dial:
    """The most lenient threshold whose precision is at least ``target`` with probability 1 - ``delta``.

    ``confidence`` [n] in [0, 1] of what was or would have been answered, ``correct`` [n] whether people found it right.
    Raises InputError for a target outside (0.5, 1) and rows that do not fit together.
    """
    sure, right = _rows(confidence, correct)
    if not 0.5 < target < 1:
        raise InputError(f"a precision of {target} cannot be promised; ask for more than 0.5 and less than 1.")
    curve = tuple(_curve(sure, right))
    if len(sure) < FEWEST:
        reason = f"{len(sure)} judged answers are too few; {FEWEST} are needed"
        return Dial(target, None, 0.0, curve, len(sure), delta, reason)
    # Conditions on the scores alone: the grid knows nothing of what was right, so the tests stay valid.
    grid = np.unique(np.quantile(sure, np.linspace(0, 1, _GRID + 1)))[::-1]
    low = _lows(*_counts(sure, right, grid), delta / len(_STARTS))
    best: int | None = None
    for start in _STARTS:
        begin = int(np.searchsorted(-grid, -np.quantile(sure, 1 - start)))
        kept = low[begin:] >= target
        length = len(kept) if kept.all() else int(np.argmin(kept))  # up to the first that fails
        if length:
            best = max(best or 0, begin + length - 1)
    if best is None:
        return Dial(target, None, 0.0, curve, len(sure), delta, "no threshold keeps this promise on the judged answers")
    threshold = float(grid[best])
    return Dial(target, threshold, float((sure >= threshold).mean()), curve, len(sure), delta)


@dataclass(frozen=True)
class Drift:
    """Whether what comes in now still looks like what the threshold was fitted on."""

    warning: bool
    reason: str
    precision: float | None
    answered: int
    p_precision: float
    p_confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def drift(
    fitted_confidence: ArrayLike,
    confidence: ArrayLike,
    correct: Sequence[bool | None],
    threshold: float,
    target: float,
    level: float = 0.01,
) -> Drift:
    """Compare recent questions with those fitted on: precision by an exact test, confidences by Kolmogorov-Smirnov.

    ``correct`` [n] is None where nobody has judged. Each test is made at ``level`` / 2.
    """
    from scipy.stats import binomtest, ks_2samp

    before, sure = np.asarray(fitted_confidence, float), np.asarray(confidence, float)
    judged = [bool(c) for s, c in zip(sure, correct, strict=True) if c is not None and s >= threshold]
    p_precision = float(binomtest(sum(judged), len(judged), target, "less").pvalue) if judged else 1.0
    p_confidence = float(ks_2samp(before, sure).pvalue) if len(before) and len(sure) else 1.0
    reasons = []
    if p_precision < level / 2:
        reasons.append(f"{sum(judged)} of {len(judged)} recent answers were right, fewer than {target:.0%} allows")
    if p_confidence < level / 2:
        reasons.append("recent questions are answered with other confidences than those fitted on")
    share = sum(judged) / len(judged) if judged else None
    return Drift(bool(reasons), "; ".join(reasons), share, len(judged), p_precision, p_confidence)


def _curve(sure: np.ndarray, right: np.ndarray) -> list[Point]:
    if not len(sure):
        return []
    grid = np.unique(np.quantile(sure, np.linspace(0, 1, 51)))
    good, count = _counts(sure, right, grid)
    low, high = _lows(good, count, 0.025), 1 - _lows(count - good, count, 0.025)
    rows = zip(grid, count, good, low, high, strict=True)
    return [Point(float(t), int(n) / len(sure), int(n), g / n, float(a), float(b)) for t, n, g, a, b in rows]


def _counts(sure: np.ndarray, right: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many at or above each threshold are right, and how many there are."""
    order = np.argsort(-sure, kind="stable")
    count = np.searchsorted(-sure[order], -grid, side="right")
    return np.concatenate([[0], np.cumsum(right[order])])[count], count


def _lows(good: np.ndarray, count: np.ndarray, delta: float) -> np.ndarray:
    """The exact lower bounds of shares, one-sided at ``delta``."""
    from scipy.stats import beta

    return np.where(good > 0, beta.ppf(delta, np.maximum(good, 1), count - good + 1), 0.0)


def _rows(confidence: ArrayLike, correct: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if sure.ndim != 1 or sure.shape != right.shape:
        raise InputError(f"{sure.shape} confidences and {right.shape} judgements; there must be one for each answer.")
    if len(sure) and not (np.isfinite(sure).all() and sure.min() >= 0 and sure.max() <= 1):
        raise InputError("a confidence lies outside 0 to 1; pass the replies' own.")
    return sure, right
