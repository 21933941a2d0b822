"""Detectors of plain series: past only, scores in range, a surge is told once, plain and loud series alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verticals.finance.surges.series import DETECTORS, judge, surge, told_once


def counts(seed: int, level: float, n: int = 1200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(level * (1 + 0.5 * np.sin(np.arange(n) / 48 * 2 * np.pi))).astype(float)


@pytest.mark.parametrize("name", sorted(DETECTORS))
@settings(max_examples=5, deadline=None)
@given(st.integers(0, 100))
def test_scores_are_of_the_past_only(name: str, seed: int) -> None:
    values = counts(seed, 5.0, 400)
    changed = values.copy()
    changed[300:] = 1e6
    first, second = DETECTORS[name](values, 48), DETECTORS[name](changed, 48)
    assert np.array_equal(first[:300], second[:300])
    assert ((first >= 0) & (first <= 1)).all()


@pytest.mark.parametrize("level", [0.3, 5.0, 200.0])
def test_a_burst_is_told_once_in_quiet_and_loud_series(level: float) -> None:
    values = counts(1, level)
    values[900:912] += 12 * level + 20
    found = np.flatnonzero(judge(values, 48).anomaly)
    assert len(found[(found >= 900) & (found < 948)]) == 1
    assert 900 <= found[found >= 900][0] <= 903


def test_a_constant_series_is_never_unusual() -> None:
    assert not judge(np.full(500, 7.0), 24).anomaly.any()


def test_negative_values_and_short_series_are_judged_too() -> None:
    assert surge(np.array([-1.0, 2.0, -3.0]), 1).shape == (3,)


def test_what_follows_within_a_period_scores_below_the_limit() -> None:
    ratio = np.zeros(120)
    ratio[[10, 20, 60]] = 5.0
    assert np.flatnonzero(told_once(ratio, 24) >= 0.5).tolist() == [10, 60]
