"""The same said otherwise, and what a classifier makes of it."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.robustness import CHANGES, contractions, numbers, robustness, typos


@pytest.mark.parametrize("name", CHANGES)
@given(text=st.text(max_size=80), seed=st.integers(0, 99))
def test_changes_never_fail_and_repeat_with_their_seed(name: str, text: str, seed: int) -> None:
    one, other = (CHANGES[name](text, np.random.default_rng(seed)) for _ in range(2))
    assert one == other


@given(st.integers(0, 10**9))
def test_numbers_keep_their_length(number: int) -> None:
    changed = numbers(f"fell {number} points", np.random.default_rng(0)).split()[1]
    assert changed.isdigit() and len(changed) == len(str(number))


def test_contractions_go_both_ways() -> None:
    chance = np.random.default_rng(0)
    assert contractions("I do not know", chance) == "I don't know"
    assert contractions("I don't know", chance) == "I do not know"


def test_a_slip_changes_letters_not_words() -> None:
    text = "several longer words stand here together " * 4
    slipped = typos(text, np.random.default_rng(1))
    assert slipped != text and len(slipped.split()) == len(text.split())


def test_a_classifier_that_reads_capitals_is_found_out() -> None:
    def shouting(texts: Sequence[str]) -> list[str]:
        return ["loud" if t.isupper() else "calm" for t in texts]

    texts = ["WHAT IS THIS", "what is this", "STOP IT NOW", "please stop it"] * 10
    truth = ["loud", "calm"] * 20
    found = robustness(shouting, texts, truth, resamples=50)
    assert found["unchanged"].accuracy.value == 1.0
    assert found["capitals"].accuracy.value < 0.9 and found["capitals"].flipped > 0
    assert found["numbers"].applied == 0 and found["numbers"].accuracy.value == 1.0
    assert found["typos"].to_dict()["flipped"] == 0
