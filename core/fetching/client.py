"""One polite fetch: conditional, guarded, paced, bounded in time and size; every failure is an outcome."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any

import httpcore
import httpx

from core.fetching.addresses import (
    AddressPolicy,
    GuardedTransport,
    Resolver,
    system_resolver,
)
from core.fetching.bodies import ACCEPT_ENCODING, Body, Damaged, TooLarge
from core.fetching.hosts import HostGate
from core.fetching.outcomes import Failure, Fetched, Outcome, Request
from core.fetching.robots import CAP as ROBOTS_CAP
from core.fetching.robots import Robots
from core.fetching.schedule import freshness, retry_after
from core.fetching.targets import (
    REDIRECTS,
    charset_of,
    connection_failure,
    may_have_headers,
    media_type,
    origin_of,
    redirected,
)

AGENT = "Headwater"  # the product token that robots.txt rules are matched against
USER_AGENT = f"{AGENT}/0.1 (news monitor; obeys robots.txt)"

_log = logging.getLogger(__name__)
_STATUS: dict[int, Outcome] = {200: "ok", 304: "unchanged", 404: "not_found", 410: "gone", 429: "rate_limited"}


@dataclass(frozen=True)
class Limits:
    """Bounds of one fetch; times in seconds, sizes in bytes."""

    connect: float = 10.0
    idle: float = 20.0  # between two pieces of an answer
    total: float = 60.0  # redirects included; waiting for one's turn at a host is not
    body: int = 10 * 1024 * 1024  # after decompression
    redirects: int = 5
    concurrency: int = 2  # per host
    spacing: float = 1.0  # between the starts of two requests to a host


class _Watch:
    """Time spent on the wire in one fetch, the waits for one's turn left out."""

    def __init__(self, total: float) -> None:
        self.total, self.spent, self.requests = total, 0.0, 0

    async def run(self, work: Awaitable[Any]) -> Any:
        loop = asyncio.get_running_loop()
        start = loop.time()
        self.requests += 1
        try:
            async with asyncio.timeout(max(self.total - self.spent, 0.0)):
                return await work
        except TimeoutError as error:
            raise Failure("timeout", f"the answer was not complete after {self.total:g} s") from error
        finally:
            self.spent += loop.time() - start


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: httpx.Headers
    body: bytes = b""


