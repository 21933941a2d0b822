"""A TextEncoder as one ONNX graph, pooling and head included, fused for ONNX Runtime and checked against PyTorch."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import InputError

# Fused kernels sum in another order; anything above this, relative to the largest output, is a wrong graph.
TOLERANCE = 1e-4
_OPSET = 17
# Architectures whose attention ONNX Runtime's BERT fusions recognise, exported with eager attention.
_FUSED = {"bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert"}

_log = logging.getLogger(__name__)


class _Graph(nn.Module):
    """Token ids in, logits or unit-length vectors out."""

    def __init__(self, model: Any, output: str) -> None:
        super().__init__()
        self.model, self.output = model, output

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        out = self.model(input_ids, attention_mask, token_type_ids)["logits"]
        return nn.functional.normalize(out, dim=-1) if self.output == "vectors" else out


def export_graph(model: Any, output: str, max_length: int, pad_id: int, path: Path, fuse: bool = True) -> float:
    """Write the graph; batch and sequence length are dynamic. Returns the largest difference from PyTorch.

    The tracing exporter is used: its BERT graphs are the ones that ``onnxruntime.transformers`` knows to fuse.
    Raises InputError when the model cannot be exported, or when the graph computes something else.
    """
    config = model.backbone.config
    segments = getattr(config, "type_vocab_size", 0) > 1
    graph = _Graph(model, output).eval()
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if segments else [])]
    raw = path.with_name("raw.onnx")
    try:
        with _eager_attention(model), _silent(), torch.no_grad():
            torch.onnx.export(
                graph,
                _inputs(config, 3, min(11, max_length), pad_id, len(names)),
                str(raw),
                dynamo=False,
                opset_version=_OPSET,
                input_names=names,
                output_names=["output"],
                dynamic_axes={name: {0: "batch", 1: "tokens"} for name in names} | {"output": {0: "batch"}},
            )
            if fuse:
                _fuse(raw, path, config, getattr(model, "embeds_once", True))
            else:
                os.replace(raw, path)
    except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"this model cannot be exported to ONNX ({reason}); use the engine torch.") from error
    finally:
        raw.unlink(missing_ok=True)
    return _verify(graph, path, config, max_length, pad_id, names)


def _fuse(raw: Path, path: Path, config: Any, embeds_once: bool) -> None:
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    if config.model_type not in _FUSED:
        os.replace(raw, path)
        return
    options = FusionOptions("bert")
    # With several embeddings in one graph the optimiser looks one of them up under a name it has given to another.
    options.enable_embed_layer_norm = embeds_once
    fused = optimize_model(
        str(raw),
        "bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        optimization_options=options,
        opt_level=0,
    )
    found = fused.get_fused_operator_statistics()
    _log.info("fused operators: %s", {name: count for name, count in found.items() if count})
    fused.save_model_to_file(str(path))


def _verify(graph: nn.Module, path: Path, config: Any, max_length: int, pad_id: int, names: list[str]) -> float:
    """Compare on batches of one text, of many lengths, and of the longest allowed."""
    from core.serving.engines.onnx_engine import OnnxEngine

    engine = OnnxEngine(path)
    worst = 0.0
    for rows, length in ((1, min(3, max_length)), (5, min(17, max_length)), (2, max_length)):
        inputs = _inputs(config, rows, length, pad_id, len(names))
        with torch.no_grad():
            expected = graph(*inputs).numpy()
        arrays = [one.numpy() for one in inputs]
        found = engine.run(arrays[0], arrays[1], arrays[2] if len(arrays) > 2 else np.zeros_like(arrays[0]))
        difference = float(np.abs(found - expected).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):  # also when it is not a number
            raise InputError(
                f"the exported graph differs from PyTorch by {difference:.2g} on {rows} texts of {length} tokens;"
                " it is not used, keep the engine torch."
            )
        worst = max(worst, difference)
    return worst


def _inputs(config: Any, rows: int, length: int, pad_id: int, count: int) -> tuple[Tensor, ...]:
    """Random texts of falling length, the second half of each in the second segment."""
    draw = torch.Generator().manual_seed(rows * 1000 + length)
    ids = torch.randint(0, config.vocab_size, (rows, length), generator=draw)
    ids[ids == pad_id] = (pad_id + 1) % config.vocab_size  # position numbers of some models depend on padding
    lengths = torch.linspace(length, max(1, length // 3), rows).long()
    mask = (torch.arange(length)[None, :] < lengths[:, None]).long()
    ids = torch.where(mask == 1, ids, pad_id)
    types = (torch.arange(length)[None, :] >= lengths[:, None] // 2).long() * mask
    return (ids, mask, types)[:count]


@contextlib.contextmanager
def _eager_attention(model: nn.Module) -> Iterator[None]:
    """Plain matrix products and a softmax: what the fusions look for; the model may go on serving afterwards."""
    before: list[tuple[Any, str]] = []
    one: Any
    for one in model.modules():
        chosen = getattr(getattr(one, "config", None), "_attn_implementation", None)
        if chosen is not None and hasattr(one, "set_attn_implementation"):
            before.append((one, chosen))
            one.set_attn_implementation("eager")
    try:
        yield
    finally:
        for one, chosen in reversed(before):
            one.set_attn_implementation(chosen)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the exporter's and the optimiser's remarks off the terminal."""
    import warnings

    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxruntime.transformers", "fusion_base")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
