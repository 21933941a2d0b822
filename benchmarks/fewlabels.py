"""What few labels, or none, are worth: ``python -m benchmarks.fewlabels``.

Parts: ``few-shot`` (ours beside setfit and two baselines, five seeds), ``speed`` (ours and setfit taking turns),
``zero-shot`` (no label at all), ``transfer`` (starting from another task or source), ``errors`` (labels that are
probably wrong), ``advice`` (``headwater compare`` on 200 rows). Each figure is written as soon as it is there; a
finished one is not measured again.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import store
from benchmarks.fewlabels_data import SEEDS, TASKS, Task, few, scores
from benchmarks.fewlabels_ours import SYSTEMS
from core.errors import InputError
from core.settings import PROJECT_ROOT, get_settings

PEER = "setfit"
COMPARED = ("few-shot", "frozen", "tf-idf")
PEERS = PROJECT_ROOT / ".venv-peers" / "bin" / "python"


@dataclass(frozen=True)
class Bench:
    """Where data lie, results go, and what is measured again."""

    out: Path
    datasets: Path
    work: Path
    threads: int = 2
    fresh: bool = False

    def part(self, name: str, key: list[Any], measure: Callable[[], dict[str, Any]]) -> None:
        """Measure ``name`` unless it is there; a missing data set or peer is noted as the reason."""
        store.attempt(self.out, name, store.key_of(*key), measure, self.fresh)


def run_system(system: str, folder: Path, seed: int, iterations: int, threads: int) -> dict[str, Any]:
    """One run of a system in a process of its own; what it wrote. Raises InputError when the peer is not there."""
    command = [sys.executable, "-m", "benchmarks.fewlabels_ours", str(folder), system, str(seed)]
    if system == PEER:
        from core.models.sources import resolve

        if not PEERS.is_file():
            raise InputError("setfit is missing; run: make peers")
        script = PROJECT_ROOT / "benchmarks" / "fewlabels_setfit.py"
        command = [str(PEERS), str(script), str(folder), str(resolve("minilm").path), str(seed), str(iterations)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    # Threads that wait do not spin: a busy machine would otherwise be measured, not the system.
    environment |= {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    if subprocess.run(command, env=environment, stdout=sys.stderr, cwd=PROJECT_ROOT).returncode:
        raise RuntimeError(f"{system} ended with an error; see its messages above")
    return dict(json.loads((folder / f"{system}.json").read_text(encoding="utf-8")))


def few_shot(bench: Bench, tasks: Sequence[Task], systems: Sequence[str], seeds: Sequence[int]) -> None:
    """Every system on every task and seed, each a part."""
    for task in tasks:
        for seed in seeds:
            for system in systems:
                name = f"few-shot/{task.name}/{seed}/{system}"
                key = ["few-shot 1", task.per_class, seed, system, task.iterations if system == PEER else 0]
                bench.part(name, key, partial(_measure, bench, task, seed, system))


def _measure(bench: Bench, task: Task, seed: int, system: str) -> dict[str, Any]:
    folder = bench.work / f"{task.name}-{seed}"
    few(task, seed, bench.datasets).write(folder)
    found = run_system(system, folder, seed, task.iterations, bench.threads)
    return {**_judged(folder, found), "threads": bench.threads}


def _judged(folder: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    given = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    truth, guesses = np.array(given["test"]["label"]), np.array(found["guesses"])
    rows = {"train": len(given["train"]["label"]), "test": len(truth)}
    return {**{k: v for k, v in found.items() if k != "guesses"}, "metrics": scores(truth, guesses), "rows": rows}


def speed(bench: Bench, tasks: Sequence[Task], seed: int, rounds: int) -> None:
    """Seconds of training of ours and setfit on the same rows, in turns."""
    for task in tasks:
        bench.part(
            f"speed/{task.name}", ["speed 1", seed, rounds, task.iterations], partial(_turns, bench, task, seed, rounds)
        )


def _turns(bench: Bench, task: Task, seed: int, rounds: int) -> dict[str, Any]:
    folder = bench.work / f"{task.name}-{seed}"
    few(task, seed, bench.datasets).write(folder)
    taken: dict[str, list[dict[str, float]]] = {"few-shot": [], PEER: []}
    for turn in range(rounds):
        for system in list(taken)[:: 1 if turn % 2 == 0 else -1]:
            found = run_system(system, folder, seed, task.iterations, bench.threads)
            taken[system].append({"seconds": found["seconds"], "cpu_seconds": found["cpu_seconds"]})
    ratios = {
        kind: [peer[kind] / own[kind] for own, peer in zip(taken["few-shot"], taken[PEER], strict=True)]
        for kind in ("seconds", "cpu_seconds")
    }
    return {"turns": taken, "times_faster": ratios, "threads": bench.threads, "rounds": rounds}


def zero(bench: Bench) -> None:
    """No labelled row at all."""
    from benchmarks.fewlabels_more import WAYS, ZERO, zero_shot

    for way in WAYS:
        for name in ZERO:
            # A language model would read 77 labels after each of BANKING77's questions.
            if name != "banking77" or way.startswith("names"):
                bench.part(f"zero-shot/{name}/{way}", ["zero-shot 1"], partial(zero_shot, name, way, bench.datasets))


def transfers(bench: Bench, seeds: Sequence[int]) -> None:
    """PhraseBank with 64 per class, from the backbone and from what was tuned on other data, labelled or not."""
    from benchmarks.fewlabels_more import STARTS, transfer

    task = next(task for task in TASKS if task.name == "phrasebank-64")
    for seed in seeds:
        for start in STARTS:
            measure = partial(transfer, start, task, seed, bench.datasets, bench.work)
            bench.part(f"transfer/{task.name}/{seed}/{start}", ["transfer 1", seed, start], measure)


def errors(bench: Bench, show: int) -> None:
    """Doubtful labels of BANKING77."""
    from benchmarks.fewlabels_more import label_errors

    bench.part("errors/banking77", ["errors 1"], partial(label_errors, bench.datasets, show))


def advices(bench: Bench, minutes: float) -> None:
    """``headwater compare`` on 200 rows of three sets."""
    from benchmarks.fewlabels_advice import JUDGED, ROWS, SEED, SETS, advice

    for number, name in enumerate(SETS):
        work = bench.work / f"advice-{number}"
        measure = partial(advice, name, bench.datasets, work, minutes)
        bench.part(f"advice/{name}", ["advice 3", ROWS, JUDGED, SEED, minutes], measure)


PARTS = ("zero-shot", "errors", "few-shot", "transfer", "advice", "speed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fewlabels", description="Few labels, or none.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--tasks", nargs="+", choices=[task.name for task in TASKS], help="only these")
    parser.add_argument("--systems", nargs="+", choices=(PEER, *SYSTEMS), default=[PEER, *COMPARED])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--rounds", type=int, default=3, help="turns of the speed part")
    parser.add_argument("--minutes", type=float, default=5.0, help="what headwater compare is given")
    parser.add_argument("--show", type=int, default=0, help="so many doubtful labels, on the terminal only")
    parser.add_argument("--threads", type=int, default=2, help="of each system")
    parser.add_argument("--out", type=Path, default=store.RESULTS / "fewlabels.json")
    parser.add_argument("--fresh", action="store_true", help="measure finished parts again")
    options = parser.parse_args(arguments)
    settings = get_settings()
    work = settings.cache / "fewlabels"
    bench = Bench(options.out, settings.datasets, work, options.threads, options.fresh)
    tasks = [task for task in TASKS if not options.tasks or task.name in options.tasks]
    run: Mapping[str, Callable[[], None]] = {
        "zero-shot": lambda: zero(bench),
        "errors": lambda: errors(bench, options.show),
        "few-shot": lambda: few_shot(bench, tasks, options.systems, options.seeds),
        "transfer": lambda: transfers(bench, options.seeds),
        "advice": lambda: advices(bench, options.minutes),
        "speed": lambda: speed(bench, tasks, options.seeds[0], options.rounds),
    }
    for part in options.parts:
        run[part]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
