"""NAB's score: its fixed points, the sigmoid's published values, one detection a window, thresholds."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.finance import agreement
from benchmarks.nab import PROFILES, Labelled, normalised, scaled_sigmoid, score, sweep, worth

START = datetime(2020, 1, 1)
STANDARD, LOW_FP = PROFILES


def series(n: int = 1000, windows: tuple[tuple[int, int], ...] = ((400, 499), (800, 899))) -> Labelled:
    return Labelled("s", tuple(START + timedelta(minutes=5 * i) for i in range(n)), np.zeros(n), windows)


def scores(*rows: int, n: int = 1000) -> np.ndarray:
    found = np.zeros(n)
    found[list(rows)] = 1.0
    return found


def test_nothing_is_zero_and_the_first_rows_of_all_windows_are_a_hundred() -> None:
    for profile in PROFILES:
        assert score([series()], {"s": np.full(1000, 0.3)}, profile).score == pytest.approx(0, abs=1e-9)
        assert score([series()], {"s": scores(400, 800)}, profile).score == pytest.approx(100, abs=1e-6)


def test_the_sigmoid_is_the_papers() -> None:
    assert scaled_sigmoid(np.array([-1.0, 0.0, 1.0, 3.5])) == pytest.approx([0.98661, 0.0, -0.98661, -1.0], abs=1e-5)


def test_only_the_earliest_detection_of_a_window_counts_and_later_is_less() -> None:
    once, twice, late = (
        score([series()], {"s": scores(*rows)}, STANDARD).score for rows in ((420,), (420, 450), (480,))
    )
    assert once == twice > late > 0


def test_a_false_positive_costs_its_weight_and_less_right_after_a_window() -> None:
    value, window = worth(series(), STANDARD)
    assert value[200] == pytest.approx(-0.11)
    assert -0.11 < value[505] < value[500] < 0
    assert worth(series(), LOW_FP)[0][200] == pytest.approx(-0.22)
    assert (window[:150] == -2).all()
    assert window[150] == -1


def test_rows_of_the_probationary_period_are_free() -> None:
    assert score([series()], {"s": scores(10, 100, 400, 800)}, LOW_FP).score == pytest.approx(100, abs=1e-6)


def test_of_a_long_file_750_rows_are_not_judged() -> None:
    assert series(15_000, ((9000, 9400),)).probation == 750


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=200, max_size=200))
def test_one_pass_gives_what_counting_at_each_threshold_gives(values: list[float]) -> None:
    one = series(200, ((60, 79), (120, 139)))
    given_scores = np.round(np.array(values), 1)
    found = sweep(one, given_scores, STANDARD)
    value, window = worth(one, STANDARD)
    for threshold in np.unique(given_scores)[::2]:
        called = given_scores >= threshold
        expected = value[called & (window == -1)].sum()
        for number in (0, 1):
            hits = value[called & (window == number)]
            expected += max(hits.max(), -1.0) if len(hits) else -1.0
        assert found.at(float(threshold)) == pytest.approx(expected)


def test_the_threshold_is_common_to_all_series_and_held_out_is_no_better() -> None:
    quiet, loud = series(), Labelled("t", series().times, np.zeros(1000), ((400, 499),))
    noisy = scores(400, 800) * 0.5
    noisy[[200, 250, 300]] = 0.4
    found = score([quiet, loud], {"s": noisy, "t": scores(410, 600) * 0.45}, STANDARD)
    assert found.held_out <= found.score + 1e-9
    assert found.windows == 3
    assert normalised(-3, 3, STANDARD) == 0


def test_groupings_that_agree_and_those_that_do_not() -> None:
    assert agreement([1, 1, 2], ["a", "a", "b"])["pair_f1"] == 1.0
    apart = agreement([1, 1, 2, 2], [1, 2, 3, 4])
    assert apart["pair_recall"] == 0.0
    assert apart["b_cubed_f1"] == pytest.approx(2 / 3)
