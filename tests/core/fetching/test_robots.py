"""robots.txt is asked for once, kept a day and obeyed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from core.fetching.outcomes import Request

RULES = """
User-agent: *
Disallow: /

User-agent: headwater
Disallow: /private
Allow: /private/open
Crawl-delay: 0.4
"""


def test_rules_for_our_name_are_obeyed(web: SimpleNamespace) -> None:
    async def go() -> None:
        async with web.Server() as server:
            server.routes = {"/robots.txt": web.answer(200, RULES)}
            server.routes |= {path: web.answer(200, "ok") for path in ("/feed", "/private/x", "/private/open")}
            async with web.client(server) as client:
                got = [await client.fetch(Request(server.url(p))) for p in ("/feed", "/private/x", "/private/open")]
                assert [g.outcome for g in got] == ["ok", "robots", "ok"]
                assert "robots.txt" in got[1].reason
                assert (await client.fetch(Request(server.url("/private/x"), robots=False))).ok
            assert server.paths == ["/robots.txt", "/feed", "/private/open", "/private/x"]

    asyncio.run(go())


def test_the_crawl_delay_spaces_requests(web: SimpleNamespace) -> None:
    async def go() -> None:
        async with web.Server() as server:
            server.routes = {"/robots.txt": web.answer(200, RULES), "/feed": web.answer(200, "ok")}
            async with web.client(server) as client:
                start = asyncio.get_running_loop().time()
                for _ in range(3):
                    await client.fetch(Request(server.url("/feed")))
                assert asyncio.get_running_loop().time() - start >= 0.8

    asyncio.run(go())


@pytest.mark.parametrize(
    ("status", "outcome"), [(404, "ok"), (403, "ok"), (500, "robots_unreachable"), (429, "robots_unreachable")]
)
def test_a_missing_file_allows_and_a_failing_one_forbids(web: SimpleNamespace, status: int, outcome: str) -> None:
    async def go() -> None:
        async with web.Server() as server:
            server.routes = {"/robots.txt": web.answer(status), "/feed": web.answer(200, "ok")}
            async with web.client(server) as client:
                assert (await client.fetch(Request(server.url("/feed")))).outcome == outcome

    asyncio.run(go())


def test_it_is_kept_a_day_and_an_old_copy_outlives_a_failure(web: SimpleNamespace) -> None:
    async def go() -> None:
        async with web.Server() as server:
            clock = web.Clock()
            forbid = web.answer(200, "User-agent: *\nDisallow: /feed")
            server.routes = {"/robots.txt": [forbid, web.answer(500), web.answer(404)], "/feed": web.answer(200, "ok")}
            async with web.client(server, clock) as client:
                outcomes = []
                for hours in (0, 23, 2, 1):
                    clock.forward(hours=hours)
                    outcomes.append((await client.fetch(Request(server.url("/feed")))).outcome)
            assert outcomes == ["robots", "robots", "robots", "ok"]
            assert server.paths.count("/robots.txt") == 3

    asyncio.run(go())


def test_many_sources_of_a_host_ask_once_and_redirects_are_asked_too(web: SimpleNamespace) -> None:
    async def go() -> None:
        async with web.Server() as server:
            server.routes = {
                "/robots.txt": web.answer(301, Location="/robots2"),
                "/robots2": web.answer(200, "User-agent: *\nDisallow: /hidden"),
                "/feed": web.answer(302, Location="/hidden"),
                "/hidden": web.answer(200, "ok"),
            }
            async with web.client(server) as client:
                got = await asyncio.gather(*(client.fetch(Request(server.url("/feed"))) for _ in range(4)))
            assert {g.outcome for g in got} == {"robots"}
            assert server.paths.count("/robots.txt") == 1 and "/hidden" not in server.paths

    asyncio.run(go())


@pytest.mark.parametrize(
    "body", [b"\xff\xfe\x00garbage", b"<html>404</html>", b"x" * 600_000, b"Disallow\n:::\nUser-agent:"]
)
def test_a_strange_file_is_survived(web: SimpleNamespace, body: bytes) -> None:
    async def go() -> Any:
        async with web.Server() as server:
            server.routes = {"/robots.txt": web.answer(200, body), "/feed": web.answer(200, "ok")}
            async with web.client(server) as client:
                return (await client.fetch(Request(server.url("/feed")))).outcome

    # One beyond the size that must be read counts as not readable, and so forbids.
    assert asyncio.run(go()) == ("robots_unreachable" if len(body) > 524_288 else "ok")


def test_the_guard_holds_for_robots_too(web: SimpleNamespace) -> None:
    async def go() -> None:
        async with web.Server() as server, web.Server() as inner:
            server.routes = {"/robots.txt": web.answer(302, Location=inner.url()), "/feed": web.answer(200, "ok")}
            async with web.client(server) as client:
                assert (await client.fetch(Request(server.url("/feed")))).outcome == "address"
            assert inner.requests == []

    asyncio.run(go())
