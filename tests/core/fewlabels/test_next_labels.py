"""Ask where the model doubts, and about different things."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.fewlabels.next_labels import gradient_spread, next_labels


@given(st.integers(2, 4), st.integers(3, 12), st.integers(0, 50), st.data())
def test_k_different_rows_and_the_same_ones_with_the_same_seed(c: int, n: int, seed: int, data: st.DataObject) -> None:
    chance = np.random.default_rng(seed)
    probabilities, vectors = chance.dirichlet(np.ones(c), n), chance.normal(size=(n, 3))
    k = data.draw(st.integers(1, n))
    found = gradient_spread(probabilities, vectors, k, seed)
    assert len(set(found.tolist())) == k
    assert found.tolist() == gradient_spread(probabilities, vectors, k, seed).tolist()


def test_the_distances_are_those_of_the_gradients_written_out() -> None:
    chance = np.random.default_rng(0)
    probabilities, vectors = chance.dirichlet(np.ones(3), 6), chance.normal(size=(6, 4))
    errors = probabilities - np.eye(3)[probabilities.argmax(1)]
    gradients = np.einsum("nc,nd->ncd", errors, vectors).reshape(6, -1)
    assert gradient_spread(probabilities, vectors, 1)[0] == np.linalg.norm(gradients, axis=1).argmax()


def test_every_kind_of_doubt_comes_before_copies_of_what_is_sure() -> None:
    sure = np.tile([0.999, 0.001], (20, 1))
    unsure = np.tile([0.5, 0.5], (3, 1))
    vectors = np.vstack([np.tile([1.0, 0, 0], (20, 1)), np.eye(3)])
    found = next_labels([f"t{i}" for i in range(23)], np.vstack([sure, unsure]), vectors, ["yes", "no"], 5, seed=1)
    assert {q.row for q in found} > {20, 21, 22}
    assert found[0].to_dict()["guess"] == "yes" and found[0].probability == 0.5
    copies = gradient_spread(np.tile([0.5, 0.5], (4, 1)), np.ones((4, 2)), 4)
    assert sorted(copies.tolist()) == [0, 1, 2, 3]


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="2 unlabelled texts"):
        next_labels(["a", "b"], np.full((2, 2), 0.5), np.ones((2, 2)), ["x", "y"], 3)


def test_a_thousand_labels_need_no_matrix_of_gradients() -> None:
    chance = np.random.default_rng(0)
    probabilities = chance.dirichlet(np.full(1000, 0.01), 300)
    found = next_labels([f"t{i}" for i in range(300)], probabilities, chance.normal(size=(300, 64)), _names(1000), 20)
    assert len({q.row for q in found}) == 20 and {q.guess for q in found} <= set(_names(1000))


def test_without_texts_there_is_nothing_to_ask() -> None:
    with pytest.raises(InputError, match="0 unlabelled texts"):
        next_labels([], np.empty((0, 2)), np.empty((0, 2)), ["x", "y"], 1)


def _names(count: int) -> list[str]:
    return [f"label {number}" for number in range(count)]
