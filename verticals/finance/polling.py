"""The first stage: visit the sources whose time has come and store what they bring."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from core.fetching.addresses import AddressPolicy
from core.fetching.client import USER_AGENT, Client, Limits
from verticals.finance import store, watch
from verticals.finance.fetching.poll import PollReport, PollResult, poll
from verticals.finance.opening import utc_now
from verticals.finance.settings import FinanceSettings
from verticals.finance.sources import Source, SourceState, read_source

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
BROKEN_WAIT = timedelta(hours=1)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Visited:
    """One source's visit and what was stored of it."""

    report: PollReport
    stored: store.Stored

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the report with the counts of what was stored."""
        return {**self.report.to_dict(), **self.stored.to_dict()}


def make_client(settings: FinanceSettings, clock: Callable[[], datetime] = utc_now, **more: Any) -> Client:
    """A client that may reach public addresses and the exceptions of the settings."""
    agent = USER_AGENT + (f" (+{settings.contact})" if settings.contact else "")
    options = {"limits": Limits(), "user_agent": agent, "near": LOOPBACK, **more}
    return Client(AddressPolicy.parse(settings.allowed), clock=clock, **options)


class Poller:
    """Visits sources for the life of a process: one event loop and one client, so that robots.txt is read once."""

    def __init__(
        self,
        engine: Engine,
        settings: FinanceSettings,
        clock: Callable[[], datetime] = utc_now,
        draw: random.Random | None = None,
        client: Client | None = None,
    ) -> None:
        self._engine, self._settings, self._clock = engine, settings, clock
        self._draw = draw or random.Random()
        self._runner = asyncio.Runner()
        self._client = client or make_client(settings, clock)

    def run(self, only: Sequence[str] = (), limit: int | None = None) -> list[Visited]:
        """Visit what is due, or these sources whatever their time; one round of at most ``limit`` visits."""
        limit = limit or max(self._settings.polls_at_once, len(only))
        taken = watch.due(self._engine, self._settings, self._clock(), limit, only)
        found: list[Visited] = []
        ready: list[tuple[Source, SourceState]] = []
        for one in taken:
            if one.source is None:
                _log.warning("source %s cannot be used: %s", one.id, one.problem)
                watch.release(self._engine, one.id, self._clock() + BROKEN_WAIT)
            else:
                ready.append((one.source, one.state))
        if ready:
            found = [v for v in self._runner.run(self._visit_all(ready)) if v is not None]
        return found

    async def _visit_all(self, ready: Sequence[tuple[Source, SourceState]]) -> list[Visited | None]:
        places = asyncio.Semaphore(self._settings.polls_at_once)

        async def one(source: Source, state: SourceState) -> Visited | None:
            async with places:
                seen = store.seen_by(self._engine, source.id)
                result = await poll(source, state, self._client, self._clock, self._draw, seen)
                return await asyncio.to_thread(self._store, source, result)

        return await asyncio.gather(*(one(source, state) for source, state in ready))

    def _store(self, source: Source, result: PollResult) -> Visited | None:
        try:
            return Visited(result.report, store.keep_visit(self._engine, source.id, result))
        except OperationalError as error:
            # The database was locked for longer than it waits. The state was not written either, so the next visit
            # brings the same items; the claim keeps it from coming at once.
            _log.warning("source %s: its visit could not be stored (%s)", source.id, error.orig)
            return None

    def close(self) -> None:
        """Close connections and loop."""
        self._runner.run(self._client.close())
        self._runner.close()

    def __enter__(self) -> "Poller":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def poll_all(poller: Poller, rounds: int = 1000) -> list[Visited]:
    """Rounds until nothing is due any more."""
    found: list[Visited] = []
    for _ in range(rounds):
        some = poller.run()
        if not some:
            break
        found += some
    return found


def try_source(
    row: Mapping[str, Any],
    settings: FinanceSettings,
    clock: Callable[[], datetime] = utc_now,
    folder: Path | None = None,
) -> PollResult:
    """Visit a source that is not watched yet and store nothing; of its article pages two are read at most.

    Raises InputError for a bad row.
    """
    source = read_source(row, f"source {row.get('id')!r}", (folder or Path.cwd()).resolve(), settings.sample_port)
    source = source.model_copy(update={"max_articles": min(source.max_articles, 2)})

    async def once() -> PollResult:
        async with make_client(settings, clock) as client:
            return await poll(source, SourceState(), client, clock, random.Random(0))

    return asyncio.run(once())
