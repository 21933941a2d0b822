"""Where a training step of ours spends its time: torch.profiler over the product's own ``fit``."""

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.interleave import Stopped
from benchmarks.tuning_data import Job, recipe_of, rows_of

WARMUP = 5
STEPS = 20


def profile(job: Job, warmup: int = WARMUP, steps: int = STEPS, rows: int = 25) -> str:
    """The operators that take most time over ``steps`` training steps, after ``warmup`` steps, as a table."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorder

    from core.tuning.run import fit

    # Fewer than 200 steps in all make the trainer log every step, and each log calls ``report``.
    recipe = recipe_of(replace(job, steps=warmup + steps + 1))
    data = rows_of(job, recipe)
    data = replace(data, validation=data.validation.head(64))  # only training steps are of interest
    made = recorder(activities=[ProfilerActivity.CPU])

    def report(metrics: dict[str, float], step: int) -> None:
        if step == warmup:
            made.start()
        elif step == warmup + steps:
            made.stop()
            raise Stopped

    with tempfile.TemporaryDirectory() as work, contextlib.suppress(Stopped):
        fit(recipe, data, Path(work), report=report)
    table = made.key_averages().table(sort_by="self_cpu_time_total", row_limit=rows, max_name_column_width=60)
    batch = recipe.training.batch_size
    return f"{job.dataset}, {recipe.method}, batch {batch}, {steps} steps from the {warmup + 1}th\n{table}"
