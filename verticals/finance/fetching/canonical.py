"""One address for all the ways in which an article's address is written."""

import re
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from w3lib.url import canonicalize_url

# Parameters that say where a reader came from, never which article it is.
_TRACKING = frozenset(
    (
        *("fbclid", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "msclkid", "yclid", "twclid", "ttclid", "igshid"),
        *("mc_cid", "mc_eid", "mkt_tok", "_hsenc", "_hsmi", "hsctatracking", "oly_enc_id", "oly_anon_id", "vero_id"),
        *("_ga", "_gl", "ref_src", "ref_url", "cmpid", "ncid", "ocid", "s_cid", "xtor", "at_medium", "at_campaign"),
        *("feedtype", "feedname", "guccounter", "guce_referrer", "guce_referrer_sig", "soc_src", "soc_trk"),
        *("smid", "smtyp", "srnd", "sref", "ftag", "spm", "wickedid", "__twitter_impression", "__source"),
    )
)
_AMP_QUERY = frozenset({("amp", ""), ("amp", "1"), ("amp", "true"), ("outputtype", "amp")})
_MOBILE = ("www.", "m.", "mobile.", "amp.")
_AMP_ENDING = re.compile(r"(?<=[^/])(?:/amp|/)+$")


def canonical_url(url: str) -> str:
    """One address for all the ways to write an article's: a key to compare by, not a link to follow.

    https for http, host in lower case and punycode without ``www.``, default port, user name and fragment dropped,
    path without dot segments, last slash and AMP ending, percent escapes in one form, tracking parameters dropped and
    the others sorted. A mobile or AMP host is joined with its site's only below a registrable domain (``m.example.com``
    but not ``m.blogspot.com``). An address that cannot be parsed is returned stripped. Idempotent.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        return url
    if parts.scheme not in ("http", "https") or not host:
        return url
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([pair for pair in pairs if not _is_tracking(*pair)])
    place = _site(_ascii(host))
    if port not in (None, 80, 443):
        place += f":{port}"
    # w3lib sorts the query and gives percent escapes one form, leaving the escapes of reserved characters.
    whole = urlsplit(canonicalize_url(urlunsplit(("https", place, parts.path or "/", query, ""))))
    return urlunsplit(("https", place, _path(whole.path), whole.query, ""))


def _is_tracking(name: str, value: str) -> bool:
    name = name.lower()
    return name in _TRACKING or name.startswith("utm_") or (name, value.lower()) in _AMP_QUERY


def _ascii(host: str) -> str:
    host = host.rstrip(".")
    with suppress(UnicodeError):
        host = host.encode("idna").decode("ascii")
    return f"[{host}]" if ":" in host else host.lower()


@lru_cache(maxsize=4096)
def _site(host: str) -> str:
    """The host without ``www.``, and without a mobile or AMP label above a registrable domain."""
    from tld import get_tld

    prefix = next((p for p in _MOBILE if host.startswith(p)), None)
    if prefix is None or "." not in (rest := host.removeprefix(prefix)):
        return host
    if prefix == "www.":
        return _site(rest)
    # The list of public suffixes comes with the package; nothing is fetched.
    found: Any = get_tld(rest, fix_protocol=True, as_object=True, fail_silently=True, search_private=True)
    return host if found is None or found.fld == found.tld else _site(rest)


def _path(path: str) -> str:
    segments: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            segments = segments[:-1]
        elif segment != ".":
            segments.append(segment)
    return _AMP_ENDING.sub("", "/" + "/".join(segments)) or "/"


def is_specific(canonical: str) -> bool:
    """Whether an address can be one article's: a site's front page is not."""
    parts = urlsplit(canonical)
    return parts.path not in ("", "/") or bool(parts.query)
