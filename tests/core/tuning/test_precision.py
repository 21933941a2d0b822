"""Where training multiplies in bfloat16, and that the finished model does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from core.data.load import load
from core.tuning import training
from core.tuning.predict import class_logits
from core.tuning.run import fit


@pytest.mark.parametrize(("feature", "native"), [("avx512_bf16", True), ("amx_bf16", True), ("avx2", False)])
def test_bfloat16_is_native_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, feature: str, native: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {feature: True})
    assert training.native_bfloat16() is native


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what a processor without a graphics card does")
@pytest.mark.parametrize(
    ("precision", "native", "half"),
    [("auto", True, True), ("auto", False, False), ("float32", True, False), ("bfloat16", False, True)],
)
def test_products_are_bfloat16_where_that_is_native_or_asked_for(
    make_recipe: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    native: bool,
    half: bool,
) -> None:
    monkeypatch.setattr(training, "native_bfloat16", lambda: native)
    recipe = make_recipe("full", training={"precision": precision})
    assert training.arguments(TrainingArguments, recipe, tmp_path, 8, "loss").bf16 is half


def test_the_finished_model_predicts_in_float32(make_recipe: Callable[..., Any], tmp_path: Path) -> None:
    """What is calibrated and judged right after training is then what a loaded model says."""
    recipe = make_recipe("lora", training={"max_steps": 2, "precision": "bfloat16"})
    data = load(recipe.data, recipe.task, recipe.training.seed)
    built = fit(recipe, data, tmp_path).built
    built.model.eval()
    logits = class_logits(built.model, built.tokenizer, built.base, recipe, list(data.validation["text"]))
    rounded = torch.from_numpy(logits).bfloat16().float().numpy()
    assert np.abs(logits - rounded).max() > 0, "every logit is a bfloat16 number"
