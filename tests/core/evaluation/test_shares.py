"""Wilson's interval: known values, and that it always holds the share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.shares import wilson


def test_wilson_is_right_at_the_edges() -> None:
    low, high = wilson(0, 10)
    assert low == 0.0
    assert high == pytest.approx(0.2775, abs=1e-3)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-3)


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_holds_the_share(hits: int, others: int) -> None:
    low, high = wilson(hits, hits + others)
    assert 0 <= low <= high <= 1
    if hits + others:
        assert low <= hits / (hits + others) <= high
