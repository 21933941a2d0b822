"""Labels from names alone, by three ways of asking."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.data.label_words import describe
from core.errors import InputError
from core.fewlabels.language_models import Causal, Cloze, likest
from core.fewlabels.zero_shot import Likeness, ZeroShot, ZeroShotConfig, zero_shot


class _Fixed:
    """Scores that favour the first label whatever the text."""

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        own = np.array([[1.0 if "rain" in t else 0.0, 1.0 if "goal" in t else 0.0] for t in texts])
        return own + np.array([3.0, 0.0])


def test_names_become_words() -> None:
    assert describe("card_not-arrived", {}) == "card not arrived"
    assert describe("LABEL_1", {"LABEL_1": "bad news"}) == "bad news"


def test_a_label_that_fits_everything_loses_its_advantage() -> None:
    texts = ["rain today", "goal scored", "rain again", "a late goal"]
    plain, corrected = (
        ZeroShot(("weather", "sport"), ZeroShotConfig(correct_prior=on), _Fixed()).predict(texts)
        for on in (False, True)
    )
    assert plain == ["weather"] * 4
    assert corrected == ["weather", "sport", "weather", "sport"]


def test_probabilities_are_probabilities_and_nothing_in_gives_nothing_out() -> None:
    model = ZeroShot(("weather", "sport"), ZeroShotConfig(), _Fixed())
    np.testing.assert_allclose(model.probabilities(["rain", "goal", "x", "y"]).sum(1), 1)
    assert model.probabilities([]).shape == (0, 2) and model.predict([]) == []


def test_names_tell_real_texts_apart() -> None:
    labels = ["money and banking", "weather", "football"]
    texts = ["my card payment was declined", "it will rain all day", "the striker scored twice in the final"] * 2
    assert zero_shot(labels).predict(texts) == labels * 2


@pytest.mark.parametrize(
    ("config", "labels", "says"),
    [
        ({}, ["one"], "at least two labels"),
        ({"descriptions": {"thre": "x"}}, ["one", "two"], "'thre' is none of the labels"),
        ({"templates": ("about it",)}, ["one", "two"], "has no {}"),
        ({"how": "cloze"}, ["one", "two"], "masked-language-model head"),
    ],
)
def test_what_cannot_work_is_refused(config: dict[str, Any], labels: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        zero_shot(labels, ZeroShotConfig(**config))


def test_cloze_reads_the_blank(tmp_path: Path, tiny_bert: Path) -> None:
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    model = BertForMaskedLM(BertConfig.from_pretrained(tiny_bert)).eval()
    words = ["rain", "goal match"]
    cloze = Cloze(model, tokenizer, words, ("{text} {mask}",), 16)
    found = cloze.scores(["bank " * 40, "goal"])
    assert found.shape == (2, 2) and np.isfinite(found).all() and (found < 0).all()
    # By hand for one blank: the log-probability of the word's token there.
    import torch

    batch = tokenizer("goal [MASK]", return_tensors="pt")
    logs = torch.log_softmax(model(**batch).logits[0], -1)
    place = (batch["input_ids"][0] == tokenizer.mask_token_id).nonzero()[0, 0]
    expected = float(logs[place, tokenizer.convert_tokens_to_ids("rain")])
    assert found[1, 0] == pytest.approx(expected, abs=1e-4)


def test_causal_scores_are_those_of_the_words_less_those_without_content(tiny_llama: Path) -> None:
    import torch

    causal = Causal.load(str(tiny_llama), ["rain", "goal match"], ("{text} :",), 32)
    found = causal.scores(["bank money"])

    def log_probability(text: str, word: str) -> float:
        prompt = causal.tokenizer(f"{text} :")["input_ids"]
        answer = causal.tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
        logs = torch.log_softmax(causal.model(torch.tensor([prompt + answer])).logits[0], -1)
        return float(np.mean([float(logs[len(prompt) - 1 + i, token].detach()) for i, token in enumerate(answer)]))

    for column, word in enumerate(causal.words):
        without = np.mean([log_probability(empty, word) for empty in ("N/A", "", "[MASK]")])
        assert found[0, column] == pytest.approx(log_probability("bank money", word) - without, abs=1e-3)


def test_the_likest_examples_are_shown_nearest_last(tiny_llama: Path) -> None:
    class Letters:
        def encode(self, texts: Sequence[str]) -> np.ndarray:
            found = np.array([[t.count(letter) + 0.01 for letter in "abc"] for t in texts])
            return found / np.linalg.norm(found, axis=1, keepdims=True)

    shots = [("aaa", "one"), ("bbb", "two"), ("abb", "three")]
    choose: Callable[[str, int], list[int]] = likest(Letters(), shots)
    assert choose("bb", 2) == [1, 2]
    causal = Causal.load(str(tiny_llama), ["rain", "goal"], ("{text} :",), 32)
    plain = causal.scores(["bank"])
    causal = Causal.load(str(tiny_llama), ["rain", "goal"], ("{text} :",), 32)
    causal.shots, causal.choose = [("money bank", "goal")], lambda text, k: [0]
    assert np.abs(causal.scores(["bank"]) - plain).max() > 0


class _Letters:
    """Counts of letters at length 1."""

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        found = np.array([[t.count(letter) + 0.01 for letter in "abcdefghij0123456789"] for t in texts])
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_a_thousand_labels_and_texts_without_content() -> None:
    labels = tuple(f"label {number:03d}" for number in range(1000))
    model = ZeroShot(labels, ZeroShotConfig(), Likeness(_Letters(), labels, ("{}",), 0.05))
    found = model.probabilities(["label 777", "", " "])
    assert found.shape == (3, 1000) and labels[found[0].argmax()] == "label 777"
    np.testing.assert_allclose(found.sum(1), 1)
    # Nothing to go by: no label is much likelier than the others.
    assert found[1].max() < 0.1
