"""Few labels: the encoder by contrast, then a head on what it became."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.load import load
from core.errors import InputError
from core.tuning import artifact, predict
from core.tuning.contrastive import supervised_contrast
from core.tuning.run import fit

CONTRAST: dict[str, Any] = {
    "objective": "contrastive",
    "epochs": 15,
    "batch_size": 8,
    "keep": "last",
    "dropout": 0.0,
    "temperature": 0.3,
}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=10), st.integers(0, 1000))
def test_the_loss_is_that_of_the_paper_written_out(labels: list[int], seed: int) -> None:
    vectors = F.normalize(torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(seed)), dim=1)
    expected = []
    for i, own in enumerate(labels):
        same = [j for j, other in enumerate(labels) if other == own and j != i]
        if same:
            others = [vectors[i] @ vectors[j] * 10 for j in range(len(labels)) if j != i]
            total = torch.logsumexp(torch.stack(others), 0)
            expected.append(-torch.stack([vectors[i] @ vectors[j] * 10 - total for j in same]).mean())
    found = supervised_contrast(vectors, torch.tensor(labels), 10.0)
    if expected:
        assert float(found) == pytest.approx(float(torch.stack(expected).mean()), abs=1e-4)


@pytest.mark.parametrize("method", ["full", "lora", "top-layers"])
def test_it_moves_the_encoder_learns_the_labels_and_comes_back_from_disk(
    make_recipe: Callable[..., Any], train_tiny: Callable[..., Any], method: str
) -> None:
    rate = 2e-3 if method == "full" else 5e-3
    recipe = make_recipe(method, training={**CONTRAST, "learning_rate": rate})
    trained = train_tiny(recipe)
    loaded = artifact.load(trained.folder)

    def logits(rows: pd.DataFrame) -> np.ndarray:
        return predict.rows_logits(loaded.model, loaded.tokenizer, loaded.base, recipe, rows)

    known = trained.data.train
    guessed = np.array(trained.data.labels)[logits(known).argmax(1)]
    assert (guessed == known["label"].to_numpy()).mean() > 0.8
    np.testing.assert_allclose(logits(trained.data.test), trained.predictions, atol=1e-5)
    losses = [row["loss"] for row in trained.fitted.outcome.history]
    assert losses[-1] < losses[0]


def test_the_encoder_really_differs_from_a_mere_probe(
    make_recipe: Callable[..., Any], train_tiny: Callable[..., Any]
) -> None:
    one, other = (
        train_tiny(make_recipe("full", training={**CONTRAST, "epochs": 2, "learning_rate": rate}))
        for rate in (5e-3, 1e-9)
    )
    name = next(n for n in one.state if n.startswith("backbone") and n.endswith("query.weight"))
    assert np.abs(one.state[name] - other.state[name]).max() > 1e-4


@pytest.mark.parametrize(
    ("method", "kind", "changes", "says"),
    [
        ("full", "multi-label", {}, "one text with one label"),
        ("full", "pairs", {}, "one text with one label"),
        ("head", "classification", {}, "moves the encoder"),
        ("full", "classification", {"batch_size": 7}, "even and at least 4"),
        ("full", "classification", {"limit": 2}, "two examples"),
    ],
)
def test_what_cannot_be_contrasted_is_refused(
    make_recipe: Callable[..., Any],
    train_tiny: Callable[..., Any],
    method: str,
    kind: str,
    changes: dict[str, Any],
    says: str,
) -> None:
    limit = changes.pop("limit", None)
    data = {"limit_per_class": limit, "validation": 0.5} if limit else {}
    with pytest.raises(InputError, match=says):
        train_tiny(make_recipe(method, kind, training={**CONTRAST, **changes}, data=data))


def test_a_thousand_labels_are_only_a_larger_head(
    make_recipe: Callable[..., Any], train_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    rows = [{"text": f"bank {a} {b} coin {i}", "label": f"label {a}{b}"} for i in (1, 2, 3) for a, b in _pairs(1000)]
    file = tmp_path / "rows.jsonl"
    pd.DataFrame(rows).to_json(file, orient="records", lines=True)
    recipe = make_recipe("top-layers", training={**CONTRAST, "max_steps": 2, "epochs": 1})
    data = {"train": {"path": str(file)}, "validation": 0.34, "test": None}
    recipe = type(recipe).parse({**recipe.model_dump(mode="json", exclude_none=True), "data": data})
    data_set = load(recipe.data, recipe.task, 1)
    fitted = fit(recipe, data_set, tmp_path / "work")
    assert fitted.built.model.head.out_features == 1000 == len(data_set.labels)
    assert not list((tmp_path / "work").glob("checkpoint-*"))  # two steps are sooner done again


def _pairs(count: int) -> list[tuple[str, str]]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    return [(a, b) for a in letters for b in letters][:count]
