"""Companies in texts: longest match, capitals, everyday words, tickers, possessives, Chinese."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from verticals.finance.entities import AliasTable, Company, read_companies

COMMON = frozenset({"beacon", "coast", "parcel", "bank"})
TABLE = AliasTable(
    [
        Company("BCNPRC", "Beacon Parcel", ("Beacon", "BPL", "灯塔快递")),
        Company("SBLCST", "Sable Coast Bancorp", ("Sable Coast", "SCB")),
        Company("QLNSEM", "Quillon Semiconductor", ("Quillon",)),
    ],
    COMMON,
)


def codes(text: str) -> list[str]:
    return [mention.code for mention in TABLE.find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Beacon Parcel warns on volumes", ["BCNPRC"]),
        ("A beacon of hope for investors", []),
        ("Beacon shares fall 8%", ["BCNPRC"]),
        ("Hikers saw the Beacon at dusk and then they walked home again", ["BCNPRC"]),
        ("Beacon lit on the hill", []),
        ("Beacon Hill house sold; Beacon Parcel says nothing", ["BCNPRC"]),
        ("BPL is a league", []),
        ("Beacon Parcel (BPL) cut to sell", ["BCNPRC"]),
        ("$BPL breaks out", ["BCNPRC"]),
        ("bpl breaks out", []),
        ("Quillon's chip outsells Sable Coast's bonds", ["QLNSEM", "SBLCST"]),
        ("Quillonville is a town", []),
        ("灯塔快递股价上涨", ["BCNPRC"]),
        ("Quillon上市首日大涨", ["QLNSEM"]),
        ("", []),
    ],
)
def test_finds(text: str, expected: list[str]) -> None:
    assert codes(text) == expected


def test_the_longest_alias_wins_and_positions_are_those_of_the_text() -> None:
    text = "Shares of Sable Coast Bancorp's rivals"
    (mention,) = TABLE.find(text)
    assert text[mention.start : mention.end] == "Sable Coast Bancorp" == mention.alias


@given(st.text(max_size=80))
def test_any_text_is_searched_and_every_mention_lies_within_it(text: str) -> None:
    for mention in TABLE.find(text):
        assert text[mention.start : mention.end] == mention.alias != ""


def test_reads_both_shapes(tmp_path: Path) -> None:
    plain, list_ = tmp_path / "a.csv", tmp_path / "b.csv"
    plain.write_text("code,name,aliases\nAB,Abel Ltd,Abel|ABL\n", encoding="utf-8")
    list_.write_text(',Symbol,Entity\n0,ABL,"Abel Ltd., Abel, ABL"\n', encoding="utf-8")
    assert read_companies(plain) == [Company("AB", "Abel Ltd", ("Abel", "ABL"))]
    assert read_companies(list_)[0].aliases == ("Abel", "ABL")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("code,name\n,Abel\n", "row 2, column code"),
        ("code,name\nA,Abel\nA,Bell\n", "row 3, column code"),
        ("x,y\n1,2\n", "header"),
        ("code,name\n", "no company"),
    ],
)
def test_bad_tables_are_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "c.csv").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_companies(tmp_path / "c.csv")
