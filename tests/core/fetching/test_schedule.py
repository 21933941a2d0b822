"""When to come back."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.fetching.schedule import (
    BACKOFF_BASE,
    BACKOFF_CAP,
    MAX_RETRY_AFTER,
    after_failure,
    after_success,
    backoff,
    freshness,
    http_date,
    retry_after,
)

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NOTHING = timedelta(0)


@given(st.integers(0, 10**12))
def test_retry_after_in_seconds(seconds: int) -> None:
    assert retry_after(f" {seconds} ", NOW) == min(timedelta(seconds=min(seconds, 10**8)), MAX_RETRY_AFTER)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1)))
def test_retry_after_as_a_date(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    assert retry_after(format_datetime(moment, usegmt=True), NOW) == min(max(moment - NOW, NOTHING), MAX_RETRY_AFTER)


@given(st.text())
def test_retry_after_never_fails_and_stays_within_its_bounds(text: str) -> None:
    wait = retry_after(text, NOW)
    assert wait is None or NOTHING <= wait <= MAX_RETRY_AFTER


@pytest.mark.parametrize("text", [None, "", "soon", "-5", "1.5", "٣", "Mon, 99 Foo 2026"])
def test_retry_after_without_meaning_is_none(text: str | None) -> None:
    assert retry_after(text, NOW) is None


@pytest.mark.parametrize(
    "text",
    ["Mon, 02 Mar 2026 12:00:00 GMT", "Monday, 02-Mar-26 12:00:00 GMT", "Mon Mar  2 12:00:00 2026"],
)
def test_all_three_forms_of_http_dates(text: str) -> None:
    assert http_date(text) == NOW


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"Cache-Control": "public, max-age=600"}, timedelta(minutes=10)),
        ({"Cache-Control": 'max-age="600"', "Age": "100"}, timedelta(seconds=500)),
        ({"Cache-Control": "max-age=600", "Age": "9999"}, NOTHING),
        ({"Cache-Control": "max-age=600, no-cache"}, None),
        ({"Cache-Control": "max-age=soon"}, None),
        ({"Cache-Control": "max-age=31536000"}, timedelta(days=1)),
        ({"Expires": "Mon, 02 Mar 2026 12:30:00 GMT"}, timedelta(minutes=30)),
        ({"Expires": "Mon, 02 Mar 2020 12:30:00 GMT"}, NOTHING),
        ({"Expires": "0"}, None),
        ({}, None),
    ],
)
def test_freshness(headers: dict[str, str], wanted: timedelta | None) -> None:
    assert freshness(httpx.Headers(headers), NOW) == wanted


@given(st.integers(0, 10_000), st.integers())
def test_backoff_has_full_jitter_below_a_doubling_ceiling(failures: int, seed: int) -> None:
    wait = backoff(failures, random.Random(seed))
    assert NOTHING <= wait <= min(BACKOFF_CAP, BACKOFF_BASE * 2 ** min(failures, 30))


def test_backoff_grows_and_spreads() -> None:
    draw = random.Random(1)
    means = [sum((backoff(n, draw) for _ in range(400)), NOTHING) / 400 for n in (1, 3, 5, 30)]
    assert means == sorted(means)
    assert abs(means[-1] / (BACKOFF_CAP / 2) - 1) < 0.15


@given(st.integers(60, 10**5), st.none() | st.integers(0, 10**5), st.none() | st.integers(0, 10**5), st.integers())
def test_after_success_the_longest_wish_counts(interval: int, ttl: int | None, fresh: int | None, seed: int) -> None:
    asked = [None if s is None else timedelta(seconds=s) for s in (ttl, fresh)]
    longest = max(timedelta(seconds=interval), *(a for a in asked if a is not None), NOTHING)
    wait = after_success(NOW, timedelta(seconds=interval), asked, random.Random(seed)) - NOW
    assert longest <= wait <= longest * 1.1 + timedelta(microseconds=1)


@given(st.integers(1, 50), st.booleans(), st.none() | st.integers(0, 10**5), st.integers())
def test_after_failure_nothing_asked_is_cut_short(failures: int, transient: bool, asked: int | None, seed: int) -> None:
    interval, wish = timedelta(hours=2), None if asked is None else timedelta(seconds=asked)
    at, wait = after_failure(NOW, interval, failures, transient, wish, random.Random(seed))
    assert at - NOW >= max(wait, wish or NOTHING) and wait >= BACKOFF_BASE / 2
    assert transient or wait >= interval
    assert wait <= max(BACKOFF_CAP, interval)
