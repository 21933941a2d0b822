"""Reading addresses and headers of an exchange, and naming what went wrong in it."""

import re
import ssl
from contextlib import suppress
from urllib.parse import urljoin, urlsplit

import httpx

from core.fetching.addresses import AddressRefused, NameNotFound
from core.fetching.outcomes import Failure

REDIRECTS = {301: True, 302: False, 303: False, 307: False, 308: True}  # status -> whether it is permanent
MAX_URL = 8192
_HOST = re.compile(r"[A-Za-z0-9._:-]+")  # once in punycode; the colon is IPv6's


def origin_of(url: str) -> tuple[str, str]:
    """``scheme://host[:port]`` and the host; raises Failure for what is no web address."""
    try:
        parsed = httpx.URL(url)
        # httpx reads more leniently than other tools; what they would read differently is refused.
        plain = urlsplit(url)
        _ = plain.port
    except (httpx.InvalidURL, ValueError, UnicodeError) as error:
        raise Failure("bad_url", f"{url[:200]!r} is not a web address ({error})", url=url) from error
    if parsed.scheme not in ("http", "https") or not parsed.host or len(url) > MAX_URL:
        raise Failure("bad_url", f"{url[:200]!r} is not a web address", url=url)
    if parsed.userinfo:
        raise Failure("bad_url", "the address carries a user name or password", url=url)
    host = parsed.raw_host.decode("ascii")
    if not _HOST.fullmatch(host):
        raise Failure("bad_url", f"{host[:200]!r} is not the name of a host", url=url)
    shown = f"[{host}]" if ":" in host else host
    return f"{parsed.scheme}://{shown}" + (f":{parsed.port}" if parsed.port else ""), host


def may_have_headers(source: str, url: str) -> bool:
    """Whether the headers of a source at ``source`` may go to ``url``: same origin, or its upgrade to https."""
    first, now = httpx.URL(source), httpx.URL(url)
    upgrade = (first.scheme, first.port, now.scheme, now.port) == ("http", None, "https", None)
    return first.host == now.host and (upgrade or (first.scheme, first.port) == (now.scheme, now.port))


def redirected(url: str, location: str) -> str:
    """The address that a Location header leads to, without its fragment; raises Failure."""
    with suppress(UnicodeError):
        # Header bytes beyond ASCII were read as Latin-1; most servers mean UTF-8 (httpx quotes it afterwards).
        location = location.encode("latin-1").decode("utf-8")
    try:
        return urljoin(url, location.strip()).partition("#")[0]
    except ValueError as error:
        raise Failure("bad_url", f"the redirect to {location[:200]!r} is not an address", url=url) from error


def media_type(headers: httpx.Headers) -> str:
    """The media type in lower case without its parameters, or the empty string."""
    return str(headers.get("content-type", "")).partition(";")[0].strip().lower()[:100]


def charset_of(headers: httpx.Headers) -> str | None:
    """The charset parameter of the content type."""
    for part in str(headers.get("content-type", "")).split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset" and value:
            return value.strip().strip("\"'")[:40]
    return None


def connection_failure(error: BaseException) -> Failure:
    """Name what an exception of the transport means."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return Failure("address", str(cause))
        if isinstance(cause, NameNotFound):
            return Failure("dns", str(cause))
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure("connection", f"the certificate is not valid ({cause.verify_message})")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return Failure("timeout", f"nothing came in time ({type(error).__name__})")
    return Failure("connection", f"the connection failed ({type(error).__name__}: {str(error)[:200]})")
