"""One fetch against a server on loopback that misbehaves in every way there is."""

import asyncio
import gzip
import logging
import zlib
from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import brotli
import pytest
import zstandard

from core.fetching.outcomes import Fetched, Request

BOMB = b"\x00" * 50_000_000


def fetch(web: SimpleNamespace, routes: dict[str, Any], path: str = "/feed", **options: Any) -> Fetched:
    """Serve ``routes`` and fetch one path; ``options`` go to the request, ``limits`` to the client."""

    async def go() -> Fetched:
        async with web.Server() as server:
            server.routes = routes
            async with web.client(server, **options.pop("limits", {})) as client:
                return await client.fetch(Request(server.url(path), **{"robots": False, **options}))

    return asyncio.run(go())


def test_a_good_answer_comes_with_its_validators(web: SimpleNamespace) -> None:
    headers = {"ETag": '"a"', "Last_Modified": "Mon, 02 Mar 2026 10:00:00 GMT", "Cache_Control": "max-age=600"}
    body = gzip.compress("Gewinn fällt".encode())
    got = fetch(
        web,
        {"/feed": web.answer(200, body, Content_Type="text/xml; charset=UTF-8", Content_Encoding="gzip", **headers)},
    )
    assert got.ok and got.status == 200
    assert got.text() == "Gewinn fällt"
    assert (got.etag, got.last_modified) == ('"a"', headers["Last_Modified"])
    assert (got.content_type, got.charset) == ("text/xml", "UTF-8")
    assert got.next_check == web.NOW + timedelta(minutes=10)
    assert got.to_dict()["bytes"] == len(got.body)


