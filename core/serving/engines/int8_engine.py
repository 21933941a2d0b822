"""ONNX Runtime with 8-bit weights and activations; exported only with rows that show what it costs."""

from pathlib import Path
from typing import Any

from core.errors import InputError
from core.serving.engines.onnx_engine import FILE, OnnxEngine
from core.serving.gate import Gate
from core.serving.network import Network


class Int8Engine(OnnxEngine):
    """A session on a quantised graph; results differ a little from float32 and with the batch's other texts."""

    precision = "int8"


def open(folder: Path) -> Int8Engine:
    """The engine of an exported folder."""
    return Int8Engine(folder / FILE)


def write(folder: Path, network: Network, rows: Gate | None = None) -> dict[str, Any]:
    """Export in 8 bits into ``folder``. Raises InputError without rows, or when they show too great a loss."""
    from core.serving.engines import onnx_engine
    from core.serving.quantise import quantise
    from core.serving.runner import Runner
    from core.serving.tokens import Tokeniser

    if rows is None:
        raise InputError("an int8 export needs validation rows to judge it on; pass them with --data.")
    about = onnx_engine.write(folder, network)
    exact, target = folder / "exact.onnx", folder / FILE
    target.rename(exact)
    tokeniser = Tokeniser.load(folder, about)

    def runner(path: Path) -> Runner:
        engine = OnnxEngine(path) if path == exact else Int8Engine(path)
        return Runner(engine, tokeniser, network.width, network.output == "vectors")

    try:
        return {**about, **quantise(exact, target, rows, runner)}
    finally:
        exact.unlink(missing_ok=True)
