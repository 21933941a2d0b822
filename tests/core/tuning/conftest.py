"""Train one tiny model as ``headwater tune`` does, without judging and registering it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.data.load import Dataset, load
from core.tuning import artifact, predict
from core.tuning.artifact import Built
from core.tuning.recipe import Recipe
from core.tuning.run import Fitted, fit


@dataclass(frozen=True)
class Trained:
    """A fitted model in memory and its folder."""

    recipe: Recipe
    data: Dataset
    fitted: Fitted
    folder: Path

    @property
    def state(self) -> dict[str, np.ndarray]:
        """All weights after training."""
        return state_of(self.fitted.built)

    @property
    def predictions(self) -> np.ndarray:
        """What the model in memory says about the test rows."""
        built = self.fitted.built
        return answers(self.recipe, built.model, built.tokenizer, built.base, self.data)


def state_of(built: Built) -> dict[str, np.ndarray]:
    """A copy of all weights and buffers."""
    return {name: value.detach().cpu().numpy().copy() for name, value in built.model.state_dict().items()}


def answers(recipe: Recipe, model: Any, tokenizer: Any, base: Any, data: Dataset) -> np.ndarray:
    """Logits, vectors, relevance or reply log-likelihoods of the test rows."""
    rows = data.test
    assert rows is not None
    if recipe.task == "classification":
        return predict.rows_logits(model, tokenizer, base, recipe, rows)
    if recipe.task == "matching":
        return predict.vectors(model, tokenizer, base, recipe, list(rows["text"]))
    if recipe.task == "ranking":
        return predict.relevance(model, tokenizer, recipe, list(rows["query"]), list(rows["document"]))
    from core.tuning.generation import log_likelihood

    return log_likelihood(model, tokenizer, rows, recipe.training.max_length)[0]


@pytest.fixture(scope="session")
def predict_test_rows() -> Callable[..., np.ndarray]:
    """``predict_test_rows(recipe, model, tokenizer, base, data)``."""
    return answers


@pytest.fixture(scope="session")
def weights_of() -> Callable[[Built], dict[str, np.ndarray]]:
    """A copy of all weights of a built model."""
    return state_of


@pytest.fixture(scope="session")
def train_tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trained]:
    """``train_tiny(recipe, parent=…, report=…)``: fit and save."""

    def run(recipe: Recipe, parent: Path | None = None, report: Any = None) -> Trained:
        place = tmp_path_factory.mktemp("tuned")
        data = load(recipe.data, recipe.task, recipe.training.seed)
        fitted = fit(recipe, data, place / "work", parent, report)
        trained = Trained(recipe, data, fitted, place / "model")
        # Predictions in memory come before the save, which may fold adapters into the backbone.
        artifact.save(trained.folder, fitted.built, recipe, data.labels, parent)
        return trained

    return run
