"""OpenVINO in float32: an optional backend, worth a try where it measures faster than ONNX Runtime."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import MissingExtra
from core.serving.engines.onnx_engine import FILE
from core.serving.network import Network
from core.serving.threads import available_cpus


class OpenVinoEngine:
    """A compiled model; one inference request per call, so that threads do not disturb each other."""

    precision = "float32"
    batch_tokens = 2_048

    def __init__(self, path: Path) -> None:
        _require()
        import openvino

        settings = {
            "INFERENCE_NUM_THREADS": available_cpus(),
            "PERFORMANCE_HINT": "LATENCY",  # one request uses all threads; batches come one after another
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._model = openvino.Core().compile_model(str(path), "CPU", settings)
        self._inputs = {name for one in self._model.inputs for name in one.get_names()}

    def run(self, tokens: np.ndarray, mask: np.ndarray, segments: np.ndarray) -> np.ndarray:
        """float32 [b, width] of int64 [b, t] each."""
        feeds = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": segments}
        request = self._model.create_infer_request()
        results = request.infer({k: v for k, v in feeds.items() if k in self._inputs})
        return np.array(results[0], dtype=np.float32)  # a copy: the request owns the original


def open(folder: Path) -> OpenVinoEngine:
    """The engine of an exported folder."""
    return OpenVinoEngine(folder / FILE)


def write(folder: Path, network: Network, rows: Any = None) -> dict[str, Any]:
    """Export the plain graph into ``folder``: OpenVINO fuses it itself and does not know ONNX Runtime's operators."""
    _require()
    from core.serving.onnx_graph import export_graph
    from core.serving.tokens import Tokeniser

    model, tokenizer = network.load()
    tokeniser = Tokeniser.of(tokenizer, network.max_length)
    told = tokeniser.save(folder)
    difference = export_graph(model, network.output, network.max_length, tokeniser.pad_id, folder / FILE, fuse=False)
    return {**told, "max_abs_difference": difference}


def _require() -> None:
    if importlib.util.find_spec("openvino") is None:
        raise MissingExtra("the engine openvino", "pip install openvino")
