"""Which words did it, and do two ways of asking agree?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.evaluation.explanations import explain, occlusion, split_words
from core.serving.predictor import load_predictor


@given(st.text(max_size=60))
def test_words_lie_in_the_text_in_order_and_do_not_overlap(text: str) -> None:
    spans = split_words(text)
    assert all(0 <= s < e <= len(text) for s, e in spans)
    assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:], strict=False))
    letters = {i for i, c in enumerate(text) if c.isalnum()}
    assert letters <= {i for s, e in spans for i in range(s, e)}


def test_a_chinese_character_is_a_word() -> None:
    assert [("盈利下降20%"[s:e]) for s, e in split_words("盈利下降20%")] == ["盈", "利", "下", "降", "20", "%"]


def test_leaving_out_the_word_that_matters_costs_the_score() -> None:
    def score(texts: Sequence[str]) -> np.ndarray:
        return np.array([2.0 * ("fell" in t) - 1.0 * ("not" in t) for t in texts])

    text = "profit fell but not much"
    spans = split_words(text)
    weights = occlusion(score, text, spans)
    assert weights.tolist() == [0, 2, 0, -1, 0]
    found = explain(text, "negative", 0.9, weights, weights, spans)
    assert [w.weight for w in found.words] == [0, 1, 0, -0.5, 0]
    assert found.agreement == pytest.approx(1.0)
    assert found.to_dict()["words"][1] == {"text": "fell", "start": 7, "end": 11, "weight": 1.0}


def test_a_model_explains_itself(tiny_model: Path) -> None:
    predictor = load_predictor(tiny_model)
    text = "rain goal match bank"
    found = predictor.explain(text)
    assert found.label == predictor.predict([text])[0].label
    assert [w.text for w in found.words] == text.split()
    assert max(abs(w.weight) for w in found.words) == pytest.approx(1.0)
    assert found.by == "gradients" and found.agreement is not None
    # Integrated gradients are complete: with the largest weight as unit, signs follow what the logit gained.
    other = next(label for label in predictor.labels if label != found.label)
    against = predictor.explain(text, other, gradients=False)
    assert against.label == other and against.by == "occlusion" and against.agreement is None
    with pytest.raises(InputError, match="does not know"):
        predictor.explain(text, "no such label")
