"""Tuning on text without labels: two views of a text, what is refused, and what a classifier starts from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.data.load import load
from core.errors import InputError
from core.serving.encoder import load_encoder
from core.tuning import artifact
from core.tuning.adaptation import check
from core.tuning.pairs import EncoderModule, MatchingEvaluator
from core.tuning.recipe import Recipe
from core.tuning.run import fit
from core.workflow import evaluate, tune

METHODS = ("full", "top-layers", "lora")
TEXTS = ["rain and storm today", "the bank loan", "a goal of the old team"]


@pytest.fixture
def unlabelled(make_recipe: Callable[..., Any], tables: Path) -> Callable[..., Recipe]:
    """``unlabelled(method, data={…}, training={…})``: a matching recipe on the texts of the labelled table."""

    def make(method: str = "lora", **changes: Any) -> Recipe:
        texts = {part: {"path": str(tables / f"classification{end}.csv")} for part, end in _PARTS.items()}
        data = {**texts, "unlabelled": True, **changes.pop("data", {})}
        recipe: Recipe = make_recipe(method, "matching", data=data, **changes)
        return recipe

    return make


_PARTS = {"train": "", "test": "-test"}


@pytest.mark.parametrize("method", METHODS)
def test_a_classifier_starts_from_what_was_learned_without_labels(
    unlabelled: Callable[..., Recipe],
    make_recipe: Callable[..., Any],
    train_tiny: Callable[..., Any],
    tiny_bert: Path,
    method: str,
) -> None:
    adapted = train_tiny(unlabelled(method, data={"word_deletion": 0.2})).folder
    vectors = load_encoder(adapted).encode(TEXTS)
    assert np.abs(vectors - load_encoder(str(tiny_bert)).encode(TEXTS)).max() > 1e-3
    started = train_tiny(make_recipe("head", start_from=str(adapted)), adapted).fitted.built
    started.model.head = None
    module = EncoderModule(started, 32)
    with torch.inference_mode():
        begun = module(module.preprocess(TEXTS))["sentence_embedding"].numpy()
    np.testing.assert_allclose(begun, vectors, atol=1e-5)


def test_what_is_learned_is_a_model_like_any_other(unlabelled: Callable[..., Recipe], tables: Path) -> None:
    tuned = tune(unlabelled("top-layers", training={"max_steps": 2}), register=False)
    assert tuned is not None and tuned.measured_on == "test"
    assert 0 < (tuned.metrics["mrr@10"]["value"] or 0) < 1
    assert "unlabelled = true" in tuned.card.read_text()
    again = evaluate(tuned.path, tables / "classification-test.csv")
    assert again["metrics"]["mrr@10"]["value"] == pytest.approx(tuned.metrics["mrr@10"]["value"])
    assert "without half of their words" in str(again["notes"])


@pytest.mark.parametrize("method", METHODS)
def test_two_passes_in_training_see_a_text_differently(unlabelled: Callable[..., Recipe], method: str) -> None:
    built = artifact.build(unlabelled(method), 0)
    if method == "lora":  # its updates begin at zero, and dropout before them would show nothing
        for name, weight in built.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight)
    module = EncoderModule(built, 32)
    if method == "top-layers":
        module.remember_frozen(TEXTS)
        assert built.model.start_layer > 0
    built.model.train()
    first, second = (module(module.preprocess(TEXTS))["sentence_embedding"] for _ in range(2))
    assert (first - second).abs().amax(dim=1).min() > 1e-3


def test_learning_helps_to_find_a_text_by_half_of_its_words(
    unlabelled: Callable[..., Recipe], make_rows: Callable[..., Any], write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    parts = {"train": make_rows("classification", 120, 1), "test": make_rows("classification", 20, 2)}
    data = {part: {"path": str(write_csv(tmp_path / f"{part}.csv", rows))} for part, rows in parts.items()}
    training = {"epochs": 8, "batch_size": 32, "learning_rate": 3e-3, "dropout": 0.02}
    recipe = unlabelled("full", data={**data, "word_deletion": 0.5}, training=training)
    texts = load(recipe.data, recipe.task, 7)
    assert texts.test is not None
    before = MatchingEvaluator(artifact.build(recipe, 0), recipe, texts.test)(None)
    fitted = fit(recipe, texts, tmp_path / "work")
    after = MatchingEvaluator(fitted.built, recipe, texts.test)(None)
    assert 0.1 < before["mrr@10"] < after["mrr@10"] - 0.1
    assert after["mrr@10"] < 0.95


def test_views_that_would_be_one_are_refused(unlabelled: Callable[..., Recipe]) -> None:
    still = {"training": {"dropout": 0.0}, "options": {"dropout": 0.0}}
    recipe = unlabelled(**still)
    with pytest.raises(InputError, match=r"set training\.dropout, or data\.word_deletion"):
        check(artifact.build(recipe, 0), recipe)
    recipe = unlabelled(**still, data={"word_deletion": 0.1})
    check(artifact.build(recipe, 0), recipe)


def test_no_negatives_are_mined_where_nobody_said_what_is_alike(
    unlabelled: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = unlabelled(training={"hard_negatives": 2})
    with pytest.raises(InputError, match=r"training\.hard_negatives needs pairs"):
        fit(recipe, load(recipe.data, recipe.task, 7), tmp_path)


def test_recipes_with_labels_do_not_mention_it(make_recipe: Callable[..., Any]) -> None:
    assert not {"unlabelled", "word_deletion"} & set(make_recipe("lora").model_dump()["data"])