class Client:
    """Fetches for all sources of a process; an async context manager, to be used within one event loop."""

    def __init__(
        self,
        policy: AddressPolicy | None = None,
        limits: Limits | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        resolver: Resolver = system_resolver,
        user_agent: str = USER_AGENT,
        near: frozenset[str] = frozenset(),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """``near``: hosts without a pause between requests. ``transport`` takes the guarded one's place in a test."""
        self.limits = limits or Limits()
        self.clock = clock
        self._gate = HostGate(clock, self.limits.concurrency, self.limits.spacing, near)
        self._robots = Robots(AGENT, self._robots_text, clock)
        self._http = httpx.AsyncClient(
            transport=transport or GuardedTransport(policy or AddressPolicy(), resolver),
            timeout=httpx.Timeout(self.limits.idle, connect=self.limits.connect),
            headers={"User-Agent": user_agent, "Accept-Encoding": ACCEPT_ENCODING},
            follow_redirects=False,
            trust_env=False,
            # Sources must not follow us around, nor one another.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the idle connections."""
        await self._http.aclose()

    async def fetch(self, request: Request) -> Fetched:
        """Fetch one address, following at most ``limits.redirects`` redirects, each of them checked.

        Cancellation passes through; nothing else that a server, a name or an address does raises.
        """
        watch = _Watch(self.limits.total)
        ended = Fetched(request.url, request.url, "connection", self.clock())
        try:
            ended = await self._follow(request, watch, ended)
        except Failure as failure:
            at = failure.details.pop("url", request.url)
            ended = replace(ended, url=at, outcome=failure.outcome, reason=str(failure), **failure.details)
        ended = replace(ended, at=self.clock(), requests=watch.requests, seconds=watch.spent)
        # The query is left out, since keys are sometimes written there.
        _log.info("%s: %s %s", ended.url.partition("?")[0], ended.outcome, ended.status or "")
        return ended

    async def _follow(self, request: Request, watch: _Watch, ended: Fetched) -> Fetched:
        url, permanent, moved_to = request.url, True, None
        seen: set[str] = set()
        while True:
            origin, host = origin_of(url)
            if (wait := self._gate.paused(host)) is not None:
                raise Failure("rate_limited", f"{host} asked to be left alone", url=url, retry_after=wait)
            delay = await self._permission(origin, url) if request.robots else None
            try:
                async with self._gate.visit(host, delay):
                    answer = await watch.run(self._exchange(url, request))
            except Failure as failure:
                failure.details.setdefault("url", url)
                raise
            location = answer.headers.get("location")
            if answer.status not in REDIRECTS or location is None:
                return self._end(replace(ended, url=url, moved_to=moved_to), answer, host)
            seen.add(url)
            url = redirected(url, location)
            if url in seen:
                raise Failure("redirects", f"the redirects go in a circle at {url}", url=url)
            if len(seen) > self.limits.redirects:
                raise Failure("redirects", f"more than {self.limits.redirects} redirects", url=url)
            permanent = permanent and REDIRECTS[answer.status]
            moved_to = url if permanent else moved_to

    async def _permission(self, origin: str, url: str) -> float | None:
        verdict, delay = await self._robots.check(origin, url)
        if verdict == "disallowed":
            raise Failure("robots", f"{origin}/robots.txt does not allow {AGENT} to fetch this address", url=url)
        if verdict == "unreachable":
            raise Failure("robots_unreachable", f"{origin}/robots.txt could not be read", url=url)
        return delay

    async def _exchange(self, url: str, request: Request) -> _Answer:
        # Keys belong to the source's own host; a redirect must not carry them elsewhere.
        headers = dict(request.headers) if may_have_headers(request.url, url) else {}
        if request.etag:
            headers["If-None-Match"] = request.etag
        if request.last_modified:
            headers["If-Modified-Since"] = request.last_modified
        return await self._get(url, headers, request.max_body or self.limits.body, request.accept)

    async def _get(self, url: str, headers: dict[str, str], cap: int, accept: tuple[str, ...] = ()) -> _Answer:
        try:
            async with self._http.stream("GET", url, headers=headers) as response:
                if response.status_code != 200:
                    return _Answer(response.status_code, response.headers)
                kind = media_type(response.headers)
                if accept and kind and not any(part in kind for part in accept):
                    raise Failure("content_type", f"the server sent {kind}", status=200, content_type=kind)
                length = response.headers.get("content-length", "")
                if length.isascii() and length.isdigit() and int(length[:18]) > cap:
                    raise TooLarge(f"the body of {length[:18]} bytes is larger than {cap}")
                body = Body(response.headers.get("content-encoding", ""), cap)
                async for piece in response.aiter_raw():
                    body.feed(piece)
                return _Answer(200, response.headers, body.close())
        except TooLarge as error:
            raise Failure("too_large", str(error), status=200) from error
        except Damaged as error:
            raise Failure("truncated", str(error), status=200) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpcore.ProxyError, OSError, UnicodeError, ValueError) as error:
            raise connection_failure(error) from error

    def _end(self, ended: Fetched, answer: _Answer, host: str) -> Fetched:
        now, headers, status = self.clock(), answer.headers, answer.status
        other: Outcome = "server_error" if status >= 500 else "client_error"
        outcome = _STATUS.get(status, other)
        wait = retry_after(headers.get("retry-after"), now) if status in (429, 503) else None
        if wait is not None:
            outcome = "rate_limited"
            self._gate.pause(host, wait)
        return replace(
            ended,
            outcome=outcome,
            status=status,
            reason="" if status in (200, 304) else f"the server answered {status}",
            body=answer.body,
            content_type=media_type(headers),
            charset=charset_of(headers),
            etag=headers.get("etag"),
            last_modified=headers.get("last-modified"),
            fresh_for=freshness(headers, now) if status in (200, 304) else None,
            retry_after=wait,
        )

    async def _robots_text(self, url: str) -> tuple[int | None, str]:
        from core.fetching.charsets import decode

        watch = _Watch(self.limits.total)
        try:
            for _ in range(self.limits.redirects + 1):
                _, host = origin_of(url)
                async with self._gate.visit(host):
                    answer = await watch.run(self._get(url, {}, ROBOTS_CAP))
                location = answer.headers.get("location")
                if answer.status not in REDIRECTS or location is None:
                    return answer.status, decode(answer.body, charset_of(answer.headers))
                url = redirected(url, location)
        except Failure as failure:
            _log.info("%s: %s", url.partition("?")[0], failure.outcome)
            if failure.outcome == "address":
                raise
            return None, ""
        return 404, ""  # RFC 9309 2.3.1.2: after five redirects it may be taken as unavailable
