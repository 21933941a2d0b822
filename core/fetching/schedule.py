"""When to come back: what the server asked for, how often we want to, and how long to wait after failures."""

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = timedelta(days=1)
# A year of max-age on a feed is a mistake in a server's configuration, not a wish to be left alone for a year.
MAX_FRESHNESS = timedelta(days=1)
BACKOFF_BASE = timedelta(minutes=1)
BACKOFF_CAP = timedelta(hours=12)
JITTER = 0.1


def http_date(value: str) -> datetime | None:
    """An HTTP date (RFC 9110 5.6.7, its two obsolete forms too) in UTC, or None."""
    try:
        found = parsedate_to_datetime(value.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def retry_after(value: str | None, now: datetime, cap: timedelta = MAX_RETRY_AFTER) -> timedelta | None:
    """The wait that a Retry-After header asks for, seconds or an HTTP date, between nothing and ``cap``."""
    if value is None or not (value := value.strip()):
        return None
    if value.isascii() and value.isdigit():
        # Nine digits are decades already; more would overflow a timedelta.
        return min(timedelta(seconds=int(value[:9])), cap)
    moment = http_date(value)
    return None if moment is None else min(max(moment - now, timedelta(0)), cap)


def freshness(headers: Mapping[str, str], now: datetime, cap: timedelta = MAX_FRESHNESS) -> timedelta | None:
    """How long a response stays fresh: Cache-Control max-age less Age, else Expires (RFC 9111 4.2), at most ``cap``."""
    directives: dict[str, str] = {}
    for part in headers.get("cache-control", "").split(","):
        name, _, value = part.strip().partition("=")
        directives.setdefault(name.lower(), value.strip().strip('"'))
    if "no-store" in directives or "no-cache" in directives:
        return None
    if "max-age" in directives:
        age, spent = directives["max-age"], headers.get("age", "0").strip()
        if not (age.isascii() and age.isdigit()):
            return None
        passed = int(spent[:9]) if spent.isascii() and spent.isdigit() else 0
        return min(timedelta(seconds=max(int(age[:9]) - passed, 0)), cap)
    if (expires := http_date(headers.get("expires", ""))) is not None:
        return min(max(expires - now, timedelta(0)), cap)
    return None


def backoff(
    failures: int, draw: random.Random, base: timedelta = BACKOFF_BASE, cap: timedelta = BACKOFF_CAP
) -> timedelta:
    """Exponential backoff with full jitter: uniform between 0 and min(cap, base * 2^failures).

    Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(cap, base * 2 ** min(failures, 32))
    return timedelta(seconds=draw.uniform(0, ceiling.total_seconds()))


def after_success(
    now: datetime, interval: timedelta, asked: Iterable[timedelta | None], draw: random.Random
) -> datetime:
    """The longest of our interval and what feed and server asked for, stretched by up to a tenth to spread sources."""
    wait = max([interval, *(a for a in asked if a is not None)])
    return now + wait * (1 + draw.uniform(0, JITTER))


def after_failure(
    now: datetime,
    interval: timedelta,
    failures: int,
    transient: bool,
    asked: timedelta | None,
    draw: random.Random,
) -> tuple[datetime, timedelta]:
    """The next check after a failure, and the backoff drawn.

    What may pass by itself is tried again after the backoff, at least half its base away, even where the interval is
    longer; what needs a person waits for the interval too. Retry-After is always kept.
    """
    wait = max(backoff(failures, draw), BACKOFF_BASE / 2)
    if not transient:
        wait = max(wait, interval)
    return now + max(wait, asked or timedelta(0)), wait
