"""PyTorch with and without a GPU: bfloat16 and large batches there, and memory that runs out. No GPU is needed."""

from typing import Any

import numpy as np
import pytest
import torch

from core.errors import InputError
from core.serving import opening
from core.serving.encoder import load_encoder
from core.serving.engines import torch_engine
from core.serving.network import backbone_network


class Recording:
    """Stands for a model: remembers where it was moved to; ``room`` is how many texts its memory holds."""

    def __init__(self, room: int = 10**9) -> None:
        self.moved: dict[str, Any] = {}
        self.batches: list[int] = []
        self.room = room

    def to(self, **where: Any) -> "Recording":
        self.moved = where
        return self

    def eval(self) -> "Recording":
        return self

    def __call__(self, input_ids: torch.Tensor, **_: Any) -> dict[str, torch.Tensor]:
        self.batches.append(len(input_ids))
        if len(input_ids) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return {"logits": input_ids[:, :2].to(torch.bfloat16)}


def tokens(rows: int) -> tuple[np.ndarray, ...]:
    ids = np.arange(rows * 3, dtype=np.int64).reshape(rows, 3) % 128
    return ids, np.ones_like(ids), np.zeros_like(ids)


def test_on_a_gpu_bfloat16_and_large_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    model = Recording()
    engine = torch_engine.open(model, "logits")
    assert (model.moved["device"].type, model.moved["dtype"]) == ("cuda", torch.bfloat16)
    assert engine.precision == "bfloat16"
    assert engine.batch_tokens > 16_384
    torch_engine.open(model, "logits", "float32")
    assert (model.moved["device"].type, model.moved["dtype"]) == ("cuda", torch.float32)


def test_without_a_gpu_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = Recording()
    engine = torch_engine.open(model, "logits")
    assert (model.moved["device"].type, model.moved["dtype"]) == ("cpu", torch.float32)
    assert engine.precision == "float32"


def test_memory_that_runs_out_halves_the_batch() -> None:
    model = Recording(room=3)
    found = torch_engine.TorchEngine(model, "logits", device="cpu").run(*tokens(10))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, tokens(10)[0][:, :2])
    assert max(batch for batch in model.batches if batch <= 3) <= 3 and model.batches[0] == 10
    with pytest.raises(InputError, match="full even for one text"):
        torch_engine.TorchEngine(Recording(room=0), "logits", device="cpu").run(*tokens(1))


def test_a_gpu_is_preferred_to_an_export(tiny_bert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    load_encoder(tiny_bert, engine="onnx")
    network = backbone_network(str(tiny_bert))
    assert opening._choose(network, "auto") == "onnx"
    monkeypatch.setattr(opening, "_has_gpu", lambda: True)
    assert opening._choose(network, "auto") == "torch"


def test_attention_is_fused_before_and_after_an_export(tiny_bert: Any, tmp_path: Any) -> None:
    from core.serving.onnx_graph import export_graph

    model, _ = backbone_network(str(tiny_bert)).load()
    assert model.backbone.config._attn_implementation == "sdpa"
    export_graph(model, "vectors", 64, 0, tmp_path / "model.onnx")
    assert model.backbone.config._attn_implementation == "sdpa"
