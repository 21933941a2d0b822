"""Choose what runs a network, make its export where that is missing, and open it."""

from pathlib import Path

from core.errors import InputError
from core.serving import engine_store
from core.serving.engines import BACKENDS, Engine, Precision, find_backend
from core.serving.gate import Gate
from core.serving.network import Network
from core.serving.runner import Runner
from core.serving.tokens import LongTexts, Tokeniser

# What an exported folder encloses was asked for, int8 too; from the cache only what is exact is taken unasked.
_ENCLOSED_FIRST = ("onnx-int8", "onnx", "openvino")


def open_runner(
    network: Network, engine: str = "auto", precision: Precision = "auto", long_texts: LongTexts = "head"
) -> tuple[str, Runner]:
    """The chosen backend's name, and the network ready to run on it.

    ``auto``: an export enclosed in the model's folder, else a cached float32 ONNX export, else torch; torch when
    there is a GPU or bfloat16 is wanted. Raises InputError for an int8 engine that has not been exported yet.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise InputError(f"precision {precision!r} is not known; choose auto, float32 or bfloat16.")
    if long_texts not in ("head", "windows"):
        raise InputError(f"long_texts {long_texts!r} is not known; choose head or windows.")
    name = _choose(network, precision) if engine == "auto" else find_backend(engine).name
    backend = BACKENDS[name]
    if backend.exported:
        if precision == "bfloat16":
            raise InputError(f"the engine {name} computes in its own precision; choose torch for bfloat16.")
        folder = export_engine(network, name)
        opened: Engine = backend.open(folder)
        tokeniser = Tokeniser.load(folder, engine_store.receipt(folder))
    else:
        model, tokenizer = network.load()
        opened = backend.open(model, network.output, precision)
        tokeniser = Tokeniser.of(tokenizer, network.max_length)
    return name, Runner(opened, tokeniser, network.width, network.output == "vectors", long_texts)


def export_engine(network: Network, engine: str, rows: Gate | None = None) -> Path:
    """The folder of the network's export for a backend, made in the cache if it is not there yet.

    ``rows`` judge an int8 export when it is made. Raises InputError when they are missing or show too great a loss.
    """
    backend = find_backend(engine)
    if not backend.exported:
        raise InputError(f"the engine {engine} needs no export.")
    found = engine_store.find(network, engine)
    if found is not None:
        return found
    if backend.needs_rows and rows is None:
        raise InputError(
            f"{network.name} has no {engine} export yet, and making one needs labelled rows that show what it costs:"
            f" headwater models export MODEL FOLDER --engine {engine} --data ROWS"
        )
    return engine_store.build_once(network, engine, lambda folder: backend.write(folder, network, rows))


def _choose(network: Network, precision: Precision) -> str:
    if precision == "bfloat16" or _has_gpu():
        return "torch"
    for name in _ENCLOSED_FIRST:
        if engine_store.whole(network.folder / engine_store.ENCLOSED / name, network, name):
            return name
    return "onnx" if engine_store.find(network, "onnx") is not None else "torch"


def _has_gpu() -> bool:
    """Asks torch only where a driver is loaded: importing it takes seconds that an ONNX engine need not spend."""
    if not Path("/proc/driver/nvidia").exists() and not Path("/dev/nvidiactl").exists():
        return False
    import torch

    return torch.cuda.is_available()
