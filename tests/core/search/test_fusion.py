"""Two scores into one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.search import fusion

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=20).map(np.array)


def test_weighted_by_hand() -> None:
    assert np.allclose(fusion.weighted(np.array([0.2, 1.0]), np.array([0.6, 0.0]), 0.75), [0.5, 0.25])


def test_ranks_by_hand() -> None:
    """First by both is 1; second by meaning and not found by words is half of 61/62."""
    found = fusion.reciprocal_ranks(np.array([0.9, 0.0]), np.array([0.8, 0.3]))
    assert np.allclose(found, [1.0, 0.5 * 61 / 62])


@given(SCORES, st.floats(0, 1), st.randoms())
def test_fused_scores_lie_in_the_unit_interval(semantic: np.ndarray, weight: float, random: object) -> None:
    lexical = semantic[::-1].copy()
    for fused in (fusion.weighted(lexical, semantic, weight), fusion.reciprocal_ranks(lexical, semantic, weight)):
        assert ((fused >= 0) & (fused <= 1 + 1e-12)).all()


def _case(lexical: list[float], semantic: list[float], right: int, documents: list[int] | None = None) -> fusion.Case:
    relevant = np.arange(len(lexical)) == right
    numbers = np.array(documents or range(len(lexical)))
    return fusion.Case(np.array(lexical), np.array(semantic), numbers, relevant)


def test_the_weight_goes_to_the_part_that_earns_it() -> None:
    meaning = [_case([0.9, 0.1, 0.0], [0.2, 0.8, 0.1], 1)] * 3
    words = [_case([0.9, 0.1, 0.0], [0.2, 0.8, 0.1], 0)] * 3
    assert fusion.best_weight(meaning)[0] > 0.5 > fusion.best_weight(words)[0]
    assert fusion.best_weight(meaning)[1] == fusion.best_weight(words)[1] == 1.0


def test_mixing_has_to_earn_its_place() -> None:
    # Meaning finds three of four; a little of words would find the fourth, which one query does not prove.
    cases = [_case([0.0, 0.1], [0.9, 0.2], 0)] * 3 + [_case([0.9, 0.0], [0.5, 0.6], 0)]
    assert fusion.best_weight(cases) == (1.0, (3 + 0.5) / 4)
    assert 0 < fusion.best_weight(cases * 5)[0] < 1.0 == fusion.best_weight(cases * 5)[1]


def test_several_texts_of_one_document_take_one_rank() -> None:
    scores = [0.9, 0.8, 0.7, 0.1]
    assert fusion.best_weight([_case(scores, scores, 3, [0, 0, 0, 1])])[1] == 0.5


def test_ties_and_missing_documents_earn_nothing() -> None:
    assert fusion.best_weight([_case([0.5] * 20, [0.5] * 20, 0)])[1] == 0.0
    assert fusion.best_weight([_case([0.5], [0.5], 7)])[1] == 0.0
