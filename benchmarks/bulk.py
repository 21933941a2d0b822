"""Bulk runs here with one and two workers, without and with Ray, and a plan for more: ``python -m benchmarks.bulk``.

Each run is the command as anybody gives it, timed from outside, in a process of its own; workers compute on one thread
each, so that two can be compared with one, but for ``all cores``, which is one worker on all of them. Two sizes tell
start-up (imports, Ray, the model) from the time a row takes. The systems take turns within each round. ``--plan``
prints what the figures mean for a billion texts and measures nothing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import store
from core.settings import PROJECT_ROOT, get_settings

FILE = store.RESULTS / "bulk.json"
SYSTEMS = ("local, 1 worker", "local, 2 workers", "ray, 1 worker", "ray, 2 workers", "local, all cores")
MODEL, ROWS, SHARD_ROWS = "finance-sentiment", (600, 4_800), 300
BILLION, CORES = 1_000_000_000, (16, 64, 256, 1024)
PLAN_SHARD_ROWS = 50_000


@dataclass(frozen=True)
class Run:
    """One timed command."""

    rows: int
    seconds: float
    bytes: int


def write_input(path: Path, texts: Sequence[str], rows: int) -> None:
    """``rows`` texts with a number each, the given ones over and over."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    repeated = [texts[n % len(texts)] for n in range(rows)]
    pq.write_table(pa.table({"id": pa.array(range(rows), pa.int64()), "text": repeated}), path)


def headlines() -> list[str]:
    """SEntFiN's headlines."""
    from core.data.readers import read
    from core.data.sources import Source

    source = Source(path=get_settings().datasets / "sentfin" / "SEntFiN.csv", format="sentfin")
    return [str(text) for text in read(source, "classification").frame["text"]]


def ray_python() -> str | None:
    """An interpreter that has Ray: this one, or that of .venv-ray; None when there is none."""
    import importlib.util

    if importlib.util.find_spec("ray") is not None:
        return sys.executable
    other = PROJECT_ROOT / ".venv-ray" / "bin" / "python"
    return str(other) if other.is_file() else None


