"""Tuning speed and accuracy: ours beside the seed recipe and HF ``Trainer`` with its defaults.

``python -m benchmarks.tuning`` measures two things for each data set and writes ``results/tuning.json``:

throughput -- one process per system, all kept ready, short segments in turn; examples/s of the
              training steps alone.
accuracy   -- each system trained once in its own process; accuracy on all test rows after each epoch, with
              the seconds from the start (model, tokenising, frozen-layer cache, head probe, steps,
              checkpoints) less the scoring of test rows; and the process's peak memory.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.interleave import compare, interleaved
from benchmarks.tuning_data import DATASETS, Job, recipe_of
from core.errors import InputError
from core.settings import PROJECT_ROOT, get_settings

OURS = "headwater"
SYSTEMS = (OURS, "seed recipe", "trainer defaults")
TIMED = {
    "throughput": "training steps alone (forward, backward, optimiser, batching); median over segments",
    "wall_seconds": "model, tokenising, frozen-layer cache, head probe, steps, checkpoints; not test scoring",
}


def throughput(jobs: Mapping[str, Job], segments: int, seconds: float, warmup: int) -> dict[str, Any]:
    """Interleaved segments of every system on one data set."""
    found = interleaved(
        {name: _command("segments", job) for name, job in jobs.items()},
        segments,
        seconds,
        warmup,
        _say,
        environment(),
    )
    return {"timed": TIMED["throughput"], "segment_seconds": seconds, **compare(found, OURS)}


def accuracy(job: Job) -> dict[str, Any]:
    """One system, trained once in a process of its own. Raises RuntimeError when that fails."""
    done = subprocess.run(_command("accuracy", job), stdout=subprocess.PIPE, text=True, env=environment())
    if done.returncode:
        raise RuntimeError(f"{job.system} on {job.dataset} failed with code {done.returncode}; see its messages above")
    return {"timed": TIMED["wall_seconds"], **json.loads(done.stdout.splitlines()[-1])}


def seconds_to(curve: Sequence[Mapping[str, float]], target: float) -> float | None:
    """Training seconds at the first epoch whose accuracy reaches ``target``; None when none does."""
    return next((point["seconds"] for point in curve if point["accuracy"] >= target), None)


def summarise(parts: Mapping[str, Mapping[str, Any]], dataset: str) -> dict[str, Any]:
    """What the parts of one data set say together; a missing part leaves its fields out."""
    speeds = parts.get(f"{dataset}/throughput", {})
    runs = {name: found for name in SYSTEMS if (found := parts.get(f"{dataset}/accuracy/{name}"))}
    target = runs.get("seed recipe", {}).get("accuracy")
    rows: dict[str, Any] = {}
    for name in SYSTEMS:
        row: dict[str, Any] = {}
        if name in speeds.get("systems", {}):
            row["examples_per_second"] = speeds["systems"][name]["examples_per_second"]
        if name in speeds.get("ratios", {}):
            row["ours_times_faster"] = speeds["ratios"][name]
        if name in runs:
            row |= {k: runs[name][k] for k in ("accuracy", "wall_seconds", "peak_memory_mb", "train_rows")}
            row["epochs"] = runs[name]["curve"][-1]["epoch"]
            if target is not None:
                row["seconds_to_seed_accuracy"] = seconds_to(runs[name]["curve"], target)
        if row:
            rows[name] = row
    return rows


def measure(options: argparse.Namespace, file: Path) -> None:
    """Every part that is asked for and not there yet."""
    for dataset in options.datasets:
        base = Job(
            OURS,
            dataset,
            options.epochs,
            options.rows,
            options.test_rows,
            options.seed,
            options.peer_learning_rate,
            changes=dict(options.set),
        )
        try:
            recipe = recipe_of(base)
        except InputError as error:
            _say(f"{dataset}: skipped: {error}")
            for part in options.parts:
                store.skip(file, f"{dataset}/{part}", str(error))
            continue
        hidden = {str(get_settings().datasets): "{datasets}"}
        ours = store.public(recipe.model_dump(mode="json", exclude_none=True), hidden)
        if "throughput" in options.parts:
            _measure_throughput(base, ours, options, file)
        if "accuracy" in options.parts:
            _measure_accuracy(base, ours, options, file)


def _measure_throughput(base: Job, recipe: dict[str, Any], options: argparse.Namespace, file: Path) -> None:
    jobs = {name: replace(base, system=name, epochs=1, steps=options.steps) for name in SYSTEMS}
    turns = {"segments": options.segments, "seconds": options.seconds, "warmup": options.warmup}
    settings = {**turns, "jobs": [job.to_dict() for job in jobs.values()], "recipe": recipe}

    def found() -> dict[str, Any]:
        return {"settings": settings, **throughput(jobs, **turns)}

    new = store.part(file, f"{base.dataset}/throughput", store.key_of(settings), found, options.fresh)
    _say(f"{base.dataset}: throughput {'measured' if new else 'is there already'}")


def _measure_accuracy(base: Job, recipe: dict[str, Any], options: argparse.Namespace, file: Path) -> None:
    for name in SYSTEMS:
        job = replace(base, system=name, changes=base.changes if name == OURS else {})
        settings = {**job.to_dict(), "recipe": recipe if name == OURS else None}

        def found(job: Job = job, settings: dict[str, Any] = settings) -> dict[str, Any]:
            return {"settings": settings, **accuracy(job)}

        new = store.part(file, f"{base.dataset}/accuracy/{name}", store.key_of(settings), found, options.fresh)
        _say(f"{base.dataset}: accuracy of {name} {'measured' if new else 'is there already'}")


def _command(mode: str, job: Job) -> list[str]:
    return [sys.executable, "-m", "benchmarks.tuning_worker", mode, json.dumps(job.to_dict())]


def environment() -> dict[str, str]:
    """The environment of a worker: `benchmarks` can be imported wherever it is started."""
    found = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), *([found] if found else [])])}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _change(text: str) -> tuple[str, Any]:
    field, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r}: write FIELD=VALUE, for example training.epochs=3")
    try:
        return field, json.loads(value)
    except ValueError:
        return field, value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.tuning", description="Tuning speed beside peers.")
    made.add_argument("--datasets", nargs="+", choices=list(DATASETS), default=list(DATASETS))
    made.add_argument("--parts", nargs="+", choices=["throughput", "accuracy"], default=["throughput", "accuracy"])
    made.add_argument("--segments", type=int, default=7, help="rounds that count")
    made.add_argument("--seconds", type=float, default=15.0, help="training seconds of a segment")
    made.add_argument("--warmup", type=int, default=1, help="rounds that do not count")
    made.add_argument("--steps", type=int, default=1600, help="our run is started anew after so many steps")
    made.add_argument("--epochs", type=float, default=3, help="accuracy: epochs of every system")
    made.add_argument("--rows", type=int, help="most training rows, the same for every system")
    made.add_argument("--test-rows", type=int, help="most test rows (default: all)")
    made.add_argument("--peer-learning-rate", type=float, default=5e-5)
    made.add_argument("--seed", type=int, default=7)
    made.add_argument("--set", action="append", type=_change, default=[], metavar="FIELD=VALUE", help="our recipe")
    made.add_argument("--out", type=Path, default=store.RESULTS / "tuning.json")
    made.add_argument("--fresh", action="store_true", help="measure again what is there already")
    made.add_argument("--smoke", action="store_true", help="a few rows and steps, into var/benchmarks")
    made.add_argument("--profile", action="store_true", help="show where a training step of ours spends its time")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    if options.smoke:
        options.segments, options.seconds, options.warmup, options.steps = 2, 1.0, 0, 200
        options.epochs, options.rows, options.test_rows = 1, 64, 64
        options.out = get_settings().var / "benchmarks" / "tuning.json"
    if options.profile:
        from benchmarks.tuning_profile import profile

        for dataset in options.datasets:
            print(profile(Job(OURS, dataset, 1, options.rows, seed=options.seed, changes=dict(options.set))))
        return
    measure(options, options.out)
    parts = store.read(options.out).get("parts", {})
    print(json.dumps({dataset: summarise(parts, dataset) for dataset in options.datasets}, indent=1))


if __name__ == "__main__":
    main()
