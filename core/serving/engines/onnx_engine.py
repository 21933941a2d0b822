"""ONNX Runtime in float32: one fused graph from token ids to the small result."""

from pathlib import Path
from typing import Any

import numpy as np

from core.serving.network import Network
from core.serving.threads import available_cpus

FILE = "model.onnx"


class OnnxEngine:
    """A session on an exported graph."""

    precision = "float32"
    batch_tokens = 2_048

    def __init__(self, path: Path, threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cpus()
        options.inter_op_num_threads = 1
        # Batches differ in shape, so patterns of memory are never met again; a waiting thread must not spin,
        # because the tokenizer and the server share the CPUs.
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = {one.name for one in self._session.get_inputs()}

    def run(self, tokens: np.ndarray, mask: np.ndarray, segments: np.ndarray) -> np.ndarray:
        """float32 [b, width] of int64 [b, t] each."""
        feeds = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": segments}
        return np.asarray(self._session.run(None, {k: v for k, v in feeds.items() if k in self._inputs})[0])


def open(folder: Path) -> OnnxEngine:
    """The engine of an exported folder."""
    return OnnxEngine(folder / FILE)


def write(folder: Path, network: Network, rows: Any = None) -> dict[str, Any]:
    """Export the fused graph into ``folder``, compared with PyTorch before it is used."""
    from core.serving.onnx_graph import export_graph
    from core.serving.tokens import Tokeniser

    model, tokenizer = network.load()
    tokeniser = Tokeniser.of(tokenizer, network.max_length)
    told = tokeniser.save(folder)
    difference = export_graph(model, network.output, network.max_length, tokeniser.pad_id, folder / FILE)
    return {**told, "max_abs_difference": difference}
