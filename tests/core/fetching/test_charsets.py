"""Text comes out right although its label is wrong."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.fetching.charsets import decode, known

GERMAN = "Börse: Gewinn fällt – „Übernahme“ für 5 € geplatzt"
CHINESE = "腾讯控股第三季度净利润同比下降，股价大跌百分之五，投资者担忧监管风险持续上升"
JAPANESE = "トヨタの営業利益が減少、株価は大幅に下落した。投資家は不安を強めている"


@pytest.mark.parametrize(
    ("body", "header", "wanted"),
    [
        (GERMAN.encode(), "utf-8", GERMAN),
        (GERMAN.encode("cp1252"), "iso-8859-1", GERMAN),  # the web's Latin-1 is cp1252
        (GERMAN.encode("cp1252"), "utf-8", GERMAN),  # wrong label
        (GERMAN.encode(), "iso-8859-1", GERMAN),  # wrong label the other way
        (GERMAN.encode(), "us-ascii", GERMAN),
        (GERMAN.encode(), None, GERMAN),
        (GERMAN.encode(), "no-such-charset", GERMAN),
        (codecs.BOM_UTF8 + GERMAN.encode(), "iso-8859-1", GERMAN),
        (codecs.BOM_UTF16_LE + GERMAN.encode("utf-16-le"), "utf-8", GERMAN),
        (codecs.BOM_UTF16_BE + GERMAN.encode("utf-16-be"), None, GERMAN),
        (CHINESE.encode("gb18030"), "gb2312", CHINESE),
        (CHINESE.encode("gb18030"), None, CHINESE),
        (CHINESE.encode("gb18030"), "utf-8", CHINESE),
        (JAPANESE.encode("shift_jis"), "Shift_JIS", JAPANESE),
        (JAPANESE.encode("euc_jp"), "euc-jp", JAPANESE),
        (b"plain", "rot13", "plain"),
        (b"", None, ""),
    ],
)
def test_text_by_header_and_content(body: bytes, header: str | None, wanted: str) -> None:
    assert decode(body, header) == wanted


@pytest.mark.parametrize(
    "head",
    ['<?xml version="1.0" encoding="windows-1251"?>', '<meta charset="windows-1251">',
     '<html><head><meta http-equiv="Content-Type" content="text/html; charset=windows-1251">'],
)  # fmt: skip
def test_a_declaration_inside_counts_when_the_header_says_nothing(head: str) -> None:
    text = head + "Прибыль банка упала"
    assert decode(text.encode("cp1251")) == text
    assert decode(text.encode()) == text  # declared one thing, written in UTF-8


def test_mostly_good_utf8_is_mended_rather_than_guessed() -> None:
    text = decode((CHINESE * 10).encode() + b"\xe4\xb8", "utf-8")
    assert text.startswith(CHINESE * 10) and text.endswith("\ufffd")


@given(
    st.binary(max_size=300),
    st.none() | st.sampled_from(["utf-8", "utf-16", "utf-7", "gbk", "cp1252", "hz", "zip", "idna"]),
)
def test_decoding_never_fails(body: bytes, header: str | None) -> None:
    assert isinstance(decode(body, header), str)


@given(st.text(max_size=40))
def test_unknown_labels_are_none(label: str) -> None:
    name = known(label)
    assert name is None or isinstance(b"a".decode(name, "replace"), str)
