"""Temperature scaling."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from core.errors import InputError
from core.evaluation.calibration import (
    Calibration,
    apply,
    calibrate,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)


def drawn_from(logits: np.ndarray, seed: int) -> np.ndarray:
    """Labels drawn from the softmax of the logits: temperature 1 is right for them."""
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(len(p), p=p) for p in softmax(logits, axis=1)])


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 6), st.floats(1e-3, 1e3), st.booleans())
def test_never_worsens_the_likelihood_it_was_fitted_on(
    seed: int, n: int, classes: int, scale: float, multi_label: bool
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (n, classes))
    truth = rng.integers(0, 2, (n, classes)) if multi_label else rng.integers(0, classes, n)
    temperature = fit_temperature(logits, truth)
    assert 0.01 <= temperature <= 100
    before, after = (negative_log_likelihood(logits, truth, t) for t in (1.0, temperature))
    assert after <= before


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_finds_the_temperature_that_the_logits_were_scaled_by(scale: float) -> None:
    logits = np.random.default_rng(0).normal(0, 2, (4000, 5))
    assert fit_temperature(logits * scale, drawn_from(logits, 1)) == pytest.approx(scale, rel=0.06)


def test_finds_the_temperature_of_sigmoids() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (2000, 4))
    truth = (rng.random(logits.shape) < expit(logits)).astype(int)
    assert fit_temperature(logits * 2.5, truth) == pytest.approx(2.5, rel=0.06)


def test_perfect_separation_single_class_and_no_rows_leave_the_temperature_alone() -> None:
    assert fit_temperature(np.eye(3) * 4, [0, 1, 2]) == 1.0
    assert fit_temperature([[2.0], [3.0]], [0, 0]) == 1.0
    assert fit_temperature(np.empty((0, 3)), np.empty(0, dtype=int)) == 1.0
    assert fit_temperature([[5.0, -5.0]], [[1, 0]]) == 1.0
    assert fit_temperature([[5.0, 0.0]] * 9, [0] * 9) == 1.0


def test_logits_that_are_always_wrong_end_on_the_bound() -> None:
    assert fit_temperature([[9.0, 0.0]] * 5, [1] * 5) == 100.0
    assert fit_temperature([[9.0, -9.0]] * 5, [[0, 1]] * 5) == 100.0


def test_probabilities_are_calibrated_and_predictions_kept() -> None:
    logits = np.random.default_rng(2).normal(0, 3, (50, 4))
    assert np.allclose(apply(logits, 2.0).sum(axis=1), 1)
    assert (apply(logits, 2.0).argmax(axis=1) == logits.argmax(axis=1)).all()
    assert np.allclose(apply(logits, 2.0, multi_label=True), expit(logits / 2))


def test_overconfidence_is_mended_on_held_out_rows() -> None:
    logits = np.random.default_rng(3).normal(0, 2, (3000, 4))
    truth = drawn_from(logits, 4)
    loud = logits * 4
    result = calibrate(loud[:1500], truth[:1500], held_out=(loud[1500:], truth[1500:]))
    assert result.ece_after < result.ece_before / 3 and result.nll_after < result.nll_before
    assert (result.fitted_on, result.measured_n, result.held_out) == (1500, 1500, True)
    assert sum(b.count for b in result.bins_before) == sum(b.count for b in result.bins_after) == 1500


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50), st.integers(1, 20))
def test_ece_lies_between_0_and_1_and_is_that_of_the_bins(rows: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = [c for c, _ in rows], [ok for _, ok in rows]
    error = expected_calibration_error(confidence, correct, bins)
    assert 0 <= error <= 1
    drawn = reliability(confidence, correct, bins)
    again = sum(b.count * abs((b.confidence or 0) - (b.accuracy or 0)) for b in drawn) / len(rows)
    assert error == pytest.approx(again, abs=1e-12)
    assert sum(b.count for b in drawn) == len(rows)


@pytest.mark.parametrize("multi_label", [False, True])
def test_saves_and_loads(tmp_path: Path, multi_label: bool) -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, (30, 3)) if multi_label else rng.integers(0, 3, 30)
    made = calibrate(rng.normal(size=(30, 3)), truth)
    path = made.save(tmp_path / "calibration.json")
    assert Calibration.load(path) == made and made.multi_label == multi_label
    assert [p.name for p in tmp_path.iterdir()] == ["calibration.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"temperature": 1.0}', "null", "\x00"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(content)
    with pytest.raises(InputError, match="calibration.json"):
        Calibration.load(path)


def test_an_impossible_temperature_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    made = calibrate([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [0, 1, 1])
    path = replace(made, temperature=-1.0).save(tmp_path / "c.json")
    with pytest.raises(InputError, match="temperature"):
        Calibration.load(path)
    with pytest.raises(InputError, match="no such file"):
        Calibration.load(tmp_path / "none.json")


def test_wrong_use_and_diverged_models() -> None:
    with pytest.raises(InputError, match="learning rate"):
        fit_temperature([[np.inf, 0.0]], [0])
    with pytest.raises(ValueError, match="class"):
        fit_temperature([[1.0, 0.0]], [2])
    with pytest.raises(ValueError, match="must be"):
        fit_temperature([1.0, 0.0], [0, 1])
    with pytest.raises(InputError, match="validation"):
        calibrate(np.empty((0, 2)), np.empty(0, dtype=int))
