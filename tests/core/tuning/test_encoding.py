"""What a text's vector depends on: its own tokens, not virtual ones, not its neighbours in the batch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tuning import artifact
from core.tuning.encoder import TextEncoder, pool
from core.tuning.inference import by_length, encode, pad, run, tokenise
from core.tuning.methods import METHODS

TEXTS = ["rain", "bank loan of the old market today is very new", "goal", "snow " * 25, "a b c"]


def _perturbed(model: torch.nn.Module) -> torch.nn.Module:
    """Weights as after training: what starts at zero (adapters, low-rank updates) is moved."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("outputs", [0, 3])
def test_results_do_not_depend_on_the_neighbours(make_recipe: Callable[..., Any], method: str, outputs: int) -> None:
    if method == "head" and not outputs:
        pytest.skip("no head, nothing to train")
    kind = "classification" if outputs else "matching"
    built = artifact.build(make_recipe(method, kind), outputs)
    model = _perturbed(built.model)
    together = run(model, built.tokenizer, TEXTS, None, 32)
    assert np.isfinite(together).all()
    assert np.ptp(together, axis=0).max() > 1e-3
    for row, text in enumerate(TEXTS):
        alone = run(model, built.tokenizer, [text], None, 32)
        np.testing.assert_allclose(alone[0], together[row], rtol=0, atol=2e-5)
    backwards = run(model, built.tokenizer, TEXTS[::-1], None, 32, batch_size=2)
    np.testing.assert_allclose(backwards[::-1], together, rtol=0, atol=2e-5)


@pytest.mark.parametrize("method", ["prompt", "p-tuning", "prefix"])
def test_virtual_tokens_change_the_vectors_but_are_not_pooled(make_recipe: Callable[..., Any], method: str) -> None:
    built = artifact.build(make_recipe(method, "matching", options={"virtual_tokens": 5}), 0)
    model = built.model.eval()
    seen: dict[str, Any] = {}
    hook = model.backbone.base_model.register_forward_hook(lambda m, a, out: seen.update(out=out.last_hidden_state))
    items = tokenise(built.tokenizer, TEXTS[:2], None, 32)
    batch = pad(built.tokenizer, items)
    with torch.inference_mode():
        vectors = model.embed(**batch)
    hook.remove()
    own = batch["input_ids"].shape[1]
    assert seen["out"].shape[1] == own + (0 if method == "prefix" else 5)
    torch.testing.assert_close(vectors, pool(seen["out"][:, -own:], batch["attention_mask"], "mean"))
    plain = artifact.build(make_recipe("lora", "matching"), 0).model.eval()  # untrained LoRA changes nothing
    with torch.inference_mode():
        assert not torch.allclose(plain.embed(**batch), vectors, atol=1e-3)


@pytest.mark.parametrize("how", ["mean", "cls", "last"])
def test_pooling_ignores_padding(how: Any) -> None:
    hidden = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    expected = {
        "mean": torch.stack([hidden[0, :2].mean(0), hidden[1].mean(0)]),
        "cls": hidden[:, 0],
        "last": torch.stack([hidden[0, 1], hidden[1, 3]]),
    }
    torch.testing.assert_close(pool(hidden, mask, how), expected[how])


def test_vectors_have_unit_length(make_recipe: Callable[..., Any]) -> None:
    built = artifact.build(make_recipe("lora", "matching"), 0)
    assert isinstance(built.model, TextEncoder)
    vectors = encode(built.model.eval(), built.tokenizer, TEXTS, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encode(built.model, built.tokenizer, [], 32).shape == (0, 32)


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 7))
@settings(max_examples=50, deadline=None)
def test_batches_hold_every_row_once_longest_first(lengths: list[int], size: int) -> None:
    encoded = [{"input_ids": [0] * n} for n in lengths]
    batches = list(by_length(encoded, size))
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == list(range(len(lengths)))
    assert all(len(batch) <= size for batch in batches)
    ordered = [lengths[row] for row in rows]
    assert ordered == sorted(lengths, reverse=True)
