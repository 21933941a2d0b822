"""Dates in the forms that sources use, and those that mean nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verticals.finance.fetching.dates import parse_date

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-03-02T10:00:00Z", "2026-03-02T10:00:00"),
        ("2026-03-02T10:00:00.5+02:00", "2026-03-02T08:00:00.5"),
        ("2026-03-02 10:00", "2026-03-02T10:00:00"),
        ("Mon, 02 Mar 2026 10:00:00 GMT", "2026-03-02T10:00:00"),
        ("Mon, 02 Mar 2026 10:00:00 +0530", "2026-03-02T04:30:00"),
        ("02 Mar 26 10:00 EST", "2026-03-02T15:00:00"),
        ("Mon, 2 Mar 2026 10:00:00 EDT", "2026-03-02T14:00:00"),
        (" 7:51  PM ET Fri, 17 July 2020", "2020-07-17T23:51:00"),  # summer in New York
        (" 7:51  PM ET Fri, 17 January 2020", "2020-01-18T00:51:00"),
        ("1772445600", "2026-03-02T10:00:00"),
        ("1772445600000", "2026-03-02T10:00:00"),
        ("March 2, 2026", "2026-03-02T00:00:00"),
        ("02.03.2026 10:00", "2026-03-02T10:00:00"),
        ("20260302", "2026-03-02T00:00:00"),
    ],
)
def test_forms(text: str, wanted: str) -> None:
    found = parse_date(text, NOW)
    assert found.at == datetime.fromisoformat(wanted).replace(tzinfo=UTC)
    assert found.note is None


@pytest.mark.parametrize(("text", "only"), [("2026-03-02", True), ("2 March 2026", True), ("2026-03-02T00:00", False)])
def test_a_day_alone_is_marked(text: str, only: bool) -> None:
    assert parse_date(text, NOW).date_only is only


def test_the_sources_zone_counts_where_the_date_names_none() -> None:
    assert parse_date("2026-03-02 10:00", NOW, "Asia/Shanghai").at == datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
    assert parse_date("2026-03-02 10:00Z", NOW, "Asia/Shanghai").at == datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["yesterday", "10:30", "March", "0000-00-00", "99999999999999", "\x00", "Mon, 32 Mar 2026"]
)
def test_what_is_no_date_is_none_with_a_note(text: str) -> None:
    found = parse_date(text, NOW)
    assert found.at is None and found.note is not None and "could not be read" in found.note


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_placeholders_are_none(text: str) -> None:
    found = parse_date(text, NOW)
    assert found.at is None and found.note is not None


def test_future_dates_become_now_with_a_note_unless_no_clock_is_given() -> None:
    found = parse_date("2031-01-01T00:00:00Z", NOW)
    assert found.at == NOW and found.note is not None and "future" in found.note
    assert parse_date((NOW + timedelta(seconds=20)).isoformat(), NOW).note is None  # a fast clock
    assert parse_date("2031-01-01T00:00:00Z", None).at == datetime(2031, 1, 1, tzinfo=UTC)


@given(st.text(max_size=60) | st.integers() | st.floats() | st.none())
def test_never_fails_and_never_lies_ahead(value: object) -> None:
    found = parse_date(value, NOW)  # type: ignore[arg-type]
    assert found.at is None or (found.at <= NOW and found.at.utcoffset() == timedelta(0))
