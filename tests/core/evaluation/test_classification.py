"""Single-label metrics against scikit-learn and hand-made cases."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from core.errors import InputError
from core.evaluation import weighted
from core.evaluation.classification import evaluate_classification

NAMES = [f"label {i}" for i in range(12)]


def random_model(seed: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, n), rng.dirichlet(np.full(classes, 0.5), n)


@pytest.mark.filterwarnings("ignore:A single label was found")
@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 12))
def test_agrees_with_scikit_learn(seed: int, n: int, classes: int) -> None:
    truth, probabilities = random_model(seed, n, classes)
    result = evaluate_classification(truth, probabilities, NAMES[:classes], resamples=20)
    called = probabilities.argmax(axis=1)
    got = {name: interval.value for name, interval in result.metrics.items()}
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(truth, called))
    assert got["f1_macro"] == pytest.approx(sk.f1_score(truth, called, average="macro"))
    assert got["f1_weighted"] == pytest.approx(sk.f1_score(truth, called, average="weighted"))
    assert got["mcc"] == pytest.approx(sk.matthews_corrcoef(truth, called), abs=1e-12)
    labels = np.arange(classes)
    assert got["log_loss"] == pytest.approx(sk.log_loss(truth, probabilities, labels=labels), rel=1e-6)
    brier = ((probabilities - np.eye(classes)[truth]) ** 2).sum(axis=1).mean()
    assert got["brier"] == pytest.approx(brier) and 0 <= got["brier"] <= 2
    assert 0 <= got["ece"] <= 1 and 0 <= got["ece_adaptive"] <= 1
    assert (result.confusion == sk.confusion_matrix(truth, called, labels=labels)).all()
    table = sk.precision_recall_fscore_support(truth, called, labels=labels, zero_division=0)
    ours = [[s.precision, s.recall, s.f1, s.support] for s in result.per_class]
    assert np.allclose(np.array(ours).T, table)
    for interval in result.metrics.values():
        assert interval.low <= interval.value <= interval.high


def test_ece_of_two_bins_by_hand() -> None:
    # 4 rows at 0.9 with 3 right: gap 0.15; 2 rows at 0.6 with 2 right: gap 0.4; ECE = 4/6 x 0.15 + 2/6 x 0.4.
    confidence, correct = [0.9] * 4 + [0.6] * 2, [1, 1, 1, 0, 1, 1]
    value = weighted.ece(confidence, correct, np.ones((1, 6)))[0]
    assert value == pytest.approx(4 / 6 * 0.15 + 2 / 6 * 0.4)


def test_adaptive_ece_by_hand() -> None:
    # Two bins of equal mass: (0.2, 0.4) with none right and (0.6, 0.8) with both right.
    value = weighted.ece_adaptive([0.8, 0.2, 0.6, 0.4], [1, 0, 1, 0], np.ones((1, 4)), bins=2)[0]
    assert value == pytest.approx(abs(0.3 - 0) / 2 + abs(0.7 - 1) / 2)


def test_bins_are_closed_above_and_take_both_ends() -> None:
    assert list(weighted.bin_index([0.0, 0.2, 0.2000001, 1.0], 5)) == [0, 0, 1, 4]


def test_absent_label_counts_neither_for_nor_against() -> None:
    truth, sure = np.array([0, 0, 1, 1]), np.eye(3)[[0, 0, 1, 1]]
    result = evaluate_classification(truth, sure, ["a", "b", "never"], resamples=50)
    assert result.metrics["f1_macro"].value == 1.0
    assert result.absent == ("never",)


def test_one_row_and_one_class() -> None:
    result = evaluate_classification([0], [[1.0]], ["only"], resamples=10)
    assert result.metrics["accuracy"].to_dict() == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert result.metrics["mcc"].value == 0.0


def test_a_float32_zero_costs_what_float32_can_say() -> None:
    certain = np.array([[1, 0], [1, 0]], dtype=np.float32)
    result = evaluate_classification([0, 1], certain, ["a", "b"], resamples=0)
    expected = sk.log_loss([0, 1], certain, labels=[0, 1])
    assert result.metrics["log_loss"].value == pytest.approx(expected, rel=1e-5)


def test_result_is_json_without_nan() -> None:
    truth, probabilities = random_model(1, 30, 4)
    result = evaluate_classification(truth, probabilities, NAMES[:4], resamples=10)
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert set(values["metrics"]["accuracy"]) == {"value", "low", "high"}
    assert values["n"] == 30 and len(values["confusion"]) == 4


@pytest.mark.parametrize(
    ("truth", "probabilities", "error"),
    [
        ([0, 1], [[0.5, 0.5]], "shape"),
        ([0], [[3.0, -1.0]], "softmax"),
        ([2], [[0.5, 0.5]], "class 2"),
        ([-1], [[0.5, 0.5]], "class -1"),
        ([0.0], [[0.5, 0.5]], "class numbers"),
    ],
)
def test_wrong_use_is_refused(truth: list, probabilities: list, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        evaluate_classification(truth, probabilities, ["a", "b"])


def test_a_diverged_model_and_an_empty_test_part_are_said_plainly() -> None:
    with pytest.raises(InputError, match="learning rate"):
        evaluate_classification([0], [[np.nan, 1.0]], ["a", "b"])
    with pytest.raises(InputError, match="no rows"):
        evaluate_classification(np.array([], dtype=int), np.empty((0, 2)), ["a", "b"])
