"""Bootstrap intervals and the paired comparison."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score

from core.errors import InputError
from core.evaluation import weighted
from core.evaluation.intervals import Interval, bootstrap, from_plain, paired_bootstrap, weighted_mean

LABELS = arrays(np.int64, st.integers(1, 40), elements=st.integers(0, 4))


@settings(deadline=None, max_examples=50)
@given(LABELS, st.integers(0, 5))
def test_intervals_contain_the_value(truth: np.ndarray, seed: int) -> None:
    predicted = np.random.default_rng(seed).integers(0, 5, truth.size)
    for metric in (weighted.accuracy, weighted.f1_macro, weighted.f1_weighted, weighted.mcc):
        interval = bootstrap(metric, [truth, predicted], resamples=50, seed=seed)
        assert interval.low <= interval.value <= interval.high


def test_the_mean_has_the_interval_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(3, 2, 2000)
    interval = bootstrap(weighted_mean, [values], resamples=4000)
    half = 1.96 * values.std() / math.sqrt(values.size)
    assert interval.value == pytest.approx(values.mean())
    assert interval.high - interval.value == pytest.approx(half, rel=0.08)
    assert interval.value - interval.low == pytest.approx(half, rel=0.08)


def test_coverage_is_near_the_stated_confidence() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for seed in range(200):
        interval = bootstrap(weighted_mean, [rng.random(150) < 0.7], resamples=300, seed=seed)
        hits += interval.low <= 0.7 <= interval.high
    assert 0.89 <= hits / 200 <= 0.99


def test_the_seed_decides() -> None:
    rng = np.random.default_rng(3)
    truth, predicted = rng.integers(0, 3, 101), rng.integers(0, 3, 101)
    first = bootstrap(weighted.f1_macro, [truth, predicted], seed=5)
    assert first == bootstrap(weighted.f1_macro, [truth, predicted], seed=5)
    assert first != bootstrap(weighted.f1_macro, [truth, predicted], seed=6)


def test_a_plain_function_gives_the_same_interval_as_the_vectorised_one() -> None:
    rng = np.random.default_rng(4)
    truth, predicted = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    plain = from_plain(lambda t, p: f1_score(t, p, average="macro"))
    slow = bootstrap(plain, [truth, predicted], resamples=60)
    fast = bootstrap(weighted.f1_macro, [truth, predicted], resamples=60)
    assert slow.to_dict() == pytest.approx(fast.to_dict())


def test_a_narrower_confidence_gives_a_narrower_interval() -> None:
    values = np.random.default_rng(5).random(300)
    wide, narrow = (bootstrap(weighted_mean, [values], confidence=c) for c in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_no_rows_no_resamples_and_wrong_use() -> None:
    with pytest.raises(InputError, match="no rows"):
        bootstrap(weighted_mean, [[]])
    with pytest.raises(ValueError, match="length"):
        bootstrap(weighted.accuracy, [[1, 2], [1]])
    with pytest.raises(ValueError, match="confidence"):
        bootstrap(weighted_mean, [[1.0]], confidence=95)
    assert bootstrap(weighted_mean, [[1.0, 2.0]], resamples=0).to_dict() == {
        "value": 1.5,
        "low": None,
        "high": None,
    }


def test_not_a_number_becomes_null() -> None:
    assert Interval(math.nan, -math.inf, 1.0).to_dict() == {"value": None, "low": None, "high": 1.0}


def test_paired_bootstrap_of_a_model_with_itself_is_a_tie() -> None:
    rng = np.random.default_rng(6)
    truth, a = rng.integers(0, 5, 80), rng.integers(0, 5, 80)
    result = paired_bootstrap(weighted.f1_macro, truth, a, a, resamples=200)
    assert result.to_dict() == {
        "difference": {"value": 0.0, "low": 0.0, "high": 0.0},
        "p_value": 1.0,
        "better_probability": 0.5,
        "n": 80,
    }


def test_paired_bootstrap_sees_a_clear_difference_and_is_antisymmetric() -> None:
    truth = np.arange(400) % 4
    a, b = truth.copy(), truth.copy()
    a[:20], b[:80] = (a[:20] + 1) % 4, (b[:80] + 1) % 4
    forward = paired_bootstrap(weighted.accuracy, truth, a, b)
    backward = paired_bootstrap(weighted.accuracy, truth, b, a)
    assert forward.difference.value == pytest.approx(0.15)
    assert forward.difference.low > 0 and forward.p_value < 0.01 and forward.better_probability == 1.0
    assert backward.difference.value == -forward.difference.value
    assert backward.p_value == forward.p_value and backward.better_probability == 0.0


def test_p_values_of_equal_models_are_not_small_too_often() -> None:
    rng = np.random.default_rng(7)
    small = 0
    for seed in range(200):
        truth = rng.integers(0, 2, 200)
        a, b = (np.where(rng.random(200) < 0.8, truth, 1 - truth) for _ in range(2))
        small += paired_bootstrap(weighted.accuracy, truth, a, b, resamples=200, seed=seed).p_value < 0.05
    assert small <= 22


def test_ten_thousand_rows_and_150_classes_take_seconds_not_minutes() -> None:
    rng = np.random.default_rng(8)
    truth = rng.integers(0, 150, 10_000)
    predicted = np.where(rng.random(10_000) < 0.9, truth, rng.integers(0, 150, 10_000))
    start = time.process_time()
    bootstrap(weighted.f1_macro, [truth, predicted])
    assert time.process_time() - start < 5
