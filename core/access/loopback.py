"""Which addresses and names mean this machine alone."""

import ipaddress
from collections.abc import Iterable

_FORWARDED = frozenset(("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"))


def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine alone."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def is_forwarded(names: Iterable[str]) -> bool:
    """Whether the names of a request's headers tell of a proxy: then loopback is the proxy's, and says nothing."""
    return any(name.lower() in _FORWARDED for name in names)


def host_of(header: str) -> str:
    """The Host header without its port."""
    if header.startswith("["):
        return header.partition("]")[0].strip("[]")
    return header.rpartition(":")[0] if header.count(":") == 1 else header
