"""How much of the processor an engine uses: texts/s by length, beside the largest matrix product the machine manages.

One process; the engines and the matrix products take turns in short segments, so a slow minute hits them alike.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

LENGTHS = (8, 16, 32, 64, 128, 256)
TOKENS = 2_048  # in a batch, whatever its length
SEGMENT_S, PAUSE_S, ROUNDS = 0.8, 0.15, 5
SIDES = (1_024, 2_048)  # of the square matrices
Step = Callable[[], float]
"""Does a little work; returns how much: GFLOP."""


def flops(length: int, width: int = 384, layers: int = 6) -> float:
    """Operations of one text in an encoder: a token and layer take 24 d² for the weights, 4 t d for attention."""
    return float(layers * length * (24 * width**2 + 4 * length * width))


def products(side: int) -> dict[str, Step]:
    """Square float32 matrix products by each library that is installed: the machine's peak is the best of them."""
    import torch

    random = np.random.default_rng(7)
    a, b = (random.standard_normal((side, side), dtype=np.float32) for _ in range(2))
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    out, z = np.empty_like(a), torch.empty_like(x)
    gflop = 2 * side**3 / 1e9

    def by_numpy() -> float:
        np.matmul(a, b, out=out)
        return gflop

    def by_torch() -> float:
        torch.matmul(x, y, out=z)
        return gflop

    return {f"product {side} numpy": by_numpy, f"product {side} torch": by_torch}


def batches_of(engine: Any, length: int) -> Step:
    """Random full-length texts through an engine."""
    rows = max(1, TOKENS // length)
    tokens = np.random.default_rng(length).integers(1_000, 20_000, (rows, length))
    mask, segments = np.ones_like(tokens), np.zeros_like(tokens)
    gflop = rows * flops(length) / 1e9

    def step() -> float:
        engine.run(tokens, mask, segments)
        return gflop

    return step


def take_turns(
    steps: Mapping[str, Step],
    rounds: int = ROUNDS,
    seconds: float = SEGMENT_S,
    pause: float = PAUSE_S,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """GFLOP/s of each step in each of ``rounds`` rounds; ``pause`` lets another library's threads fall asleep."""
    for step in steps.values():
        step()
    names = list(steps)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            time.sleep(pause)
            begun, done = clock(), 0.0
            while clock() - begun < seconds:
                done += steps[name]()
            rates[name].append(done / (clock() - begun))
    return rates


def measure(engines: Mapping[str, Any], lengths: Sequence[int] = LENGTHS, rounds: int = ROUNDS) -> dict[str, Any]:
    """For each engine and length the median texts/s, GFLOP/s and share of the peak, the peak measured in between."""
    steps = {name: step for side in SIDES for name, step in products(side).items()}
    for name, engine in engines.items():
        steps |= {f"{name}@{length}": batches_of(engine, length) for length in lengths}
    rates = take_turns(steps, rounds)
    return summarise(rates, list(engines), lengths)


def summarise(rates: Mapping[str, Sequence[float]], engines: Sequence[str], lengths: Sequence[int]) -> dict[str, Any]:
    """Medians; the peak is the best product's median, and a share's range is that over rounds."""
    found = {name: statistics.median(values) for name, values in rates.items()}
    best = max((name for name in found if name.startswith("product")), key=lambda name: found[name])
    rows = []
    for engine in engines:
        for length in lengths:
            name = f"{engine}@{length}"
            shares = [a / b for a, b in zip(rates[name], rates[best], strict=True)]
            rows.append(
                {
                    "engine": engine,
                    "tokens": length,
                    "texts_per_second": found[name] * 1e9 / flops(length),
                    "gflop_per_second": found[name],
                    "share_of_peak": found[name] / found[best],
                    "low": min(shares),
                    "high": max(shares),
                }
            )
    peaks = {name: value for name, value in found.items() if name.startswith("product")}
    return {"peak_gflop_per_second": found[best], "peak_of": best, "products": peaks, "engines": rows}
