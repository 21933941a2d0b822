"""A learning curve: what a method reached with few labels, and what more should bring."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Curve:
    """accuracy(n) = ceiling - scale * n ** -power. ``next_100``: the expected gain of 100 more labels."""

    points: tuple[tuple[int, float], ...]
    ceiling: float
    scale: float
    power: float
    next_100: float

    def at(self, rows: float) -> float:
        """Expected accuracy with that many labels."""
        return float(self.ceiling - self.scale * rows**-self.power)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "points": [list(point) for point in self.points]}


def fit_curve(points: Sequence[tuple[int, float]]) -> Curve:
    """Inverse power law by bounded least squares (Cortes et al. 1994; Figueroa et al. 2012), three points or more.

    The curve never falls and never passes 1; where the points fall, it is flat.
    """
    from scipy.optimize import least_squares

    rows, values = (np.array(part, dtype=np.float64) for part in zip(*sorted(points), strict=True))

    def error(w: np.ndarray) -> np.ndarray:
        return np.asarray(w[0] - w[1] * rows ** -w[2] - values)

    top = min(1.0, float(values.max()))
    start = [min(0.999, top + 0.02), max(1e-3, float(np.ptp(values))), 0.5]
    found = least_squares(error, start, bounds=([0.0, 0.0, 0.05], [1.0, 10.0, 2.0])).x
    ceiling, scale, power = (float(v) for v in found)
    last = float(rows.max())
    gain = scale * last**-power - scale * (last + 100) ** -power
    return Curve(tuple((int(n), float(v)) for n, v in sorted(points)), ceiling, scale, power, gain)
