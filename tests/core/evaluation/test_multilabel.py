"""Multi-label metrics against scikit-learn."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from core.evaluation.multilabel import evaluate_multilabel

NAMES = list("abcdef")


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(2, 6), st.floats(0.05, 0.95), st.booleans())
def test_agrees_with_scikit_learn(seed: int, n: int, classes: int, threshold: float, coarse: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, classes)) < 0.3).astype(int)
    scores = rng.random((n, classes))
    if coarse:  # many equal scores
        scores = np.round(scores, 1)
    result = evaluate_multilabel(truth, scores, NAMES[:classes], threshold, resamples=20)
    got = {name: interval.value for name, interval in result.metrics.items()}
    called = (scores >= threshold).astype(int)
    present = np.flatnonzero((truth + called).sum(axis=0))
    assert got["f1_micro"] == pytest.approx(sk.f1_score(truth, called, average="micro", zero_division=0))
    if present.size:
        f1 = sk.f1_score(truth, called, average="macro", labels=present, zero_division=0)
        assert got["f1_macro"] == pytest.approx(f1)
    samples = sk.f1_score(truth, called, average="samples", zero_division=1)
    assert got["f1_samples"] == pytest.approx(samples)
    assert got["subset_accuracy"] == pytest.approx(sk.accuracy_score(truth, called))
    measured = [j for j in range(classes) if truth[:, j].any()]
    for j in measured:
        expected = sk.average_precision_score(truth[:, j], scores[:, j])
        assert result.per_class[j].average_precision == pytest.approx(expected)
    if measured:
        mean = np.mean([result.per_class[j].average_precision for j in measured])
        assert got["average_precision"] == pytest.approx(mean)
    assert 0 <= got["ece"] <= 1
    for interval in result.metrics.values():
        assert np.isnan(interval.value) or interval.low <= interval.value <= interval.high


def test_log_loss_and_ece_by_hand() -> None:
    result = evaluate_multilabel([[1, 0], [1, 0]], [[0.8, 0.3], [0.8, 0.3]], ["a", "b"], resamples=10)
    assert result.metrics["log_loss"].value == pytest.approx(-(np.log(0.8) + np.log(0.7)) / 2)
    assert result.metrics["ece"].value == pytest.approx((0.2 + 0.3) / 2)


def test_a_label_nobody_carries_is_reported_as_unmeasured() -> None:
    result = evaluate_multilabel([[1, 0], [0, 0]], [[0.9, 0.1], [0.2, 0.1]], ["a", "b"], resamples=10)
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert values["absent"] == ["b"] and values["per_class"][1]["average_precision"] is None
    assert values["metrics"]["f1_samples"]["value"] == 1.0  # the second row rightly has no label


@pytest.mark.parametrize(
    ("truth", "scores", "error"),
    [
        ([[2, 0]], [[0.5, 0.5]], "0 and 1"),
        ([[1, 0]], [[4.0, 0.5]], "sigmoid"),
        ([1, 0], [0.5, 0.5], "must both be"),
    ],
)
def test_wrong_use_is_refused(truth: list, scores: list, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        evaluate_multilabel(truth, scores, ["a", "b"])
