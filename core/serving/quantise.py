"""8-bit graphs by ONNX Runtime, with the sensitive kinds of layers left in float32 until the task metric holds."""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.serving.gate import Gate, Verdict
from core.serving.runner import Runner

_QUANTISABLE = ("MatMul", "Attention")  # with constant weights; a head (Gemm) is small and stays exact
_SAMPLE = 96  # rows on which the kinds of layers are compared

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scheme:
    """How weights become 8-bit numbers, one scale per output channel; activations get theirs per batch."""

    name: str
    signed: bool
    reduce_range: bool


# Fastest first. Without VNNI instructions, two products of full-range signed weights can overflow 16 bits:
# one bit less per weight avoids that (and costs little); unsigned weights avoid it by slower instructions.
SCHEMES = (
    Scheme("s8 reduced", signed=True, reduce_range=True),
    Scheme("u8", signed=False, reduce_range=False),
)


@dataclass(frozen=True)
class Candidate:
    """One 8-bit graph: its scheme, and the kinds of layers left in float32."""

    scheme: Scheme
    exact: tuple[str, ...]

    def __str__(self) -> str:
        kept = f", float32: {', '.join(self.exact)}" if self.exact else ""
        return f"{self.scheme.name}{kept}"


def quantise(source: Path, target: Path, gate: Gate, open_runner: Callable[[Path], Runner]) -> dict[str, Any]:
    """Write the fastest 8-bit form of ``source`` that passes ``gate`` to ``target``; returns what was measured.

    Raises InputError with the figures of the best candidate when none passes; ``target`` does not exist then.
    """
    exact = open_runner(source)
    reference = gate.results(exact)
    tried: list[tuple[Candidate, Verdict]] = []
    for candidate in _candidates(source, target, gate, exact, open_runner):
        _write(source, target, candidate.scheme, _nodes(source, without=candidate.exact))
        verdict = gate.judge(reference, gate.results(open_runner(target)))
        _log.info("int8 candidate %s: %s", candidate, verdict.to_dict())
        tried.append((candidate, verdict))
        if verdict.passed:
            return {
                "scheme": candidate.scheme.name,
                "float32_layers": list(candidate.exact),
                "rows": len(gate.texts),
                "limits": gate.limits,
                "gate": verdict.to_dict(),
                "tried": [{"candidate": str(c), **v.to_dict()} for c, v in tried],
            }
    target.unlink(missing_ok=True)
    told = "; ".join(f"{c}: {_told(v)}" for c, v in tried)
    raise InputError(
        f"the int8 export is refused: no 8-bit form stays within {_told_limits(gate)} on the {len(gate.texts)} rows"
        f" ({told}); use the engine onnx."
    )


def _candidates(
    source: Path, target: Path, gate: Gate, exact: Runner, open_runner: Callable[[Path], Runner]
) -> Iterator[Candidate]:
    """All layers in 8 bits first, then the most sensitive kinds of layers, one more each time, in float32."""
    kinds = sorted({kind_of(name) for name in _nodes(source)})
    if not kinds:
        raise InputError("the int8 export is refused: the graph has no layer that could be 8-bit; use the engine onnx.")
    for scheme in SCHEMES:
        yield Candidate(scheme, ())
    sample = gate.sample(_SAMPLE)
    reference = sample.results(exact)
    errors = {}
    for kind in kinds:
        _write(source, target, SCHEMES[0], [n for n in _nodes(source) if kind_of(n) == kind])
        errors[kind] = _relative_error(reference, sample.results(open_runner(target)))
    _log.info("error by kind of layer alone in 8 bits: %s", errors)
    worst = sorted(kinds, key=lambda kind: -errors[kind])
    for count in range(1, len(worst)):
        for scheme in SCHEMES:
            yield Candidate(scheme, tuple(worst[:count]))


def kind_of(node: str) -> str:
    """What a node does, whichever block it is in: its name without the numbers."""
    return re.sub(r"\d+", "N", node.rpartition("encoder/")[2]).strip("/")


def _nodes(source: Path, without: tuple[str, ...] = ()) -> list[str]:
    import onnx

    graph = onnx.load(source, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type in _QUANTISABLE and node.input[1] in constants and kind_of(node.name) not in without
    ]


def _write(source: Path, target: Path, scheme: Scheme, nodes: list[str]) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    previous = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it advises, for each graph, to prepare what is prepared already
    try:
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=list(_QUANTISABLE),
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=scheme.reduce_range,
            weight_type=QuantType.QInt8 if scheme.signed else QuantType.QUInt8,
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    finally:
        logging.root.setLevel(previous)


def _relative_error(exact: np.ndarray, found: np.ndarray) -> float:
    return float(np.linalg.norm(found - exact) / max(float(np.linalg.norm(exact)), 1e-12))


def _told(verdict: Verdict) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in verdict.figures.items())


def _told_limits(gate: Gate) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in gate.limits.items())
