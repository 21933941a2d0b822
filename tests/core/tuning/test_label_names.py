"""What labels are called helps where it fits, and changes nothing where it does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.data.label_words import describe
from core.errors import InputError
from core.tuning.artifact import build
from core.tuning.label_names import STRENGTHS, Names, strength
from core.tuning.probe import fit_head


def _clusters(per_class: int, seed: int = 0, noise: float = 0.35) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features around three directions, their labels, and the directions."""
    chance = np.random.default_rng(seed)
    directions = np.eye(3, 16, dtype=np.float32)
    targets = np.repeat(np.arange(3), per_class)
    features = directions[targets] + chance.normal(0, noise, (len(targets), 16)).astype(np.float32)
    return features / np.linalg.norm(features, axis=1, keepdims=True), targets, directions


def test_true_names_are_believed_and_swapped_ones_are_not() -> None:
    features, targets, directions = _clusters(6)
    prior = directions - directions.mean(0)
    assert strength(features, targets, prior) > 0
    assert strength(features, targets, np.roll(prior, 1, axis=0)) == 0
    assert set(STRENGTHS) >= {0.0}


def test_the_names_make_a_head_of_few_examples_better() -> None:
    features, targets, directions = _clusters(2, seed=3, noise=0.5)
    unseen, truth, _ = _clusters(200, seed=4, noise=0.5)
    right = []
    for prior in (None, torch.from_numpy(20 * (directions - directions.mean(0)))):
        head = torch.nn.Linear(16, 3)
        fit_head(head, torch.from_numpy(features), torch.from_numpy(targets), prior=prior)
        guessed = head(torch.from_numpy(unseen)).argmax(1).numpy()
        right.append(float((guessed == truth).mean()))
    assert right[1] > right[0] + 0.02


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("per_class", [1, 700])
def test_one_example_a_label_or_very_many_leave_the_names_out(per_class: int) -> None:
    features, targets, directions = _clusters(per_class)
    assert strength(features, targets, directions) == 0


def test_with_many_labels_surer_is_not_taken_for_better() -> None:
    """Inexact names that make the head surer of itself lower its plain loss and its accuracy."""
    chance = np.random.default_rng(0)
    truth = _unit(chance.normal(size=(40, 64)))
    targets, asked = np.repeat(np.arange(40), 8), np.repeat(np.arange(40), 40)
    features, unseen = (_unit(truth[rows] + chance.normal(0, 0.2, (len(rows), 64))) for rows in (targets, asked))
    named = _unit(truth + chance.normal(0, 0.2, truth.shape))
    prior = named - named.mean(0)

    def right(value: float) -> float:
        head = torch.nn.Linear(64, 40)
        fit_head(head, torch.from_numpy(features), torch.from_numpy(targets), prior=torch.from_numpy(prior * value))
        return float((head(torch.from_numpy(unseen)).argmax(1).numpy() == asked).mean())

    assert right(strength(features, targets, prior)) >= right(0) > right(10) + 0.01


def test_no_random_number_is_drawn() -> None:
    features, targets, directions = _clusters(3)
    torch.manual_seed(1)
    strength(features, targets, directions)
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3))


def test_each_label_has_one_direction_and_nothing_common(make_recipe: Callable[..., Any], tiny_bert: Path) -> None:
    recipe = make_recipe("full")
    names = Names.of(["money", "card_not-arrived", "1"], {"1": "rain and storm"})
    assert names.words == ("money", "card not arrived", "rain and storm")
    assert len(names.texts) == 9 and "This text is about money." in names.texts
    built = build(recipe, 3)
    built.model.head = None
    prior = names.prior(built, recipe)
    assert prior.shape == (3, 32) and np.abs(prior.mean(0)).max() < 1e-6 and np.abs(prior).max() > 0


def test_a_description_of_no_label_is_refused(make_recipe: Callable[..., Any], train_tiny: Callable[..., Any]) -> None:
    training = {"objective": "contrastive", "max_steps": 1, "batch_size": 8}
    with pytest.raises(InputError, match="'mony' is none of the labels"):
        train_tiny(make_recipe("full", training=training, data={"descriptions": {"mony": "coins"}}))


def test_recipes_without_it_stay_what_they_were(make_recipe: Callable[..., Any]) -> None:
    recipe = make_recipe("full")
    assert "descriptions" not in recipe.to_toml() and "label_names" not in recipe.to_toml()
    described = make_recipe("full", data={"descriptions": {"money": "coins"}}, training={"label_names": False})
    assert 'money = "coins"' in described.to_toml() and "label_names = false" in described.to_toml()


def test_a_label_without_words_keeps_its_name() -> None:
    assert describe("___", {}) == "___"
