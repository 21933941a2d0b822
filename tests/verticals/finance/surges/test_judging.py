"""Judging counts: the past only, seasons, over-dispersion, minimum stories, too little history, drift."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, nbinom

from core.errors import InputError
from verticals.finance.alerts.rules import Rule
from verticals.finance.rollup import Counts
from verticals.finance.surges import band, observe
from verticals.finance.surges.counts import beta_binomial, negative_binomial
from verticals.finance.surges.drift import run_length

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 70
RULE = Rule(id="r", scope="topic", measure="volume", sensitivity=0.999, minimum_stories=5)


def at(day: float) -> datetime:
    return START + timedelta(days=day)


def calm(seed: int = 0, weekend: float = 0.3) -> dict[datetime, Counts]:
    """Ten stories a working day, three of them negative; few at weekends."""
    rng = np.random.default_rng(seed)
    found = {}
    for hour in range(DAYS * 24):
        when = START + timedelta(hours=hour)
        n = int(rng.poisson(10 / 24 * (weekend if when.weekday() > 4 else 1)))
        k = int(rng.binomial(n, 0.3))
        if n:
            found[when] = Counts(n, k, 0, float(-0.6 * k + 0.2 * (n - k)))
    return found


def with_burst(counts: dict[datetime, Counts], day: int, negatives: int, others: int = 0) -> dict[datetime, Counts]:
    when = at(day) + timedelta(hours=12)
    before = counts.get(when, Counts())
    more = replace(
        before,
        stories=before.stories + negatives + others,
        negatives=before.negatives + negatives,
        score_sum=before.score_sum - 0.6 * negatives + 0.2 * others,
    )
    return {**counts, when: more}


# A share of few stories a day has wide spread, in which the detectors that ignore their number see nothing.
@pytest.mark.parametrize(
    ("detector", "measure"),
    [
        *(("default", measure) for measure in ("volume", "negative_volume", "negative_share")),
        *((detector, measure) for detector in ("z-score", "ewma") for measure in ("volume", "negative_volume")),
    ],
)
def test_a_burst_of_bad_news_is_found_and_the_day_before_it_is_not(detector: str, measure: str) -> None:
    rule = RULE.model_copy(update={"measure": measure, "detector": detector})
    before, after = observe(rule, with_burst(calm(), 60, 40), [at(60), at(61)])
    assert not before.anomaly
    assert after.anomaly
    assert after.score >= 0.999
    assert "expected" in after.reason


def test_many_neutral_stories_are_volume_and_no_bad_news() -> None:
    counts = with_burst(calm(), 60, 0, 40)
    share = RULE.model_copy(update={"measure": "negative_share"})
    assert observe(RULE, counts, [at(61)])[0].anomaly
    assert not observe(share, counts, [at(61)])[0].anomaly


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["volume", "negative_volume", "negative_share", "mean_score"]))
def test_the_future_changes_nothing(seed: int, measure: str) -> None:
    rule = RULE.model_copy(update={"measure": measure})
    counts = calm(seed)
    changed = {when: Counts(50, 50, 0, -40.0) if when >= at(50) else found for when, found in counts.items()}
    changed[at(50)] = Counts(99, 99, 0, -90.0)
    times = [at(day) for day in range(40, 51)]
    assert observe(rule, counts, times, START) == observe(rule, changed, times, START)


def test_an_hour_that_begins_at_the_time_is_not_part_of_its_window() -> None:
    counts = {at(50): Counts(9, 0, 0, 0.0), at(50) - timedelta(hours=24): Counts(2, 0, 0, 0.0)}
    (seen,) = observe(RULE, counts, [at(50)], START)
    assert seen.value == 2
    (later,) = observe(RULE, counts, [at(50) + timedelta(minutes=10)], START)
    assert later.value == 9


def test_calm_weeks_raise_about_as_much_as_the_sensitivity_says() -> None:
    times = [at(day) for day in range(30, DAYS)]
    rule = RULE.model_copy(update={"sensitivity": 0.99, "minimum_stories": 1})
    raised = sum(seen.anomaly for seed in range(30) for seen in observe(rule, calm(seed), times))
    assert raised <= 0.02 * 30 * len(times)


def test_a_monday_is_not_a_surge_after_a_weekend() -> None:
    counts = calm(weekend=0.02)
    assert not any(seen.anomaly for seen in observe(RULE, counts, [at(day + 1) for day in range(42, 70, 7)]))


def test_too_little_history_says_so() -> None:
    (seen,) = observe(RULE, with_burst(calm(), 5, 40), [at(6)])
    assert not seen.anomaly
    assert seen.expected is None
    assert seen.reason == "too little history"


def test_a_new_subject_in_an_old_monitor_was_silent_before() -> None:
    counts = {at(60) + timedelta(hours=hour): Counts(2, 2, 0, -1.0) for hour in range(5)}
    assert observe(RULE, counts, [at(61)], START)[0].anomaly
    assert not observe(RULE, counts, [at(61)])[0].anomaly


def test_few_stories_raise_nothing() -> None:
    counts = {at(60): Counts(4, 4, 0, -2.0)}
    assert not observe(RULE, counts, [at(61)], START)[0].anomaly


def test_a_slow_drift_is_found_by_the_sum_and_by_no_single_day() -> None:
    rule = RULE.model_copy(update={"measure": "mean_score", "sensitivity": 0.999, "window": timedelta(days=7)})
    counts = calm()
    worse = {w: replace(c, score_sum=c.score_sum - 0.15 * c.stories) if w >= at(56) else c for w, c in counts.items()}
    assert observe(rule, worse, [at(69)])[0].score > 0.99
    assert observe(rule, counts, [at(69)])[0].score < 0.99


def test_the_band_holds_what_was_expected_and_marks_the_surge() -> None:
    points = band(RULE, with_burst(calm(), 60, 40), [at(60), at(61)])
    assert [point.anomaly for point in points] == [False, True]
    assert all(point.low <= point.expected <= point.high for point in points)
    assert points[1].value > points[1].high


def test_unknown_detectors_and_measures_are_named() -> None:
    with pytest.raises(InputError, match="default, z-score, ewma"):
        observe(RULE.model_copy(update={"detector": "oracle"}), {}, [at(1)])
    with pytest.raises(InputError, match="no count"):
        observe(RULE.model_copy(update={"measure": "outage"}), {}, [at(1)])
    assert observe(RULE, {}, []) == []


def test_tails_are_those_of_scipy() -> None:
    k, n = np.array([0.0, 3, 10, 50]), np.array([5.0, 10, 30, 120])
    a, b = np.array([1.0, 2, 3, 5]), np.array([4.0, 8, 9, 9])
    assert beta_binomial(k, n, a, b)[0] == pytest.approx(betabinom.sf(k - 1, n, a, b))
    mean, alpha = np.array([0.5, 3.0, 4.0, 30.0]), np.array([0.02, 0.1, 0.5, 0.3])
    expected = nbinom.sf(k - 1, 1 / alpha, 1 / (1 + alpha * mean))
    assert negative_binomial(k, mean, alpha) == pytest.approx(expected)


def test_a_higher_sum_is_rarer_and_the_run_length_is_siegmunds() -> None:
    assert np.all(np.diff(run_length(np.arange(10.0))) > 0)
    # Hawkins and Olwell 1998: k = 0.5, h = 4 gives an in-control run length of 336 one-sided (approximation 338).
    assert run_length(np.array([4.0]))[0] == pytest.approx(338, abs=3)
