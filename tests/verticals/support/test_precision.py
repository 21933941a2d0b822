from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from verticals.support.precision import Thresholds, drift, fit


def rows(count: int, seed: int, worse: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Answers whose confidence is the chance that they are right (made up, and calibrated by construction)."""
    random = np.random.default_rng(seed)
    sure = random.beta(5, 1, count)
    return sure, random.random(count) < sure - worse


def test_the_promise_holds_on_new_answers_nearly_always() -> None:
    broken = 0
    test_sure, test_right = rows(200_000, 999)
    for seed in range(40):
        threshold = fit(*rows(600, seed), target=0.9).threshold
        if threshold is not None:
            broken += test_right[test_sure >= threshold].mean() < 0.9
    assert broken <= 5  # 5% of 40 are 2; six would come in one case of seventy


def test_more_precision_costs_coverage_and_more_rows_give_some_back() -> None:
    sure, right = rows(4_000, 1)
    low, high = fit(sure, right, 0.85), fit(sure, right, 0.93)
    assert low.threshold is not None and high.threshold is not None
    assert low.coverage > high.coverage
    few = fit(sure[:300], right[:300], 0.85)
    assert few.threshold is None or few.coverage <= low.coverage


def test_too_few_rows_promise_nothing() -> None:
    dial = fit([0.9] * 49, [True] * 49)
    assert dial.threshold is None and "too few" in dial.reason


def test_what_cannot_be_kept_is_not_promised() -> None:
    dial = fit(*rows(1_000, 3, worse=0.5), target=0.95)
    assert dial.threshold is None and dial.coverage == 0.0 and len(dial.curve) > 10


def test_the_curve_falls_in_coverage_and_brackets_its_precision() -> None:
    curve = fit(*rows(1_000, 4)).curve
    assert [p.coverage for p in curve] == sorted((p.coverage for p in curve), reverse=True)
    assert all(0 <= p.low <= p.precision <= p.high <= 1 for p in curve)
    assert curve[0].coverage == 1.0


@pytest.mark.parametrize(
    ("sure", "right", "target"), [([0.5], [True, False], 0.9), ([2.0], [True], 0.9), ([0.5], [True], 1.0)]
)
def test_wrong_rows_are_refused(sure: list[float], right: list[bool], target: float) -> None:
    with pytest.raises(InputError):
        fit(sure, right, target)


def test_drift_warns_of_worse_answers_and_of_other_questions() -> None:
    fitted, _ = rows(1_000, 5)
    sure, right = rows(400, 6)
    steady = drift(fitted, sure, [bool(r) for r in right], 0.8, 0.85)
    assert not steady.warning and steady.precision is not None
    worse = drift(fitted, sure, [bool(r) and n % 3 > 0 for n, r in enumerate(right)], 0.8, 0.9)
    assert worse.warning and "fewer than 90%" in worse.reason
    other = drift(fitted, sure**4, [None] * len(sure), 0.8, 0.9)
    assert other.warning and "other confidences" in other.reason and other.precision is None
    assert not drift([], [], [], 0.8, 0.9).warning


def test_thresholds_are_kept_and_the_shipped_ones_stand_in(tmp_path: Path) -> None:
    shipped = {"scope": 0.6, "template": 0.5, "passage": 0.5}
    path = tmp_path / "support" / "thresholds.json"
    assert Thresholds.load(path, shipped) == Thresholds(0.6, 0.5, 0.5)
    fitted = Thresholds.load(path, shipped).with_answer(0.8, 0.97, 120, datetime(2026, 1, 1, tzinfo=UTC))
    fitted.save(path)
    assert Thresholds.load(path, shipped) == fitted
    assert (fitted.template, fitted.passage, fitted.scope, fitted.rows) == (0.8, 0.8, 0.6, 120)
    path.write_text("{")
    with pytest.raises(InputError, match="delete it"):
        Thresholds.load(path, shipped)
