"""Which machines may be talked to: every connection is checked at the moment it is made, not before.

A name is resolved once, its addresses are checked, and the connection goes to a checked address, so an answer that
changes between check and connection (DNS rebinding) has nothing to change. Proxies of the environment are ignored,
because behind a proxy the check would see the proxy alone.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from itertools import chain
from typing import Any

import httpcore
import httpx

from core.errors import InputError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

# IANA special-purpose registries (RFC 6890 and successors), spelt out because Python's is_global has changed
# between patch releases; then the clouds' metadata services that live on public addresses.
_REFUSED: tuple[Network, ...] = tuple(
    chain(
        collapse_addresses(
            IPv4Network(text)
            for text in (
                *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
                *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
                *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
                *("224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
            )
        ),
        # 2001::/23 has Teredo and ORCHID, 2002::/16 is 6to4, 64:ff9b:1::/48 is local NAT64, ::/8 has the old
        # IPv4-compatible forms; each can carry a private IPv4 address and none is needed to read the news.
        collapse_addresses(
            IPv6Network(text)
            for text in (
                *("::/8", "64:ff9b:1::/48", "100::/8", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
                *("5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
            )
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: the interface identifier holds an IPv4 address


class AddressRefused(httpcore.ConnectError):
    """The connection would go to an address that is not allowed."""


class NameNotFound(httpcore.ConnectError):
    """The host's name has no address."""


def _embedded(address: Address) -> Address:
    """The IPv4 address that a mapped or NAT64 IPv6 address stands for; else the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet, looking through mapped, NAT64 and ISATAP forms."""
    address = _embedded(address)
    number = int(address)
    if isinstance(address, IPv6Address) and (number >> 32) & 0xFFFFFFFF in _ISATAP:
        return not _refused(address) and not _refused(IPv4Address(number & 0xFFFFFFFF))
    return not _refused(address)


def _refused(address: Address) -> bool:
    return any(address in network for network in _REFUSED)


@dataclass(frozen=True)
class Allowed:
    """A network, and one port of it or all, that may be reached although it is not public."""

    network: Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        """Read ``10.0.0.0/8``, ``127.0.0.1:8099``, ``::1`` or ``[fd00::/8]:443``."""
        host, port = text.strip(), None
        if host.startswith("["):
            host, _, rest = host[1:].partition("]")
            port = rest.removeprefix(":") or None
        elif host.count(":") == 1:
            host, port = host.split(":")
        try:
            number = None if port is None else int(port)
            if number is not None and not 0 < number < 65536:
                raise ValueError(port)
            return cls(ip_network(host), number)
        except ValueError as error:
            raise InputError(
                f"{text!r} is not an address to allow; write a network and perhaps a port, such as 10.0.0.0/8 or "
                "127.0.0.1:8099."
            ) from error


@dataclass(frozen=True)
class AddressPolicy:
    """Public addresses and the allowed exceptions."""

    allowed: tuple[Allowed, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "AddressPolicy":
        """A policy with exceptions written as for ``Allowed.parse``."""
        return cls(tuple(Allowed.parse(text) for text in texts))

    def permits(self, address: Address, port: int) -> bool:
        """Whether a connection to this address and port may be made."""
        if is_public(address):
            return True
        return any(_embedded(address) in a.network and a.port in (None, port) for a in self.allowed)


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """The operating system's answer, in its order."""
    loop = asyncio.get_running_loop()
    try:
        rows = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameNotFound(f"the name {host} was not found") from error
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens TCP connections to addresses that the policy permits, and to nothing else."""

    def __init__(
        self,
        policy: AddressPolicy,
        resolver: Resolver = system_resolver,
        backend: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._backend = backend or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve once, check, and connect to a checked address; raises AddressRefused or NameNotFound."""
        try:
            answers = await asyncio.wait_for(self._resolver(host, port), timeout)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"looking up {host} took too long") from error
        addresses = [ip_address(answer) for answer in answers]
        if not addresses:
            raise NameNotFound(f"the name {host} has no address")
        permitted = [address for address in addresses if self._policy.permits(address, port)]
        if not permitted:
            raise AddressRefused(f"{host} leads to {addresses[0]} port {port}, which is not a public address")
        problem: Exception | None = None
        for address in permitted[:4]:  # a few, so that one dead address of several does not hide the others
            try:
                return await self._backend.connect_tcp(
                    str(address), port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        assert problem is not None
        raise problem

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Refused always: a socket file has no address to check."""
        raise AddressRefused(f"the socket {path} is not on the network")

    async def sleep(self, seconds: float) -> None:
        """Wait as the underlying backend does."""
        await self._backend.sleep(seconds)


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    """The usual verification against certifi's roots; reading them takes a while."""
    return httpx.create_ssl_context(trust_env=False)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport with its connections opened by a GuardedBackend, HTTP/1.1 and no proxies."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver = system_resolver, connections: int = 100) -> None:
        context = _tls_context()
        super().__init__(verify=context, trust_env=False)
        # httpx has no argument for the network backend. Should a later version keep its pool elsewhere, stop here
        # rather than connect unguarded.
        if not isinstance(getattr(self, "_pool", None), httpcore.AsyncConnectionPool):
            raise RuntimeError("this version of httpx keeps its connections elsewhere; the address guard cannot work")
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=connections,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=GuardedBackend(policy, resolver),
        )