def run_once(system: str, python: str, path: Path, rows: int, folder: Path) -> Run:
    """Label a file by the command; raises RuntimeError when it fails or loses a row."""
    spread, _, how = system.partition(", ")
    workers = "2" if how == "2 workers" else "1"
    out = folder / f"{system.replace(', ', '-').replace(' ', '-')}-{rows}"
    command = [python, "-m", "core.cli", "bulk", "predict", str(path), str(out), "--model", MODEL, "--json"]
    command += ["--engine", spread, "--workers", workers, "--shard-rows", str(SHARD_ROWS)]
    threads = {} if how == "all cores" else {"OMP_NUM_THREADS": "1"}
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "RAY_ADDRESS")}
    began = time.perf_counter()
    done = subprocess.run(
        command, env={**environment, **threads, "HF_HUB_OFFLINE": "1"}, cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    seconds = time.perf_counter() - began
    if done.returncode or json.loads(done.stdout)["rows"] != rows:
        raise RuntimeError(f"{system}: {done.stderr[-2000:] or done.stdout}")
    size = sum(part.stat().st_size for part in out.glob("part-*"))
    for part in sorted(out.rglob("*"), reverse=True):
        part.unlink() if part.is_file() else part.rmdir()
    out.rmdir()
    return Run(rows, seconds, size)


def measure(
    rounds: int, sizes: Sequence[int], systems: Mapping[str, str], keep: Callable[[str, list[Run]], None]
) -> None:
    """Run each system (by name, with its interpreter) and ``keep`` its runs so far; the systems take turns."""
    texts = headlines()
    found: dict[str, list[Run]] = {name: [] for name in systems}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for rows in sizes:
            write_input(folder / f"{rows}.parquet", texts, rows)
        names = list(systems)
        for turn in range(rounds):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                for rows in sizes:
                    one = run_once(name, systems[name], folder / f"{rows}.parquet", rows, folder)
                    print(f"{name}: {rows} rows in {one.seconds:.1f} s", file=sys.stderr, flush=True)
                    found[name].append(one)
                keep(name, found[name])


def summarise(runs: Sequence[Run]) -> dict[str, Any]:
    """Rows a second once it runs, seconds before that, and bytes a row, from the medians of the two sizes."""
    small, large = min(r.rows for r in runs), max(r.rows for r in runs)
    quick = statistics.median(r.seconds for r in runs if r.rows == small)
    slow = statistics.median(r.seconds for r in runs if r.rows == large)
    if slow <= quick or large == small:
        raise ValueError(f"{large} rows took no longer than {small}; measure more rows")
    each = (slow - quick) / (large - small)
    return {
        "rows_per_second": 1 / each,
        "start_seconds": max(0.0, quick - small * each),
        "seconds": slow,
        "rows": large,
        "bytes_per_row": next(r.bytes / r.rows for r in runs if r.rows == large),
        "runs": [asdict(run) for run in runs],
    }


def compare(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """What Ray costs a row beside local, and how much faster two workers are than one."""
    rate = {name: found["rows_per_second"] for name, found in systems.items()}
    pairs = {
        "overhead of ray, 1 worker": ("local, 1 worker", "ray, 1 worker"),
        "overhead of ray, 2 workers": ("local, 2 workers", "ray, 2 workers"),
        "scaling of local, 2 workers": ("local, 2 workers", "local, 1 worker"),
        "scaling of ray, 2 workers": ("ray, 2 workers", "ray, 1 worker"),
    }
    return {name: rate[a] / rate[b] for name, (a, b) in pairs.items() if a in rate and b in rate}


@dataclass(frozen=True)
class Plan:
    """What a number of rows takes on ``cores`` cores, one worker each."""

    rows: int
    cores: int
    hours: float
    core_hours: float
    shards: int
    minutes_a_shard: float
    gigabytes: float
    vector_gigabytes: float


def plan(
    systems: Mapping[str, Mapping[str, Any]], rows: int = BILLION, cores: Sequence[int] = CORES,
    shard_rows: int = PLAN_SHARD_ROWS, dimension: int = 384,
) -> list[Plan]:  # fmt: skip
    """From the measured figures: a worker's rate (Ray's where it was measured), times workers, times what two lose.

    The loss is taken as a fixed share, as between one and two workers here, where both share one machine's memory and
    caches; more machines lose less at that and are not measured. Storage that keeps up is assumed. Raises ValueError
    without figures.
    """
    kind = "ray" if {"ray, 1 worker", "ray, 2 workers"} <= systems.keys() else "local"
    if not {f"{kind}, 1 worker", f"{kind}, 2 workers"} <= systems.keys():
        raise ValueError("nothing was measured yet; run: python -m benchmarks.bulk")
    one, two = systems[f"{kind}, 1 worker"], systems[f"{kind}, 2 workers"]
    efficiency = min(1.0, two["rows_per_second"] / (2 * one["rows_per_second"]))
    rate = one["rows_per_second"] * efficiency
    shards = -(-rows // shard_rows)
    plans = []
    for count in cores:
        turns = -(-shards // count)  # the last round of shards is as long as a full one
        seconds = one["start_seconds"] + turns * min(rows, shard_rows) / rate
        plans.append(
            Plan(
                rows,
                count,
                seconds / 3600,
                seconds * count / 3600,
                shards,
                min(rows, shard_rows) / rate / 60,
                rows * one["bytes_per_row"] / 1e9,
                rows * dimension * 4 / 1e9,
            )
        )
    return plans


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__)
    parser.add_argument("--plan", action="store_true", help="print the plan for --rows texts; measure nothing")
    parser.add_argument("--rows", type=int, default=BILLION, help="rows to plan for")
    parser.add_argument("--sizes", type=int, nargs=2, default=ROWS, metavar=("SMALL", "LARGE"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", action="append", choices=SYSTEMS, help="measure only this; repeatable")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args(arguments)
    from benchmarks.table_bulk import bulk_table, plan_table, write_guide

    if options.plan:
        systems = store.read(options.out).get("parts", {}).get("systems", {}).get("systems", {})
        try:
            print(plan_table(plan(systems, options.rows)))
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        return 0
    if not (get_settings().datasets / "sentfin").is_dir():
        print(f"{get_settings().datasets / 'sentfin'}: there is no such folder; set HEADWATER_DATASETS.")
        return 2
    with_ray = ray_python()
    wanted = {
        name: with_ray if name.startswith("ray") else sys.executable
        for name in options.only or SYSTEMS
        if with_ray or not name.startswith("ray")
    }
    key = store.key_of(MODEL, list(options.sizes), SHARD_ROWS)
    ray = _ray_version(with_ray)

    def keep(name: str, runs: list[Run]) -> None:
        # At once, beside what was measured earlier on the same sizes: an interrupted benchmark loses one system.
        before = store.read(options.out).get("parts", {}).get("systems", {})
        systems = {**(before["systems"] if before.get("key") == key else {}), name: summarise(runs)}
        result = {"key": key, **store.stamp(), "ray": ray, "systems": systems, "ratios": compare(systems)}
        store.write_part(options.out, "systems", result)

    measure(options.rounds, options.sizes, {name: str(python) for name, python in wanted.items()}, keep)
    print(bulk_table(options.out.parent))
    if options.out == FILE:
        write_guide(store.RESULTS)
    return 0


def _ray_version(python: str | None) -> str | None:
    if python is None:
        return None
    command = [python, "-c", "from importlib.metadata import version; print(version('ray'))"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None


if __name__ == "__main__":
    sys.exit(main())
