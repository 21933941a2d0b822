"""May a challenger replace the champion? Both judged on the same rows; every reason against is said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from core.evaluation import weighted
from core.evaluation.calibration import expected_calibration_error
from core.evaluation.compare import compare_models
from core.evaluation.intervals import paired_bootstrap


class GateConfig(BaseModel):
    """What a challenger has to keep. Losses are shares of the rows: 0.01 is one point of accuracy."""

    model_config = ConfigDict(extra="forbid")

    minimum_rows: int = Field(default=50, ge=2, description="fewer rows to judge on decide nothing")
    frozen_loss: float = Field(default=0.01, ge=0, description="accuracy that may be lost on the frozen test")
    slice_rows: int = Field(default=20, ge=2, description="slices with fewer rows are not judged")
    slice_loss: float = Field(default=0.05, ge=0, description="accuracy that may be lost in a slice")
    calibration_loss: float = Field(default=0.03, ge=0, description="expected calibration error that may be added")
    latency_ratio: float = Field(default=1.5, gt=0, description="how much slower it may be")
    seed: int = 0


@dataclass(frozen=True)
class Rows:
    """Rows that both models have seen: class numbers [n], probabilities [n, c] of each, and slices, name -> [n] bool.

    ``recent`` [n] marks the rows that are people's corrections; the others are the frozen test.
    """

    truth: NDArray[np.int64]
    champion: NDArray[np.float64]
    challenger: NDArray[np.float64]
    labels: Sequence[str]
    recent: NDArray[np.bool_]
    slices: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """Whether to promote, the reasons against it in plain sentences, and the figures behind them."""

    promote: bool
    reasons: tuple[str, ...]
    figures: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"promote": self.promote, "reasons": list(self.reasons), "figures": dict(self.figures)}


def decide(rows: Rows, config: GateConfig, latency: tuple[float, float] | None = None) -> Decision:
    """Promote only a challenger that wins on all rows by the paired bootstrap's interval and loses nowhere.

    A slice regresses when more than ``slice_loss`` is lost and the interval excludes chance. ``latency``: seconds per
    text of (champion, challenger).
    """
    n = len(rows.truth)
    if n < config.minimum_rows:
        return Decision(False, (f"{n} rows are too few to decide on; {config.minimum_rows} are needed.",), {"n": n})
    reasons: list[str] = []
    compared = compare_models(rows.truth, rows.challenger, rows.champion, rows.labels, seed=config.seed)
    gain = compared.accuracy.difference
    figures: dict[str, Any] = {"n": n, "all": compared.to_dict()}
    if not gain.low > 0:
        reasons.append(
            f"it does not win: accuracy {gain.value:+.3f} with an interval from {gain.low:+.3f} to {gain.high:+.3f}."
        )
    guesses = rows.challenger.argmax(axis=1), rows.champion.argmax(axis=1)
    frozen = ~rows.recent
    if frozen.any():
        change = float((guesses[0] == rows.truth)[frozen].mean() - (guesses[1] == rows.truth)[frozen].mean())
        figures["frozen"] = {"n": int(frozen.sum()), "difference": change}
        if change < -config.frozen_loss:
            reasons.append(f"it loses {-change:.3f} accuracy on the frozen test; {config.frozen_loss:g} are allowed.")
    figures["slices"] = {}
    for name, mask in rows.slices.items():
        if int(mask.sum()) < config.slice_rows:
            continue
        truth, new, old = rows.truth[mask], guesses[0][mask], guesses[1][mask]
        found = paired_bootstrap(weighted.accuracy, truth, new, old, seed=config.seed).difference
        figures["slices"][name] = {"n": int(mask.sum()), **found.to_dict()}
        if found.value < -config.slice_loss and found.high < 0:
            reasons.append(f"slice {name} loses {-found.value:.3f} accuracy ({found.low:+.3f} to {found.high:+.3f}).")
    errors = [_ece(probabilities, rows.truth) for probabilities in (rows.challenger, rows.champion)]
    figures["calibration_error"] = {"challenger": errors[0], "champion": errors[1]}
    if errors[0] - errors[1] > config.calibration_loss:
        reasons.append(f"its calibration error is {errors[0]:.3f} after {errors[1]:.3f}.")
    if latency is not None:
        figures["seconds_per_text"] = {"champion": latency[0], "challenger": latency[1]}
        if latency[1] > latency[0] * config.latency_ratio:
            reasons.append(f"it is {latency[1] / latency[0]:.1f} times as slow; {config.latency_ratio:g} are allowed.")
    return Decision(not reasons, tuple(reasons), figures)


def _ece(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    return expected_calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth)
