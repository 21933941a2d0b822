"""Prediction beside its peers, on this machine in one run: ``python -m benchmarks.serving``.

classification, embedding: texts/s of every engine and of the peer, taking turns. lengths: texts/s by length, and the
share of the best float32 matrix product. cold: process start to first answer. int8: the task metric of the 8-bit
export beside float32 on the full test sets. A finished part is not measured again.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import serving_int8, store
from benchmarks.interleave import compare, interleaved
from benchmarks.serving_worker import BACKBONE, CLASSIFIER, PEERS, THREADS
from core.settings import PROJECT_ROOT, get_settings

PARTS = ("int8", "classification", "embedding", "lengths", "cold")
ENGINES = ("torch", "onnx", "openvino", "onnx-int8")
SEGMENTS, SECONDS, COLD_ROUNDS = 5, 1.5, 3
FILE = store.RESULTS / "serving.json"

_QUESTION = "Why was I charged twice?"
_ASK = (
    "from core.serving.predictor import load_predictor as load;"
    " print(load({ref!r}, engine={engine!r}).predict([{question!r}])[0].label)"
)
_PIPE = "from benchmarks.serving_worker import pipeline; print(pipeline()([{question!r}])[0]['label'])"


def _ask(engine: str) -> list[str]:
    return ["-c", _ASK.format(ref=str(CLASSIFIER), engine=engine, question=_QUESTION)]


COLD: dict[str, list[str]] = {
    "torch": _ask("torch"),
    "onnx": _ask("onnx"),
    "onnx-int8": _ask("onnx-int8"),
    "pipeline": ["-c", _PIPE.format(question=_QUESTION)],
    "headwater --help": ["-m", "core.cli", "--help"],
}


def prepare(reference: str | Path, engines: Sequence[str]) -> dict[str, str]:
    """Make the exports that are missing; returns why an engine cannot be had, by its name."""
    from core.errors import InputError, MissingExtra
    from core.serving import engine_store
    from core.serving.encoder import find_network
    from core.serving.engines import BACKENDS
    from core.serving.opening import export_engine

    refused: dict[str, str] = {}
    network = find_network(reference)
    for engine in engines:
        if not BACKENDS[engine].exported or engine_store.find(network, engine) is not None:
            continue
        try:
            export_engine(network, engine, serving_int8.gate_of(reference) if BACKENDS[engine].needs_rows else None)
        except (InputError, MissingExtra) as error:
            refused[engine] = str(error)
            _say(f"{Path(reference).name}, {engine}: {error}")
    return refused


def against_peer(task: str, engines: Sequence[str], segments: int, seconds: float) -> dict[str, Any]:
    """Texts/s of the peer and of each engine; ``ratios`` say how many times faster than the peer each engine is."""
    names = [PEERS[task], *engines]
    commands = {name: [sys.executable, "-m", "benchmarks.serving_worker", task, name] for name in names}
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(THREADS),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }
    found = interleaved(commands, segments, seconds, progress=_say, environment=environment)
    return {
        "peer": PEERS[task],
        "threads": THREADS,
        "systems": compare(found, names[0])["systems"],
        "ratios": {name: compare(found, name)["ratios"][PEERS[task]] for name in engines},
    }


def lengths(engines: Sequence[str]) -> dict[str, Any]:
    """See ``benchmarks.serving_lengths``; in a process of its own with the threads set before anything is imported."""
    command = [sys.executable, "-m", "benchmarks.serving", "--lengths-of", *engines]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": str(THREADS)}, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the measurement by length failed: {done.stderr.strip()[-800:]}")
    return {"threads": THREADS, **json.loads(done.stdout.splitlines()[-1])}


def lengths_here(engines: Sequence[str]) -> dict[str, Any]:
    """What ``lengths`` runs."""
    from benchmarks.serving_lengths import measure
    from core.serving.encoder import load_encoder

    return measure({name: load_encoder(BACKBONE, engine=name)._runner.engine for name in engines})


def cold(rounds: int, commands: Mapping[str, Sequence[str]] = COLD) -> dict[str, Any]:
    """Seconds from starting Python to the first answer on the screen, the systems taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(THREADS)}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            begun = time.perf_counter()
            subprocess.run(
                [sys.executable, *command], check=True, capture_output=True, env=environment, cwd=PROJECT_ROOT
            )
            seconds[name].append(time.perf_counter() - begun)
    # The first round warms the disk's cache and is not counted.
    return {
        "rounds": rounds,
        "systems": {
            name: {"seconds": statistics.median(found[1:]), "low": min(found[1:]), "high": max(found[1:])}
            for name, found in seconds.items()
        },
    }


def plot(file: Path, image: Path) -> None:
    """Throughput by length, a line for each engine, and the share of the matrix product's peak."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = store.read(file)["parts"]["lengths"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for engine in dict.fromkeys(row["engine"] for row in found["engines"]):
        mine = [row for row in found["engines"] if row["engine"] == engine]
        tokens = [row["tokens"] for row in mine]
        left.plot(tokens, [row["texts_per_second"] for row in mine], marker="o", label=engine)
        right.plot(tokens, [100 * row["share_of_peak"] for row in mine], marker="o", label=engine)
    left.set(xscale="log", yscale="log", xlabel="tokens in each text of the batch", ylabel="texts/s")
    right.set(xscale="log", xlabel="tokens in each text of the batch", ylabel="% of the best float32 matrix product")
    right.axhline(100, color="grey", linewidth=0.8)
    left.set_title("Throughput by batch length")
    right.set_title("Share of the processor's peak")
    for axes in (left, right):
        axes.set_xticks([row["tokens"] for row in mine], [str(row["tokens"]) for row in mine])
        axes.minorticks_off()
    left.legend()
    temporary = image.with_name(f".{os.getpid()}-{image.name}")
    figure.savefig(temporary, dpi=120)
    pyplot.close(figure)
    temporary.replace(image)


def run(options: argparse.Namespace) -> None:
    """Measure the parts that are missing."""
    file = options.out
    engines = list(options.engines)
    if "int8" in options.parts:
        serving_int8.run(file, get_settings().datasets, options.fresh, options.cases)
    for part in ("classification", "embedding", "lengths", "cold"):
        if part not in options.parts:
            continue
        refused = prepare(CLASSIFIER if part in ("classification", "cold") else BACKBONE, engines)
        left = [engine for engine in engines if engine not in refused]
        measures: dict[str, Callable[[], dict[str, Any]]] = {
            "classification": partial(against_peer, part, left, options.segments, options.seconds),
            "embedding": partial(against_peer, part, left, options.segments, options.seconds),
            "lengths": partial(lengths, left),
            "cold": partial(cold, COLD_ROUNDS, {name: COLD[name] for name in COLD if name not in refused}),
        }
        note = {"refused": refused} if refused else {}
        key = store.key_of("serving 1", part, left, options.segments, options.seconds)
        store.part(file, part, key, partial(_with, note, measures[part]), options.fresh)
    if "engines" in store.read(file).get("parts", {}).get("lengths", {}):
        plot(file, file.with_name("serving-lengths.png"))


def _with(note: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return {**note, **measure()}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument(
        "--cases", nargs="+", choices=serving_int8.NAMES, default=list(serving_int8.NAMES), help="of int8"
    )
    parser.add_argument("--segments", type=int, default=SEGMENTS, help="rounds of the comparisons with peers")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each system in each round, at least")
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--fresh", action="store_true", help="measure finished parts again")
    parser.add_argument("--lengths-of", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.lengths_of:
        print(json.dumps(lengths_here(options.lengths_of)))
    else:
        run(options)


if __name__ == "__main__":
    main()
