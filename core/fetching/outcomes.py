"""What came of one fetch: a response, or the reason why there is none. A bad server is never an exception."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

Outcome = Literal[
    "ok",
    "unchanged",  # 304
    "rate_limited",  # 429, or 503 with Retry-After, or the host is still paused after one
    "server_error",  # 5xx
    "timeout",
    "connection",  # refused, reset, broken HTTP, TLS
    "dns",
    "robots_unreachable",
    "truncated",  # the compressed body breaks off or is damaged
    "gone",  # 410
    "not_found",  # 404
    "client_error",  # other 4xx
    "robots",  # robots.txt disallows it
    "address",  # the address guard refused
    "bad_url",
    "redirects",  # too many, or in a circle
    "too_large",
    "content_type",
    "unreadable",  # it came, but is no feed, page or archive that can be read
]
# Those that waiting may cure; the others need a person, so they are tried again no sooner than usual.
TRANSIENT: frozenset[str] = frozenset(
    {"rate_limited", "server_error", "timeout", "connection", "dns", "robots_unreachable", "truncated"}
)


class Failure(Exception):
    """A fetch that ended without an answer; within this package only, ``Client.fetch`` makes it a Fetched."""

    def __init__(self, outcome: Outcome, reason: str, **details: Any) -> None:
        super().__init__(reason)
        self.outcome: Outcome = outcome
        self.details = details


@dataclass(frozen=True)
class Request:
    """What to fetch and what is known from the last time."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # sent to the url's own origin alone
    etag: str | None = None
    last_modified: str | None = None
    accept: tuple[str, ...] = ()  # parts of media types, e.g. ("xml", "json"); empty for any
    robots: bool = True
    max_body: int | None = None  # bytes after decompression; the client's own limit when None


@dataclass(frozen=True)
class Fetched:
    """The end of one fetch; ``body`` is decompressed and empty unless the outcome is ok."""

    requested: str
    url: str  # where the redirects ended
    outcome: Outcome
    at: datetime
    reason: str = ""
    status: int | None = None
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""
    charset: str | None = None  # as the header says
    etag: str | None = None
    last_modified: str | None = None
    fresh_for: timedelta | None = None  # by Cache-Control or Expires
    retry_after: timedelta | None = None
    moved_to: str | None = None  # the new address when every redirect up to it was a permanent one
    requests: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there is a body to read."""
        return self.outcome == "ok"

    @property
    def next_check(self) -> datetime | None:
        """The earliest next visit that the server asked for, if it did."""
        waits = [wait for wait in (self.fresh_for, self.retry_after) if wait is not None]
        return self.at + max(waits) if waits else None

    def text(self) -> str:
        """The body as text; see ``charsets.decode``."""
        from core.fetching.charsets import decode

        return decode(self.body, self.charset)

    def to_dict(self) -> dict[str, Any]:
        """Plain values without the body."""
        return {
            "requested": self.requested,
            "url": self.url,
            "outcome": self.outcome,
            "reason": self.reason,
            "status": self.status,
            "bytes": len(self.body),
            "content_type": self.content_type,
            "moved_to": self.moved_to,
            "next_check": self.next_check.isoformat() if self.next_check else None,
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
        }
