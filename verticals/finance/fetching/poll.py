"""One visit to one source: fetch, read, complete with article pages, and say when to come again."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from core.fetching.client import Client
from core.fetching.outcomes import TRANSIENT, Outcome
from core.fetching.schedule import after_failure, after_success
from verticals.finance.fetching.feeds import Context, Unreadable
from verticals.finance.fetching.items import Item
from verticals.finance.fetching.visits import READERS, Seen, Visit
from verticals.finance.sources import Source, SourceState

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PollReport:
    """What happened, for the source's row and the logs; it never holds a header's value."""

    source: str
    outcome: Outcome
    reason: str = ""
    status: int | None = None
    items: int = 0
    articles: int = 0  # pages whose text was read
    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0
    moved_to: str | None = None  # the source's new address, after permanent redirects
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the source is healthy: it answered, be it with nothing new."""
        return self.outcome in ("ok", "unchanged")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**self.__dict__, "notes": list(self.notes), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class PollResult:
    """The items found (known ones among them), the state to store with them, and the report."""

    items: tuple[Item, ...]
    state: SourceState
    report: PollReport


async def poll(
    source: Source,
    state: SourceState,
    client: Client,
    clock: Callable[[], datetime],
    draw: random.Random,
    seen: Seen = lambda canonical: False,
) -> PollResult:
    """Visit a source once, whatever the hour.

    ``seen`` tells, by canonical address, which articles are stored, so that their pages are not fetched again. The
    next check is the longest of the feed's TTL, the server's cache headers and the source's interval, stretched by up
    to a tenth; after a failure it follows ``schedule.after_failure``. Items and state belong in one transaction:
    stored apart, a crash in between would lose the items, since the server would answer "unchanged" next time. A bad
    server, feed or file is an outcome in the report and never an exception.
    """
    now = clock()
    context = Context(source.id, source.url, now, source.language, source.timezone, source.tags)
    visit = Visit(source, state, client, context, seen, cursor=state.cursor)
    loop = asyncio.get_running_loop()
    start = loop.time()
    outcome, reason = await _guarded(visit)
    report = PollReport(
        source=source.id,
        outcome=outcome,
        reason=reason,
        status=(visit.failed or visit.first).status if visit.failed or visit.first else None,
        items=len(visit.items),
        articles=visit.articles,
        requests=visit.requests,
        bytes=visit.bytes,
        seconds=loop.time() - start,
        moved_to=visit.first.moved_to if visit.first is not None else None,
        notes=tuple(visit.notes),
    )
    return PollResult(visit.items, _next_state(visit, report, clock(), draw), report)


async def _guarded(visit: Visit) -> tuple[Outcome, str]:
    try:
        await READERS[visit.source.kind](visit)
    except Unreadable as error:
        return "unreadable", str(error)
    except Exception as error:  # a bug met by one source's data must not stop the others; the report shows it
        _log.exception("source %s could not be read", visit.source.id)
        return "unreadable", f"it could not be read ({type(error).__name__}: {str(error)[:200]})"
    if visit.failed is not None:
        return visit.failed.outcome, visit.failed.reason
    return "unchanged" if visit.first is not None and visit.first.outcome == "unchanged" else "ok", ""


def _next_state(visit: Visit, report: PollReport, now: datetime, draw: random.Random) -> SourceState:
    state, source, first = visit.state, visit.source, visit.first
    if report.ok:
        etag, last_modified = state.etag, state.last_modified
        if first is not None and report.outcome == "ok":
            etag, last_modified = first.etag, first.last_modified
        fresh = first.fresh_for if first is not None else None
        return replace(
            state,
            etag=None if visit.incomplete else etag,
            last_modified=None if visit.incomplete else last_modified,
            cursor=visit.cursor,
            next_check=after_success(now, source.interval, (visit.ttl, fresh, visit.asked), draw),
            last_check=now,
            last_success=now,
            last_outcome=report.outcome,
            last_error=None,
            failures=0,
            backoff=None,
        )
    failures = state.failures + 1
    transient = report.outcome in TRANSIENT
    next_check, wait = after_failure(now, source.interval, failures, transient, visit.asked, draw)
    return replace(
        state,
        next_check=next_check,
        last_check=now,
        last_outcome=report.outcome,
        last_error=f"{report.outcome}: {report.reason}",
        failures=failures,
        backoff=wait,
    )
