"""Markup becomes text; addresses become absolute or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verticals.finance.fetching.items import plain_text, squeeze, tag_list, web_url


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("Profit <b>falls</b> 5&nbsp;%", "Profit falls 5 %"),
        ("Margin < 5% and > 2%", "Margin < 5% and > 2%"),
        ("AT&amp;T", "AT&T"),
        ("R&D up", "R&D up"),
        ("<p>One</p><p>Two<br>Three</p>", "One Two Three"),
        ("<script>alert(1)</script>Shares<style>p{}</style> fall<!-- x -->", "Shares fall"),
        ("<img src=x onerror=alert(1)>Bank", "Bank"),
        ("a\u200bb\u202ec\x00d", "abcd"),
        ("", ""),
        ("<p></p>", ""),
    ],
)
def test_plain_text(markup: str, wanted: str) -> None:
    assert plain_text(markup) == wanted


@given(st.text(), st.integers(2, 50))
def test_squeezed_text_fits_and_has_single_blanks(text: str, limit: int) -> None:
    found = squeeze(text, limit)
    assert len(found) <= limit and "  " not in found and found == found.strip()


@given(st.text(alphabet="<>/abp&;! ='\"\x00-"))
def test_any_markup_is_survived(markup: str) -> None:
    assert isinstance(plain_text(markup), str)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("/a?b=1", "https://x.example/a?b=1"),
        ("b", "https://x.example/dir/b"),
        ("//cdn.example/a", "https://cdn.example/a"),
        (" https://y.example/a b\n", "https://y.example/a%20b"),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("mailto:a@x.example", None),
        ("http://[::1", None),
        ("https://user:word@x.example/", None),
        ("", None),
        (None, None),
    ],
)
def test_web_url(value: str | None, wanted: str | None) -> None:
    assert web_url(value, "https://x.example/dir/page") == wanted


def test_tags_are_few_and_different() -> None:
    assert tag_list(["a", None, " a ", "b", ""]) == ("a", "b")
    assert len(tag_list([str(i) for i in range(99)])) == 20
