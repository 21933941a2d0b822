"""Hourly counts as points of a chart: volume, share of negative stories with its interval, mean score."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from core.evaluation.shares import wilson

if TYPE_CHECKING:
    from verticals.finance.rollup import Counts


@dataclass(frozen=True)
class TrendPoint:
    """One bucket from ``start`` on. Share and score are None where there is no story."""

    start: datetime
    stories: int
    negatives: int
    positives: int
    negative_share: float | None
    share_low: float | None
    share_high: float | None
    mean_score: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "start": self.start.isoformat()}


def resample(
    counts: "Mapping[datetime, Counts]", since: datetime, until: datetime, bucket: timedelta
) -> list[TrendPoint]:
    """Buckets from ``since``, moved back to a whole bucket, up to ``until``; empty ones too."""
    seconds = bucket.total_seconds()
    if seconds < 3600 or seconds % 3600:
        raise ValueError(f"a bucket of {bucket} is not made of whole hours")
    first = int(since.timestamp() // seconds)
    last = max(first, int(-(-until.timestamp() // seconds)))
    sums = [[0.0, 0.0, 0.0, 0.0] for _ in range(first, last)]
    for hour, found in counts.items():
        place = int(hour.timestamp() // seconds) - first
        if 0 <= place < len(sums):
            for field, value in enumerate((found.stories, found.negatives, found.positives, found.score_sum)):
                sums[place][field] += value
    return [_point(datetime.fromtimestamp((first + row) * seconds, UTC), *values) for row, values in enumerate(sums)]


def _point(start: datetime, stories: float, negatives: float, positives: float, score: float) -> TrendPoint:
    low, high = wilson(negatives, stories) if stories else (None, None)
    share, mean = (negatives / stories, score / stories) if stories else (None, None)
    return TrendPoint(start, int(stories), int(negatives), int(positives), share, low, high, mean)