def test_304_is_unchanged(web: SimpleNamespace) -> None:
    async def go() -> None:
        async with web.Server() as server:

            async def conditional(writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
                known = headers.get("if-none-match") == '"a"'
                writer.write(web.answer(304, ETag='"a"') if known else web.answer(200, "x", ETag='"a"'))

            server.routes = {"/feed": conditional}
            async with web.client(server) as client:
                first = await client.fetch(Request(server.url("/feed"), robots=False))
                second = await client.fetch(Request(server.url("/feed"), robots=False, etag=first.etag))
            assert (first.outcome, second.outcome) == ("ok", "unchanged")
            assert second.body == b""

    asyncio.run(go())


STATUSES = {500: "server_error", 503: "server_error", 404: "not_found", 410: "gone"}
STATUSES |= {403: "client_error", 204: "client_error"}


@pytest.mark.parametrize(("status", "outcome"), STATUSES.items())
def test_statuses_become_outcomes(web: SimpleNamespace, status: int, outcome: str) -> None:
    got = fetch(web, {"/feed": web.answer(status)})
    assert (got.outcome, got.status) == (outcome, status)
    assert str(status) in got.reason


@pytest.mark.parametrize(
    ("status", "value", "seconds"),
    [(429, "120", 120), (503, "Mon, 02 Mar 2026 12:05:00 GMT", 300), (429, "999999999999", 86400)],
)
def test_retry_after_is_kept_by_every_source_of_the_host(
    web: SimpleNamespace, status: int, value: str, seconds: int
) -> None:
    async def go() -> None:
        async with web.Server() as server:
            clock = web.Clock()
            server.routes = {"/feed": web.answer(status, Retry_After=value), "/other": web.answer(200, "ok")}
            async with web.client(server, clock) as client:
                got = await client.fetch(Request(server.url("/feed"), robots=False))
                assert got.outcome == "rate_limited"
                assert got.next_check == web.NOW + timedelta(seconds=seconds)
                clock.forward(seconds=seconds - 1)
                assert (await client.fetch(Request(server.url("/other"), robots=False))).outcome == "rate_limited"
                assert server.paths == ["/feed"]  # the host was left alone
                clock.forward(seconds=1)
                assert (await client.fetch(Request(server.url("/other"), robots=False))).ok

    asyncio.run(go())


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/"])
def test_a_redirect_inward_is_refused(web: SimpleNamespace, target: str) -> None:
    got = fetch(web, {"/feed": web.answer(302, Location=target)})
    assert got.outcome == "address"
    assert "not a public address" in got.reason


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.org/", "gopher://x/", "http://u:p@1.1.1.1/"])
def test_a_redirect_to_no_web_address_is_refused(web: SimpleNamespace, target: str) -> None:
    assert fetch(web, {"/feed": web.answer(302, Location=target)}).outcome == "bad_url"


@pytest.mark.parametrize(
    "url", ["", "feed", "http://", "http://a b/", "http://x:99999/", "javascript:1", "http://[::1"]
)
def test_a_bad_address_is_an_outcome(web: SimpleNamespace, url: str) -> None:
    async def go() -> None:
        async with web.Server() as server, web.client(server) as client:
            assert (await client.fetch(Request(url, robots=False))).outcome == "bad_url"

    asyncio.run(go())


def test_redirects_in_a_circle_and_without_end(web: SimpleNamespace) -> None:
    circle = {"/feed": web.answer(302, Location="/b"), "/b": web.answer(301, Location="/feed")}
    got = fetch(web, circle)
    assert (got.outcome, got.requests) == ("redirects", 2)
    endless = {"/feed": web.answer(302, Location="/1")} | {
        f"/{i}": web.answer(302, Location=f"/{i + 1}") for i in range(1, 9)
    }
    got = fetch(web, endless)
    assert (got.outcome, got.requests) == ("redirects", 6)


def test_five_redirects_are_followed_and_permanent_ones_reported(web: SimpleNamespace) -> None:
    chain = {"/feed": web.answer(301, Location="/1"), "/1": web.answer(308, Location="/2")}
    chain |= {"/2": web.answer(302, Location="/3"), "/3": web.answer(301, Location="/4")}
    got = fetch(web, chain | {"/4": web.answer(301, Location="/5?ü=1#x"), "/5": web.answer(200, "end")})
    assert got.ok and got.requests == 6
    assert got.moved_to is not None and got.moved_to.endswith("/2")  # beyond it a temporary one decides
    assert fetch(web, {"/feed": web.answer(302, Location="/b"), "/b": web.answer(200, "x")}).moved_to is None


def test_a_sources_headers_stay_with_its_host(web: SimpleNamespace) -> None:
    async def go() -> None:
        async with web.Server() as server:

            async def resolver(host: str, port: int) -> Sequence[str]:
                return ["127.0.0.1"]

            server.routes = {
                "/feed": web.answer(302, Location="/moved"),
                "/moved": web.answer(302, Location=server.url("/elsewhere", host="other.example")),
                "/elsewhere": web.answer(200, "ok", Set_Cookie="id=1"),
            }
            async with web.client(server, resolver=resolver) as client:
                headers = {"Authorization": "Bearer s3cret"}
                for _ in range(2):
                    await client.fetch(Request(server.url("/feed", host="a.example"), robots=False, headers=headers))
            sent = dict(server.requests)
            assert sent["/feed"]["authorization"] == sent["/moved"]["authorization"] == "Bearer s3cret"
            assert "authorization" not in sent["/elsewhere"]
            assert "cookie" not in sent["/elsewhere"]
            assert sent["/feed"]["user-agent"].startswith("Headwater/")

    asyncio.run(go())


def test_secrets_are_not_logged(web: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="core.fetching")
    request = {"headers": {"X-Key": "s3cret"}}
    got = fetch(web, {"/feed": web.answer(500)}, path="/feed?key=qu3ry", **request)
    assert "/feed" in caplog.text
    assert "s3cret" not in caplog.text + repr(got) and "qu3ry" not in caplog.text
    assert "s3cret" not in repr(Request("http://a.example/", **request))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "gzip, br"])
