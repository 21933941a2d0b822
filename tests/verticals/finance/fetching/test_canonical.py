"""One address per article."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verticals.finance.fetching.canonical import canonical_url, is_specific


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://WWW.Example.com:80/a/b/?utm_source=x&b=2&a=1#top", "https://example.com/a/b?a=1&b=2"),
        ("https://example.com./x/../y/./z", "https://example.com/y/z"),
        ("https://example.com:8443/a", "https://example.com:8443/a"),
        ("https://m.example.com/a/amp/", "https://example.com/a"),
        ("https://amp.example.co.uk/a?amp=1", "https://example.co.uk/a"),
        ("https://mobile.www.example.com/a", "https://example.com/a"),
        ("https://m.blogspot.com/a", "https://m.blogspot.com/a"),  # somebody's own site
        ("https://m.co.uk/a", "https://m.co.uk/a"),
        ("https://example.com/amp", "https://example.com/amp"),  # an article about amplifiers
        ("https://example.com/a?fbclid=1&gclid=2&UTM_Medium=x&feedType=RSS", "https://example.com/a"),
        ("https://example.com/view?id=7&amp=3", "https://example.com/view?amp=3&id=7"),
        ("https://bücher.de/%7eä", "https://xn--bcher-kva.de/~%C3%A4"),
        ("https://example.com/a%2Fb", "https://example.com/a%2Fb"),
        ("https://user:word@example.com/a", "https://example.com/a"),
        ("https://example.com", "https://example.com/"),
        ("http://[2001:db8::1]:80/a", "https://[2001:db8::1]/a"),
        ("mailto:x", "mailto:x"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_forms(url: str, wanted: str) -> None:
    assert canonical_url(url) == wanted
    assert canonical_url(wanted) == wanted


WEB = st.from_regex(
    r"https?://[a-zA-Zü0-9]{1,8}(\.[a-z]{1,6}){0,3}(:[0-9]{1,4})?"
    r"(/[a-zA-Z0-9%./é~ ;=&+-]*)?(\?[a-zA-Z%&=+;/é0-9.\[\]]*)?(#.*)?",
    fullmatch=True,
)


@given(WEB | st.text())
def test_idempotent(url: str) -> None:
    once = canonical_url(url)
    assert canonical_url(once) == once


@given(WEB, st.sampled_from(["utm_campaign=a", "fbclid=b", "mc_eid=%20"]))
def test_tracking_changes_nothing(url: str, tracking: str) -> None:
    address = url.partition("#")[0]
    tracked = f"{address}{'&' if '?' in address else '?'}{tracking}"
    assert canonical_url(tracked) == canonical_url(address)


def test_front_pages_are_not_specific() -> None:
    assert not is_specific("https://example.com/")
    assert is_specific("https://example.com/a") and is_specific("https://example.com/?p=7")
