"""Frozen lower layers: run once and cached, with the same gradients and predictions as when they run each time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.data.load import load
from core.tuning import artifact, frozen
from core.tuning.encoder import TextEncoder, can_start_from_hidden_states, layers_of
from core.tuning.inference import pad, tokenise
from core.tuning.run import fit

TEXTS = ["rain", "bank loan of the old market today", "goal and match", "storm on a very cold day, more snow"]


def _built(make_recipe: Callable[..., Any], method: str = "top-layers", **options: Any) -> artifact.Built:
    recipe = make_recipe(method, options=options, training={"dropout": 0.0})
    return artifact.build(recipe, outputs=3)


@pytest.mark.parametrize(
    ("method", "options", "count"),
    [
        ("top-layers", {"layers": 1}, 2),
        ("top-layers", {"layers": 2}, 1),
        ("top-layers", {"layers": 3}, 0),
        ("lora", {"layers": 1}, 2),
        ("lora", {}, 0),
        ("head", {}, 3),
        ("full", {}, 0),
        ("bitfit", {}, 0),
        ("prompt", {}, 0),
        ("prefix", {}, 0),
        ("adapter", {}, 0),
    ],
)
def test_counts_the_blocks_no_trained_weight_touches(
    make_recipe: Callable[..., Any], method: str, options: dict[str, Any], count: int
) -> None:
    assert frozen.frozen_blocks(_built(make_recipe, method, **options).model) == count


def test_trained_embeddings_leave_nothing_to_cache(make_recipe: Callable[..., Any]) -> None:
    model = _built(make_recipe, layers=1).model
    model.backbone.get_input_embeddings().weight.requires_grad = True
    assert frozen.frozen_blocks(model) == 0


@pytest.mark.parametrize("kind", ["MPNetModel", "DistilBertModel"])
def test_models_that_cannot_start_in_the_middle_are_not_cached(kind: str) -> None:
    import transformers

    sizes = {"MPNetModel": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}}
    small = sizes.get(kind, {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32})
    model = getattr(transformers, kind)(getattr(transformers, kind).config_class(vocab_size=20, **small))
    model.requires_grad_(False)
    assert len(layers_of(model)) == 2
    assert not can_start_from_hidden_states(model)
    assert frozen.frozen_blocks(TextEncoder(model, "mean", 2)) == 0


@pytest.mark.parametrize("memory_mb", [0, 1024])
@pytest.mark.parametrize("layers", [1, 2])
def test_cached_start_gives_the_same_predictions_and_gradients(
    make_recipe: Callable[..., Any], tmp_path: Path, layers: int, memory_mb: int
) -> None:
    built = _built(make_recipe, layers=layers)
    model = built.model.train()
    encoded = tokenise(built.tokenizer, TEXTS, None, 32)
    targets = torch.tensor([2, 0, 1, 2])

    def gradients(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        model.zero_grad()
        logits = model(**batch)["logits"]
        torch.nn.functional.cross_entropy(logits, targets).backward()
        return logits.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    logits, expected = gradients(pad(built.tokenizer, encoded))
    count = frozen.frozen_blocks(model)
    cache = frozen.compute(
        model.lower_layers(count),
        encoded,
        lambda items: pad(built.tokenizer, items),
        torch.device("cpu"),
        batch_tokens=20,
        memory_mb=memory_mb,
        folder=tmp_path / "cache",
    )
    assert isinstance(cache.values, np.memmap) == (memory_mb == 0)
    assert model.training, "the caller's mode is restored"
    model.start_layer = count
    found_logits, found = gradients(frozen.pad_hidden([cache[i] for i in range(len(TEXTS))]))
    torch.testing.assert_close(found_logits, logits, rtol=0, atol=1e-5)
    assert set(found) == set(expected)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5, msg=name)
    if memory_mb == 0:
        assert list((tmp_path / "cache").iterdir()) == [], "the file is unlinked while it is used"


@pytest.mark.parametrize("kind", ["classification", "matching", "ranking"])
def test_training_over_a_cache_in_a_file_is_the_same(
    make_recipe: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    recipe = make_recipe(
        "top-layers", kind, training={"max_steps": 3, "dropout": 0.0, "precision": "float32"}, options={"layers": 1}
    )
    data = load(recipe.data, recipe.task, 7)
    states = []
    used: list[str] = []
    whole = frozen.compute

    def counted(*args: Any, **kwargs: Any) -> frozen.HiddenStates:
        found = whole(*args, **kwargs)
        used.append(type(found.values).__name__)
        return found

    monkeypatch.setattr(frozen, "compute", counted)
    for cache in ("in memory", "in a file", "none"):
        monkeypatch.setenv("HEADWATER_CACHE_MEMORY_MB", "0" if cache == "in a file" else "100")
        if cache == "none":
            monkeypatch.setattr(frozen, "frozen_blocks", lambda model: 0)
        fitted = fit(recipe, data, tmp_path / cache)
        assert fitted.built.model.start_layer == 0
        states.append(fitted.built.model.state_dict())
    assert set(used) == {"ndarray", "memmap"}
    for name, value in states[2].items():
        torch.testing.assert_close(states[0][name], states[1][name], rtol=0, atol=0, msg=name)
        if not name.endswith("key.bias"):  # its gradient is zero but for rounding, which Adam blows up
            torch.testing.assert_close(states[0][name], value, rtol=0, atol=2e-4, msg=name)
