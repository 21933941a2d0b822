"""One process of the tuning benchmark: trains one system, in segments on command or once with its accuracy.

``python -m benchmarks.tuning_worker segments|accuracy JOB`` with JOB as JSON; ``benchmarks.tuning`` starts it.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.interleave import Channel, Meter, Stopped, worker_channel
from benchmarks.recipes import test_rows
from benchmarks.tuning_data import Job, recipe_of, rows_of

OURS = "headwater"
FOREVER = 10_000


class Stopwatch:
    """Seconds since it was made, without those spent inside ``paused``."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.away = 0.0

    @property
    def seconds(self) -> float:
        """What was not paused."""
        return time.perf_counter() - self.started - self.away

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do something that is not to be counted."""
        before = time.perf_counter()
        yield
        self.away += time.perf_counter() - before


def segments(job: Job, channel: Channel) -> None:
    """Train until the controller stops it; the meter answers each command with a segment."""
    meter = Meter(channel)
    try:
        if job.system == OURS:
            while True:
                _our_segments(job, meter)
        from benchmarks.tuning_peers import PEERS

        recipe = recipe_of(job)
        PEERS[job.system](
            replace(job, epochs=FOREVER),
            recipe.backbone,
            rows_of(job, recipe),
            meter.mark,
            lambda epoch, model, tokenizer: meter.interrupt(),
        )
    except (Stopped, EOFError):
        return


def _our_segments(job: Job, meter: Meter) -> None:
    """The product's ``fit`` itself: its trainer logs every few steps, and each log is a mark.

    Validation and checkpoint come between two logs, which the validation's own log gives away.
    """
    from core.tuning.run import fit

    recipe = recipe_of(job)
    data = rows_of(job, recipe)
    data = replace(data, validation=data.validation.head(256))  # its time is not measured here
    batch, rows, last = recipe.training.batch_size * recipe.training.accumulation, len(data.train), 0

    def report(metrics: dict[str, float], step: int) -> None:
        nonlocal last
        if "loss" in metrics:
            meter.mark(rows_after(step, batch, rows) - rows_after(last, batch, rows))
            last = step
        else:
            meter.interrupt()

    with tempfile.TemporaryDirectory() as work:
        fit(recipe, data, Path(work), report=report)
    meter.interrupt()


def rows_after(step: int, batch: int, rows: int) -> int:
    """Rows seen after so many steps, when an epoch's last batch holds what is left."""
    per_epoch = -(-rows // batch)
    return step // per_epoch * rows + min(step % per_epoch * batch, rows)


def accuracy(job: Job) -> dict[str, Any]:
    """Train once; accuracy on all test rows after each epoch, against the seconds of training till then."""
    result = _our_accuracy(job) if job.system == OURS else _peer_accuracy(job)
    import torch

    # The controller that started this process imports no model library, so what is inherited is small.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**result, "peak_memory_mb": round(peak, 1), "threads": torch.get_num_threads()}


def _peer_accuracy(job: Job) -> dict[str, Any]:
    from benchmarks.tuning_peers import PEERS, predict

    recipe = recipe_of(job)
    data = rows_of(job, recipe)
    test = test_rows(data)
    index = {label: i for i, label in enumerate(data.labels)}
    truth = [index[label] for label in test["label"]]
    curve: list[dict[str, float]] = []
    seen, last, stepping = 0, 0.0, 0.0
    watch = Stopwatch()

    def on_step(rows: int) -> None:
        nonlocal seen, last, stepping
        now = watch.seconds
        if seen:  # the first step also carries what came before it
            stepping += now - last
        seen, last = seen + rows, now

    def on_epoch(epoch: float, model: Any, tokenizer: Any) -> None:
        with watch.paused():
            guessed = predict(model, tokenizer, list(test["text"]))
        right = sum(a == b for a, b in zip(guessed, truth, strict=True)) / len(truth)
        curve.append({"epoch": float(epoch), "seconds": watch.seconds, "accuracy": right})
        _say(f"{job.system}: epoch {epoch:g}: {right:.4f} after {watch.seconds:.0f} s")

    PEERS[job.system](job, recipe.backbone, data, on_step, on_epoch)
    return {
        "curve": curve,
        "accuracy": curve[-1]["accuracy"],
        "wall_seconds": watch.seconds,
        "step_seconds": stepping,
        "examples_per_second": seen / stepping if stepping else None,
        "train_rows": len(data.train),
        "test_rows": len(truth),
    }


def _our_accuracy(job: Job) -> dict[str, Any]:
    """The product's ``fit`` with the test rows where validation rows go: it scores them after each epoch.

    The recipe keeps the last epoch and has no early stopping, so nothing is chosen by those scores.
    """
    from core.tuning.run import fit

    recipe = recipe_of(job)
    data = rows_of(job, recipe)
    test = test_rows(data)
    data = replace(data, validation=test)
    curve: list[dict[str, float]] = []
    scoring = 0.0
    watch = Stopwatch()

    def report(metrics: dict[str, float], step: int) -> None:
        nonlocal scoring
        if "eval_accuracy" in metrics:
            scoring += metrics["eval_runtime"]
            point = {
                "epoch": metrics["epoch"],
                "seconds": watch.seconds - scoring,
                "accuracy": metrics["eval_accuracy"],
            }
            curve.append(point)

    with tempfile.TemporaryDirectory() as work:
        fitted = fit(recipe, data, Path(work), report=report)
        wall = watch.seconds - scoring
    speed = fitted.outcome.examples_per_second
    seen = len(data.train) * curve[-1]["epoch"]
    return {
        "curve": curve,
        "accuracy": curve[-1]["accuracy"],
        "wall_seconds": wall,
        "step_seconds": seen / speed if speed else None,
        "examples_per_second": speed,
        "stages": fitted.outcome.stages,
        "method": recipe.method,
        "trainable_parameters": fitted.built.trainable_parameters,
        "train_rows": len(data.train),
        "test_rows": len(test),
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    mode, job = sys.argv[1], Job(**json.loads(sys.argv[2]))
    channel = worker_channel()
    if mode == "segments":
        segments(job, channel)
    else:
        channel.send(accuracy(job))


if __name__ == "__main__":
    main()
