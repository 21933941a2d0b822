"""Several seeds of one row as one figure with an interval."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A mean over ``seeds`` runs. ``interval`` says what ``low`` and ``high`` are the ends of."""

    value: float
    low: float | None
    high: float | None
    seeds: int
    interval: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def figure(values: Sequence[Mapping[str, float | None]]) -> Figure:
    """The mean of one metric over seeds.

    One seed: its bootstrap interval over test rows. Two: the range. Three or more: the 95% t-interval of the
    mean over seeds, which covers split and initialisation but not the choice of the data set.
    """
    found = [float(v["value"]) for v in values if v["value"] is not None]
    if not found:
        raise ValueError("there is no value to summarise")
    mean = statistics.fmean(found)
    if len(found) == 1:
        return Figure(mean, values[0]["low"], values[0]["high"], 1, "bootstrap over rows")
    if len(found) == 2:
        return Figure(mean, min(found), max(found), 2, "range of 2 seeds")
    from scipy.stats import t

    half = float(t.ppf(0.975, len(found) - 1)) * statistics.stdev(found) / math.sqrt(len(found))
    return Figure(mean, mean - half, mean + half, len(found), "t over seeds")
