"""Dates as sources write them, to UTC; missing, broken and future ones are mended with a note."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # before the web; epoch zero and year 1 stand for "unknown"
MAX_AHEAD = timedelta(minutes=1)  # a clock that is a little fast needs no note

_NUMBER = re.compile(r"\d{9,13}(?:\.\d+)?")
_HAS_TIME = re.compile(r"\d{1,2}:\d{2}|\d\s*[ap]\.?m\b|\dT\d{2}", re.IGNORECASE)
# Abbreviations that news sites write. dateutil would pass over them and keep the wrong time.
_OFFSETS = {
    **{"UT": 0, "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "BST": 1, "CET": 1, "WEST": 1, "CEST": 2, "EET": 2, "EEST": 3},
    **{"MSK": 3, "IST": 5.5, "HKT": 8, "SGT": 8, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13},
    **{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "AST": -4, "ADT": -3},
}
_ZONES = {"ET": "America/New_York", "CT": "America/Chicago", "MT": "America/Denver", "PT": "America/Los_Angeles"}


@dataclass(frozen=True, slots=True)
class Moment:
    """A date found: UTC, whether it was a day only, and what had to be mended."""

    at: datetime | None
    date_only: bool = False
    note: str | None = None


def _zone(name: str | None, offset: int | None) -> Any:
    from dateutil.tz import gettz, tzoffset

    if offset is not None:
        return tzoffset(name, offset)
    if name in _ZONES:
        return gettz(_ZONES[name])
    return tzoffset(name, int(_OFFSETS[name] * 3600)) if name in _OFFSETS else None


def parse_date(value: str | int | float | None, now: datetime | None, timezone: str = "UTC") -> Moment:
    """Read ISO 8601, RFC 822, seconds or milliseconds since 1970, and what dateutil understands.

    A date without a zone is taken in ``timezone``. One ahead of ``now`` becomes ``now`` with a note; ``now`` None
    (an archive) leaves it. One that cannot be read, or lies before 1990, is none, with a note.
    """
    text = "" if value is None or isinstance(value, bool) else str(value).strip()
    if not text:
        return Moment(None)
    try:
        found = _read(text[:100], timezone)
    except (ValueError, OverflowError, TypeError, OSError):
        return Moment(None, note=f"the date {text[:60]!r} could not be read")
    if found < EARLIEST:
        return Moment(None, note=f"the date {text[:60]!r} stands for no date")
    date_only = not _HAS_TIME.search(text) and not _NUMBER.fullmatch(text)
    if now is not None and found > now:
        ahead = found > now + MAX_AHEAD
        return Moment(now, False, f"the date {text[:60]!r} lies in the future; taken as now" if ahead else None)
    return Moment(found, date_only)


def _read(text: str, timezone: str) -> datetime:
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
    found = _standard(text)
    if found is None:
        from dateutil import parser

        # dateutil fills what the text leaves out from its default; two defaults that lead to two days tell so.
        day_first = re.match(r"\d{1,2}\.", text) is not None
        found, other = (
            parser.parse(text, tzinfos=_zone, default=default, dayfirst=day_first)
            for default in (datetime(2000, 1, 1), datetime(2001, 2, 2))
        )
        if found.date() != other.date():
            raise ValueError("not a whole date")
    if found.tzinfo is None:
        from dateutil.tz import gettz

        found = found.replace(tzinfo=UTC if timezone == "UTC" else gettz(timezone))
    return found.astimezone(UTC)


def _standard(text: str) -> datetime | None:
    """The two forms nearly every feed uses, by the fast readers of the standard library."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    if text[:1].isalpha() and text[-5:-4] in "+-" or text.endswith(("GMT", "UTC")):
        from email.utils import parsedate_to_datetime

        try:
            found = parsedate_to_datetime(text)
            return found if found.tzinfo is not None else None
        except (ValueError, TypeError, IndexError):
            return None
    return None
