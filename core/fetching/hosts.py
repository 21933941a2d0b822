"""Politeness toward one host: few connections at once, a pause between requests, and respect for 'later'."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass
class _Host:
    places: asyncio.Semaphore
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    free_at: float = 0.0  # loop time of the next permitted start
    paused_until: datetime | None = None


class HostGate:
    """Shared by all sources of a process, so that ten feeds of one publisher count together."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        concurrency: int = 2,
        spacing: float = 1.0,
        near: frozenset[str] = frozenset(),
    ) -> None:
        """``near`` hosts are this machine's own servers: nobody is spared by a pause between requests to them."""
        self._clock = clock
        self._concurrency = concurrency
        self._spacing = spacing
        self._near = near
        self._hosts: dict[str, _Host] = {}

    def _host(self, name: str) -> _Host:
        if name not in self._hosts:
            self._hosts[name] = _Host(asyncio.Semaphore(self._concurrency))
        return self._hosts[name]

    def pause(self, name: str, wait: timedelta) -> None:
        """Send nothing to this host for a while, because it said so."""
        host, until = self._host(name), self._clock() + wait
        host.paused_until = max(until, host.paused_until or until)

    def paused(self, name: str) -> timedelta | None:
        """How long the host still wants to be left alone."""
        until = self._host(name).paused_until
        left = until - self._clock() if until is not None else timedelta(0)
        return left if left > timedelta(0) else None

    @asynccontextmanager
    async def visit(self, name: str, delay: float | None = None) -> AsyncIterator[None]:
        """Wait for a place and for the spacing in seconds (the longer of ours and ``delay``), then hold the place."""
        host = self._host(name)
        async with host.places:
            async with host.turn:
                loop = asyncio.get_running_loop()
                await asyncio.sleep(max(0.0, host.free_at - loop.time()))
                spacing = 0.0 if name in self._near else self._spacing
                host.free_at = loop.time() + max(spacing, delay or 0.0)
            yield
