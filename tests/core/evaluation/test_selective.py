"""Risk-coverage and out-of-scope detection."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from core.errors import InputError
from core.evaluation.selective import auroc, out_of_scope, risk_coverage

SCORES = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=25)


@settings(deadline=None, max_examples=60)
@given(SCORES, SCORES)
def test_auroc_agrees_with_scikit_learn_also_on_ties(inside: list[float], outside: list[float]) -> None:
    interval = auroc(inside, outside, resamples=30)
    expected = roc_auc_score([1] * len(inside) + [0] * len(outside), inside + outside)
    assert interval.value == pytest.approx(expected)
    assert interval.low <= interval.value <= interval.high


@settings(deadline=None, max_examples=60)
@given(SCORES, SCORES, st.floats(0.01, 1))
def test_the_threshold_keeps_its_promise_and_is_the_highest_that_does(
    inside: list[float], outside: list[float], acceptance: float
) -> None:
    result = out_of_scope(inside, outside, acceptance, resamples=10)
    assert result.accepted >= acceptance - 1e-9
    higher = [s for s in inside if s > result.threshold]
    assert not higher or len(higher) / len(inside) < acceptance
    assert result.recall.value == pytest.approx(np.mean(np.array(outside) < result.threshold))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_aurc_is_the_mean_over_every_order_of_ties(rows: list[tuple[int, bool]]) -> None:
    confidence, correct = np.array([c for c, _ in rows], dtype=float), np.array([ok for _, ok in rows])
    areas = []
    for order in itertools.permutations(range(len(rows))):
        if (np.diff(confidence[list(order)]) <= 0).all():
            wrong = 1.0 - correct[list(order)]
            areas.append((np.cumsum(wrong) / np.arange(1, len(rows) + 1)).mean())
    result = risk_coverage(confidence, correct, resamples=20)
    assert result.aurc.value == pytest.approx(np.mean(areas))
    assert result.risk.mean() == pytest.approx(result.aurc.value)
    assert result.risk[-1] == pytest.approx(1 - correct.mean())


def test_good_confidence_has_a_lower_risk_when_answering_less() -> None:
    result = risk_coverage([0.9, 0.8, 0.7, 0.1], [1, 1, 1, 0], resamples=20)
    assert (result.risk_at(0.75), result.risk_at(1.0)) == (0.0, 0.25)
    assert result.to_dict()["risk_at_coverage"]["0.70"] == 0.0


def test_one_side_missing_or_not_numbers() -> None:
    with pytest.raises(InputError, match="both kinds"):
        auroc([0.5], [])
    with pytest.raises(InputError, match="not numbers"):
        auroc([np.nan], [0.5])
