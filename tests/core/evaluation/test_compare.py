"""Two models on the same rows."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from core.evaluation.compare import compare_models, mcnemar


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_the_exact_binomial_test(only_a: int, only_b: int) -> None:
    total = only_a + only_b
    expected = min(1.0, 2 * binom.cdf(min(only_a, only_b), total, 0.5)) if total else 1.0
    assert mcnemar(only_a, only_b) == pytest.approx(expected)


def test_the_better_model_wins_with_its_interval() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 500)
    good, bad = (np.eye(3)[np.where(rng.random(500) < skill, truth, (truth + 1) % 3)] for skill in (0.9, 0.7))
    result = compare_models(truth, good, bad, ["a", "b", "c"], resamples=300)
    assert result.accuracy.difference.low > 0 and result.f1_macro.difference.low > 0
    assert result.mcnemar_p < 1e-6
    gap = (result.only_a_right - result.only_b_right) / result.n
    assert result.accuracy.difference.value == pytest.approx(gap)
    json.dumps(result.to_dict(), allow_nan=False)


def test_different_rows_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="shape"):
        compare_models([0, 1], np.eye(2), np.eye(2)[:1], ["a", "b"])
