"""Vector search by size, and search by words, by meaning and by both: ``python -m benchmarks.search``.

Vectors: texts of the data sets, embedded; sizes beyond them are filled with mixtures (``search_data.enlarge``), which
the results state. Queries are real texts that are not indexed. Each figure of speed is for one query at a time on one
thread. A finished part is not measured again.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import store
from benchmarks.search_data import Backbone, Cached, corpus, enlarge
from benchmarks.search_quality import bankfaqs, measure, stackfaq
from core.settings import get_settings

SIZES = (10_000, 100_000, 1_000_000)
KINDS = ("flat", "hnsw", "ivf-sq8", "ivf-pq")
LARGEST_GRAPH = 300_000  # rows: a graph over a million of them is more than an hour's work for two slow cores
TEXTS = 12_000
K, QUERIES, WARM_UP = 10, 500, 20
AIMS_MS = {100_000: 0.5, 1_000_000: 2.0}


def latency(vectors: np.ndarray, queries: np.ndarray, kind: str, folder: Path) -> dict[str, Any]:
    """Build, save, open again as a server would, and search one query at a time on one thread."""
    import faiss

    from core.search import ann
    from core.search.vector import VectorIndex

    started = time.perf_counter()
    ids = [str(i) for i in range(len(vectors))]
    VectorIndex.build(ids, vectors, kind=kind).save(folder)  # type: ignore[arg-type]
    built = time.perf_counter() - started
    before = _resident_mb()
    started = time.perf_counter()
    index = VectorIndex.open(folder)
    opened = time.perf_counter() - started
    faiss.omp_set_num_threads(1)
    k = min(K, len(vectors))
    exact = ann.exact_search(vectors, queries, k)
    for query in queries[:WARM_UP]:
        index.search(query, k)
    times, right = [], 0
    for query, truth in zip(queries, exact, strict=True):
        begun = time.perf_counter()
        hits = index.search(query, k)[0]
        times.append((time.perf_counter() - begun) * 1000)
        right += len({int(name) for name, _ in hits} & set(truth.tolist()))
    return {
        "rows": len(vectors),
        "kind": index.kind,
        "latency_ms": {"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95))},
        f"recall@{K}": right / exact.size,
        "build_and_save_seconds": built,
        "open_seconds": opened,
        "memory_mb": _resident_mb() - before,
        "disk_mb": sum(path.stat().st_size for path in folder.iterdir()) / 1e6,
    }


def _resident_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # no Linux: the most there ever was
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 1e6


def prepared(cache: Path, encoder: Cached, datasets: Path, texts: int | None, rows: int) -> tuple[Path, Path, int]:
    """Files of the vectors [rows, d] and of the queries, and how many of the vectors are of real texts."""
    found = corpus(datasets, texts)
    held_out = min(QUERIES, len(found) // 5)
    real = encoder.prepare(found, passages=True)
    key = store.key_of(encoder.fingerprint, len(found), found[:1], rows)
    vectors, queries = cache / f"rows-{key}.npy", cache / f"queries-{key}.npy"
    if not (vectors.is_file() and queries.is_file()):
        for file, values in ((vectors, enlarge(real[held_out:], rows)), (queries, real[:held_out])):
            temporary = file.with_suffix(f".{os.getpid()}.npy")
            np.save(temporary, values)
            temporary.replace(file)
    return vectors, queries, min(rows, len(real) - held_out)


def measure_apart(vectors: Path, queries: Path, rows: int, kind: str, note: dict[str, int]) -> dict[str, Any]:
    """``latency`` in a process of its own, so that one index's memory is not another's; ``note`` is added."""
    command = [sys.executable, "-m", "benchmarks.search", "--one", str(vectors), str(queries), str(rows), kind]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{kind} of {rows} rows failed: {done.stderr.strip()[-500:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "asked": kind, **note}


def plot(file: Path, image: Path) -> None:
    """Median latency by rows, a line for each kind, the aims as crosses."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parts = store.read(file).get("parts", {})
    rows = [part for name, part in parts.items() if name.startswith("vectors/") and "latency_ms" in part]
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for kind in KINDS:
        mine = sorted((p["rows"], p["latency_ms"]["p50"], p[f"recall@{K}"]) for p in rows if p["asked"] == kind)
        if mine:
            axes.plot([m[0] for m in mine], [m[1] for m in mine], marker="o", label=kind)
        for size, milliseconds, recall in mine:
            axes.annotate(f"{recall:.3f}", (size, milliseconds), textcoords="offset points", xytext=(5, 4), fontsize=7)
    axes.plot(list(AIMS_MS), list(AIMS_MS.values()), "kx", label="aim")
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="median latency of one query, ms (one thread)")
    axes.set_title(f"Vector search by size; figures are recall@{K}")
    axes.legend()
    temporary = image.with_name(f".{os.getpid()}-{image.name}")
    figure.savefig(temporary, dpi=120)
    pyplot.close(figure)
    temporary.replace(image)