def test_decompression_bombs_stop_at_the_cap(web: SimpleNamespace, encoding: str) -> None:
    one = {"gzip": gzip.compress, "deflate": zlib.compress, "br": lambda b: brotli.compress(b, quality=3)}
    one["zstd"] = zstandard.ZstdCompressor().compress
    body = BOMB
    for name in encoding.split(", "):
        body = one[name](body)
    got = fetch(web, {"/feed": web.answer(200, body, Content_Encoding=encoding)}, limits={"body": 1_000_000})
    assert got.outcome == "too_large", got
    assert got.body == b""


def test_endless_bodies_stop_at_the_cap(web: SimpleNamespace) -> None:
    async def endless(writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    got = fetch(web, {"/feed": endless}, limits={"body": 500_000})
    assert got.outcome == "too_large"


def test_a_body_that_says_it_is_too_large_is_not_read(web: SimpleNamespace) -> None:
    async def announced(writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        await asyncio.sleep(5)

    got = fetch(web, {"/feed": announced})
    assert got.outcome == "too_large" and got.seconds < 2


def test_slow_loris_meets_the_total_and_the_idle_limit(web: SimpleNamespace) -> None:
    async def dripping(writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def silent(writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
        await asyncio.sleep(5)

    got = fetch(web, {"/feed": dripping}, limits={"total": 0.6})
    assert got.outcome == "timeout" and 0.5 < got.seconds < 3
    got = fetch(web, {"/feed": silent}, limits={"idle": 0.3})
    assert got.outcome == "timeout" and got.seconds < 3


def test_slow_redirects_share_one_limit(web: SimpleNamespace) -> None:
    def slow(location: str) -> Any:
        async def handler(writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
            await asyncio.sleep(0.3)
            writer.write(web.answer(302, Location=location))

        return handler

    got = fetch(web, {"/feed": slow("/1"), "/1": slow("/2"), "/2": slow("/3")}, limits={"total": 0.5})
    assert got.outcome == "timeout" and got.requests == 2


@pytest.mark.parametrize(
    "response",
    [
        b"nonsense\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000 + b"\r\n\r\n",
    ],
)
def test_broken_http_is_an_outcome(web: SimpleNamespace, response: bytes) -> None:
    assert fetch(web, {"/feed": response}).outcome == "connection"


def test_damaged_compression_is_an_outcome(web: SimpleNamespace) -> None:
    whole = gzip.compress(b"profit" * 1000)
    for body, encoding in ((whole[:20], "gzip"), (b"not gzip", "gzip"), (b"x", "compress"), (b"x", "gzip,gzip,gzip")):
        assert fetch(web, {"/feed": web.answer(200, body, Content_Encoding=encoding)}).outcome == "truncated"


def test_a_wrong_kind_of_content_is_not_read(web: SimpleNamespace) -> None:
    got = fetch(web, {"/feed": web.answer(200, b"x" * 100, Content_Type="video/mp4")}, accept=("xml", "html"))
    assert got.outcome == "content_type" and "video/mp4" in got.reason
    assert fetch(web, {"/feed": web.answer(200, b"x")}, accept=("xml",)).ok  # no label: the content decides


def test_an_unknown_name_and_a_closed_port(web: SimpleNamespace) -> None:
    async def go() -> None:
        async with web.Server() as server, web.client(server) as client:
            assert (await client.fetch(Request("http://no-such-host.invalid/", robots=False))).outcome == "dns"
            server._server.close()
            await server._server.wait_closed()
            assert (await client.fetch(Request(server.url(), robots=False))).outcome == "connection"

    asyncio.run(go())


def test_cancellation_passes_through(web: SimpleNamespace) -> None:
    async def silent(writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
        await asyncio.sleep(5)

    async def go() -> None:
        async with web.Server() as server, web.client(server) as client:
            server.routes = {"/feed": silent}
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.fetch(Request(server.url("/feed"), robots=False)), 0.2)

    asyncio.run(go())
