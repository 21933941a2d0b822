"""Buckets of a chart: sums are kept, empty ones are there, shares have their interval."""

from datetime import UTC, datetime, timedelta

import pytest

from verticals.finance.rollup import Counts
from verticals.finance.trends import resample

START = datetime(2024, 3, 4, tzinfo=UTC)


def test_sums_are_kept_and_empty_buckets_are_there() -> None:
    counts = {START + timedelta(hours=h): Counts(2, 1, 0, -0.5) for h in (0, 5, 50)}
    points = resample(counts, START, START + timedelta(days=3), timedelta(days=1))
    assert [(point.stories, point.negatives) for point in points] == [(4, 2), (0, 0), (2, 1)]
    assert points[0].mean_score == -0.25
    assert points[1].negative_share is points[1].mean_score is None
    assert [point.start for point in points] == [START + timedelta(days=day) for day in range(3)]


def test_a_bucket_is_made_of_whole_hours() -> None:
    with pytest.raises(ValueError, match="whole hours"):
        resample({}, START, START, timedelta(minutes=90))
