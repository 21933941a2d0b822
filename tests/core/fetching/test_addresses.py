"""The guard decides by address, at the moment of connecting."""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address
from types import SimpleNamespace
from typing import Any

import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.fetching.addresses import (
    AddressPolicy,
    AddressRefused,
    Allowed,
    GuardedBackend,
    GuardedTransport,
    is_public,
)
from core.fetching.outcomes import Request

REFUSED = [
    *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.0.2.1", "203.0.113.9"),
    *("::", "::1", "fe80::1", "fe80::1%2", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1::1"),
    *("2a00::5efe:7f00:1", "2a00::200:5efe:a00:1", "100::1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("text", REFUSED)
def test_special_addresses_are_not_public(text: str) -> None:
    assert not is_public(ip_address(text))
    assert not AddressPolicy().permits(ip_address(text), 80)


@pytest.mark.parametrize("text", PUBLIC)
def test_ordinary_addresses_are_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_an_ipv6_form_never_opens_what_its_ipv4_address_closes(address: IPv4Address) -> None:
    if not is_public(address):
        number = int(address)
        for form in (f"::ffff:{address}", f"64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}", f"::{address}"):
            assert not is_public(ip_address(form))


def test_an_exception_opens_its_own_port_alone() -> None:
    policy = AddressPolicy.parse(["127.0.0.1:8099", "10.0.0.0/8", "[::1]:80"])
    assert policy.permits(ip_address("127.0.0.1"), 8099)
    assert policy.permits(ip_address("::ffff:127.0.0.1"), 8099)
    assert not policy.permits(ip_address("127.0.0.1"), 8098)
    assert not policy.permits(ip_address("127.0.0.2"), 8099)
    assert policy.permits(ip_address("10.9.9.9"), 1)
    assert policy.permits(ip_address("::1"), 80)
    assert not policy.permits(ip_address("::1"), 81)


@pytest.mark.parametrize("text", ["localhost:80", "127.0.0.1:0", "127.0.0.1:x", "10.0.0.1/8", "", "1.2.3.4:70000"])
def test_a_wrong_exception_is_named(text: str) -> None:
    with pytest.raises(InputError, match="not an address to allow"):
        Allowed.parse(text)


class _Recorder(httpcore.AsyncMockBackend):
    def __init__(self) -> None:
        super().__init__([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])
        self.connected: list[str] = []

    async def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        self.connected.append(host)
        return await super().connect_tcp(host, port, *args, **options)


def test_connects_to_the_checked_address_and_asks_the_name_once() -> None:
    asked: list[str] = []

    async def changing(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.215.14"] if len(asked) == 1 else ["127.0.0.1"]

    recorder = _Recorder()
    asyncio.run(GuardedBackend(AddressPolicy(), changing, recorder).connect_tcp("feeds.example", 80))
    assert asked == ["feeds.example"]
    assert recorder.connected == ["93.184.215.14"]


def test_of_mixed_answers_only_permitted_ones_are_tried() -> None:
    async def mixed(host: str, port: int) -> Sequence[str]:
        return ["10.0.0.1", "93.184.215.14", "::1"]

    recorder = _Recorder()
    asyncio.run(GuardedBackend(AddressPolicy(), mixed, recorder).connect_tcp("feeds.example", 80))
    assert recorder.connected == ["93.184.215.14"]


def test_a_socket_file_is_refused() -> None:
    with pytest.raises(AddressRefused):
        asyncio.run(GuardedBackend(AddressPolicy()).connect_unix_socket("/run/x.sock"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::1]", "0"])
def test_every_way_to_write_loopback_is_refused(host: str) -> None:
    async def go() -> None:
        async with httpx.AsyncClient(transport=GuardedTransport(AddressPolicy())) as client:
            with pytest.raises(httpx.ConnectError) as caught:
                await client.get(f"http://{host}:9/")
            # Some systems do not read the short forms at all, which is as good.
            assert "not a public address" in str(caught.value) or "not found" in str(caught.value)

    asyncio.run(go())


def test_a_name_that_changes_between_two_connections_is_checked_each_time(web: SimpleNamespace) -> None:
    async def go() -> None:
        async with web.Server() as server, web.Server() as inner:
            server.routes = {"/feed": web.answer(302, Location=f"http://feeds.example:{inner.port}/secret")}
            answers = iter([["127.0.0.1"], ["127.0.0.1"], ["10.0.0.7"], ["127.0.0.1"], ["127.0.0.1"]])

            async def rebinding(host: str, port: int) -> Sequence[str]:
                return next(answers)

            async with web.client(server, resolver=rebinding) as client:
                url = server.url("/feed", host="feeds.example")
                got = await client.fetch(Request(url, robots=False))
                assert got.outcome == "address", got  # the inner server's port is not allowed
                got = await client.fetch(Request(url, robots=False))
                assert got.outcome == "address"
                assert "10.0.0.7" in got.reason
            assert inner.requests == []

    asyncio.run(go())


def test_the_environments_proxy_is_not_asked(web: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with web.Server() as server, web.Server() as proxy:
            server.routes = {"/feed": web.answer(200, "ok")}
            for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url())
            for name in ("no_proxy", "NO_PROXY"):
                monkeypatch.delenv(name, raising=False)
            async with web.client(server) as client:
                assert (await client.fetch(Request(server.url("/feed"), robots=False))).ok
            assert proxy.requests == []

    asyncio.run(go())
