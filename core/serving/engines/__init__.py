"""What can run a network. A new backend is one new file with an ``open`` function, and one row here."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Protocol

import numpy as np

from core.errors import InputError

Precision = Literal["auto", "float32", "bfloat16"]


class Engine(Protocol):
    """A network ready to run; safe to call from several threads."""

    precision: str
    batch_tokens: int  # how many tokens, padding included, it likes to have in one batch

    def run(self, tokens: np.ndarray, mask: np.ndarray, segments: np.ndarray) -> np.ndarray:
        """int64 [b, t] each to float32 [b, width]."""
        ...


@dataclass(frozen=True)
class Backend:
    """One row of the table; ``exported`` says that it runs a file which must be made first."""

    name: str
    summary: str
    module: str
    exported: bool
    needs_rows: bool = False  # its export is judged on validation rows

    @property
    def open(self) -> Callable[..., Engine]:
        """``open(model, output, precision)`` to run the weights themselves, ``open(folder)`` of an exported one."""
        opened: Callable[..., Engine] = import_module(self.module).open
        return opened

    @property
    def write(self) -> Callable[..., dict[str, Any]]:
        """``write(folder, network, rows)`` makes the file; returns what is to be known about it."""
        written: Callable[..., dict[str, Any]] = import_module(self.module).write
        return written


_ROWS = (
    Backend("torch", "PyTorch; bfloat16 on a GPU", "core.serving.engines.torch_engine", exported=False),
    Backend("onnx", "ONNX Runtime, float32, fused graph", "core.serving.engines.onnx_engine", exported=True),
    Backend(
        "onnx-int8",
        "ONNX Runtime, 8-bit weights and activations where the task metric allows it",
        "core.serving.engines.int8_engine",
        exported=True,
        needs_rows=True,
    ),
    Backend("openvino", "OpenVINO, float32", "core.serving.engines.openvino_engine", exported=True),
)

BACKENDS: dict[str, Backend] = {row.name: row for row in _ROWS}


def find_backend(name: str) -> Backend:
    """The row called ``name``. Raises InputError for another word."""
    if name not in BACKENDS:
        raise InputError(f"engine {name!r} is not known; choose auto, {', '.join(BACKENDS)}.")
    return BACKENDS[name]
