"""Conditions on metadata, against the obvious loop."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.search.filters import Metadata

ROWS = [
    {"lang": "en", "groups": ["public", "agents"], "price": 5},
    {"lang": "zh", "groups": ["agents"], "price": 10},
    {"lang": "en", "groups": []},
]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"lang": "en"}, [True, False, True]),
        ({"lang": ["en", "zh"], "price": {"min": 6}}, [False, True, False]),
        ({"price": {"min": 5, "max": 5}}, [True, False, False]),
        ({"groups": ["public", "other"]}, [True, False, False]),
        ({"groups": []}, [False, False, False]),
        ({"nothing": "x"}, [False, False, False]),
        ({"price": None}, [False, False, True]),
    ],
)
def test_conditions(where: dict[str, Any], expected: list[bool]) -> None:
    mask = Metadata(ROWS).mask(where)
    assert mask is not None and mask.tolist() == expected


def test_no_condition_is_no_mask() -> None:
    assert Metadata(ROWS).mask(None) is None
    assert Metadata(ROWS).mask({}) is None


@pytest.mark.parametrize("where", [{"price": {"from": 3}}, {"price": {}}, {"lang": {"min": 3}}])
def test_conditions_that_mean_nothing_are_refused(where: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="condition on"):
        Metadata(ROWS).mask(where)


@given(
    st.lists(st.fixed_dictionaries({"n": st.integers(0, 5), "g": st.lists(st.sampled_from("abc"))}), max_size=12),
    st.integers(0, 5),
    st.integers(0, 5),
    st.lists(st.sampled_from("abcd")),
)
def test_like_a_loop(rows: list[dict[str, Any]], low: int, high: int, groups: list[str]) -> None:
    mask = Metadata(rows).mask({"n": {"min": low, "max": high}, "g": groups})
    assert mask is not None
    assert mask.tolist() == [low <= row["n"] <= high and bool(set(row["g"]) & set(groups)) for row in rows]
