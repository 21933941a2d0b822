"""robots.txt (RFC 9309): fetched once per host, kept a day, obeyed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from protego import Protego

KEEP = timedelta(hours=24)
KEEP_FAILURE = timedelta(minutes=10)
CAP = 512 * 1024  # RFC 9309 2.5: at least 500 KiB are to be read
MAX_CRAWL_DELAY = 60.0  # longer ones are kept as one minute; the next poll is further away than that anyway

Verdict = Literal["allowed", "disallowed", "unreachable"]
Get = Callable[[str], Awaitable[tuple[int | None, str]]]  # url -> status (None without an answer), text


@dataclass(frozen=True)
class Rules:
    """What one host's robots.txt said, and until when that holds."""

    parsed: "Protego | None"  # None: everything is allowed, or nothing when unreachable
    unreachable: bool
    until: datetime


class Robots:
    """The rules of every host met so far."""

    def __init__(self, agent: str, get: Get, clock: Callable[[], datetime], hosts: int = 10_000) -> None:
        self._agent = agent
        self._get = get
        self._clock = clock
        self._hosts = hosts
        self._rules: dict[str, Rules] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def check(self, origin: str, url: str) -> tuple[Verdict, float | None]:
        """Whether a url of this origin (``https://host:port``) may be fetched, and its crawl delay in seconds."""
        rules = await self._of(origin)
        if rules.unreachable:
            return "unreachable", None
        if rules.parsed is None:
            return "allowed", None
        delay = rules.parsed.crawl_delay(self._agent)
        if delay is None and (rate := rules.parsed.request_rate(self._agent)) is not None and rate.requests > 0:
            delay = rate.seconds / rate.requests
        allowed = rules.parsed.can_fetch(url, self._agent)
        return "allowed" if allowed else "disallowed", None if delay is None else min(float(delay), MAX_CRAWL_DELAY)

    async def _of(self, origin: str) -> Rules:
        lock = self._locks.setdefault(origin, asyncio.Lock())
        async with lock:  # one fetch, however many urls of the host are waiting
            held = self._rules.get(origin)
            if held is None or held.until <= self._clock():
                if len(self._rules) >= self._hosts:
                    self._rules.clear()
                held = await self._read(origin, held)
                self._rules[origin] = held
            return held

    async def _read(self, origin: str, before: Rules | None) -> Rules:
        from protego import Protego

        status, text = await self._get(f"{origin}/robots.txt")
        now = self._clock()
        if status is None or status == 429 or status >= 500:
            # RFC 9309 2.3.1.4: an unreachable file forbids everything, unless an earlier copy is at hand.
            if before is not None and before.parsed is not None:
                return Rules(before.parsed, False, now + KEEP_FAILURE)
            return Rules(None, True, now + KEEP_FAILURE)
        if status != 200:
            return Rules(None, False, now + KEEP)
        return Rules(Protego.parse(text), False, now + KEEP)