def run(arguments: argparse.Namespace) -> None:
    """Measure the parts that are missing."""
    settings = get_settings()
    file, cache = arguments.out, settings.cache / "search"
    encoder = Cached(Backbone(arguments.encoder), cache, {})
    if "quality" in arguments.parts:
        for name, read, path in (
            ("stackfaq", stackfaq, settings.datasets / "stackfaq" / "stackExchange-FAQ.json"),
            ("bankfaqs", bankfaqs, settings.datasets / "bankfaqs" / "BankFAQs.csv"),
        ):
            if not path.is_file():
                store.skip(file, name, f"{path.name} is not in the data sets folder")
                continue
            for collection in read(path):
                key = store.key_of("quality 2", collection.name, encoder.fingerprint, store.digest_files([path]))
                store.part(file, collection.name, key, partial(measure, collection, encoder), arguments.fresh)
    if "vectors" in arguments.parts:
        rows = max(arguments.sizes)
        vectors, queries, real = prepared(cache, encoder, settings.datasets, arguments.texts, rows)
        for size in arguments.sizes:
            note = {"real_rows": min(size, real), "mixed_rows": max(0, size - real)}
            for kind in arguments.kinds:
                if kind == "hnsw" and size > LARGEST_GRAPH and not arguments.large_graphs:
                    reason = f"hnsw over {size:,} rows (takes over an hour to build; --large-graphs measures it)"
                    store.skip(file, f"vectors/{size}/{kind}", reason)
                    continue
                key = store.key_of("vectors 1", vectors.name, size, kind)
                measured = partial(measure_apart, vectors, queries, size, kind, note)
                store.part(file, f"vectors/{size}/{kind}", key, measured, arguments.fresh)
    if any(name.startswith("vectors/") for name in store.read(file).get("parts", {})):
        plot(file, file.with_name("search-latency.png"))


def one(vectors: str, queries: str, rows: int, kind: str) -> dict[str, Any]:
    """What ``measure_apart`` runs."""
    with tempfile.TemporaryDirectory(dir=Path(vectors).parent) as folder:
        values = np.ascontiguousarray(np.load(vectors, mmap_mode="r")[:rows])
        return latency(values, np.load(queries), kind, Path(folder))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=("quality", "vectors"), default=["quality", "vectors"])
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="rows of the vector indexes")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--large-graphs", action="store_true", help=f"HNSW over more than {LARGEST_GRAPH:,} rows, too")
    parser.add_argument("--texts", type=int, default=TEXTS, help="embed so many texts (all: hours on one core)")
    parser.add_argument("--encoder", default="minilm", help="a row of `headwater models list`")
    parser.add_argument("--out", type=Path, default=store.RESULTS / "search.json")
    parser.add_argument("--fresh", action="store_true", help="measure finished parts again")
    parser.add_argument("--one", nargs=4, metavar=("VECTORS", "QUERIES", "ROWS", "KIND"), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.one:
        vectors, queries, rows, kind = chosen.one
        print(json.dumps(one(vectors, queries, int(rows), kind)))
    else:
        run(chosen)


if __name__ == "__main__":
    main()
