"""What every task's trainer shares: arguments, callbacks, checkpoints, resume."""

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, Trainer, TrainerCallback
from transformers.utils import SAFE_WEIGHTS_NAME

from core.tuning.optimiser import GradualUnfreezing, RankBudget, parameter_groups
from core.tuning.progress import Progress
from core.tuning.recipe import Recipe

Report = Callable[[dict[str, float], int], None]


@dataclass
class Outcome:
    """What a finished training leaves besides the weights in the model."""

    history: list[dict[str, float]]
    seconds: float
    examples_per_second: float
    best_epoch: float | None = None
    stages: dict[str, float] = field(default_factory=dict)


def total_steps(recipe: Recipe, rows: int) -> int:
    """Optimiser steps of the whole run on this many processes."""
    if recipe.training.max_steps:
        return recipe.training.max_steps
    per_step = recipe.training.batch_size * recipe.training.accumulation * _processes()
    return max(1, math.ceil(math.ceil(rows / per_step) * recipe.training.epochs))


def native_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 matrices itself (AVX-512 BF16 or AMX) instead of by emulation."""
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def arguments(
    kind: type, recipe: Recipe, work: Path, rows: int, metric: str, checkpoints_from: int = 0, **extra: Any
) -> Any:
    """Trainer arguments of class ``kind``: one validation and one checkpoint per epoch, best one kept.

    A training of fewer than ``checkpoints_from`` steps whose last state is kept writes no checkpoint: it is sooner
    done again than written down.
    """
    training = recipe.training
    cuda = torch.cuda.is_available()
    native = torch.cuda.is_bf16_supported() if cuda else native_bfloat16()
    bf16 = training.precision == "bfloat16" or (training.precision == "auto" and native)
    steps = total_steps(recipe, rows)
    return kind(
        output_dir=str(work),
        num_train_epochs=training.epochs,
        max_steps=training.max_steps or -1,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.eval_batch_size,
        gradient_accumulation_steps=training.accumulation,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule,
        warmup_steps=int(training.warmup * steps),
        weight_decay=training.weight_decay,
        seed=training.seed,
        bf16=bf16,
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        optim="adamw_torch_fused",
        eval_strategy="epoch",
        save_strategy="epoch" if _keeps_best(recipe) or steps >= checkpoints_from else "no",
        save_total_limit=2,
        load_best_model_at_end=_keeps_best(recipe),
        metric_for_best_model=metric,
        greater_is_better=not metric.endswith("loss"),
        logging_strategy="steps",
        logging_steps=max(1, steps // 100),
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        ddp_find_unused_parameters=training.unfreeze_every is not None,
        **extra,
    )


def optimisers(model: nn.Module, backbone: Any, recipe: Recipe) -> Any:
    """Fused AdamW with the recipe's layer-wise rates, and no schedule: the trainer makes that."""
    groups = parameter_groups(model, backbone, recipe.training)
    return torch.optim.AdamW(groups, lr=recipe.training.learning_rate, fused=True), None


class _LightCheckpoints:
    """Mixin for a Trainer: a checkpoint holds the weights that training moves, and is read back into them.

    The libraries' own checkpoints cannot restore every model here: sentence-transformers would build its
    modules anew, and peft keeps the output of a prompt encoder in place of its weights.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Taken now: gradual unfreezing closes and opens weights later.
        self.kept = [n for n, p in self.model.named_parameters() if p.requires_grad]  # type: ignore[attr-defined]

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        from safetensors.torch import save_file

        folder = Path(output_dir or self.args.output_dir)  # type: ignore[attr-defined]
        folder.mkdir(parents=True, exist_ok=True)
        state = self.model.state_dict()  # type: ignore[attr-defined]
        save_file({name: state[name].contiguous() for name in self.kept}, folder / SAFE_WEIGHTS_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        from safetensors.torch import load_file

        weights = load_file(Path(resume_from_checkpoint) / SAFE_WEIGHTS_NAME)
        if set(weights) != set(self.kept):
            raise ValueError(f"{resume_from_checkpoint} holds other weights than this training moves")
        self.model.load_state_dict(weights, strict=False)  # type: ignore[attr-defined]

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(self.state.best_model_checkpoint)  # type: ignore[attr-defined]


def with_light_checkpoints(kind: type) -> Any:
    """The trainer class ``kind``, whose checkpoints hold the trained weights only."""
    return type(kind.__name__, (_LightCheckpoints, kind), {})


def train(trainer: Trainer, recipe: Recipe, backbone: Any, metric: str, report: Report | None = None) -> Outcome:
    """Run the trainer, from the last whole checkpoint if there is one.

    ``report(metrics, step)`` receives every loss and validation result as it comes.
    """
    import time

    training = recipe.training
    for unwanted in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(unwanted)
    per_step = training.batch_size * training.accumulation * trainer.args.world_size
    progress = Progress(per_step, metric)
    trainer.add_callback(progress)
    if report is not None:
        trainer.add_callback(_Reporter(report))
    if training.patience:
        trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=training.patience))
    if training.unfreeze_every:
        trainer.add_callback(GradualUnfreezing(backbone, training.unfreeze_every))
    if recipe.method == "adalora":
        trainer.add_callback(RankBudget(backbone))
    needed = (RankBudget.FILE,) if recipe.method == "adalora" else ()
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(Path(str(trainer.args.output_dir)), needed))
    seconds = time.perf_counter() - started
    # What follows judges the model as it will be loaded, so without the bfloat16 of its training.
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    best = trainer.state.best_global_step if _keeps_best(recipe) else None
    epoch_of = {e["step"]: e["epoch"] for e in trainer.state.log_history}
    return Outcome(
        history=_history(trainer.state.log_history),
        seconds=seconds,
        examples_per_second=progress.examples_per_second,
        best_epoch=epoch_of.get(best) if best else None,
    )


def last_whole_checkpoint(work: Path, needed: Sequence[str] = ()) -> str | None:
    """The newest checkpoint that was written to its end; a torn one is removed.

    The trainer writes ``trainer_state.json`` last, so a folder without it was cut off; ``needed`` are files
    that callbacks write even later.
    """
    found = sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    for folder in reversed(found):
        state = folder / "trainer_state.json"
        whole = state.is_file() and state.read_bytes().rstrip().endswith(b"}")
        if whole and all((folder / name).is_file() for name in needed):
            return str(folder)
        shutil.rmtree(folder, ignore_errors=True)  # another process of this training may remove it, too
    return None


def _history(log: list[dict[str, float]]) -> list[dict[str, float]]:
    """One row per epoch: mean training loss and the validation metrics."""
    rows, losses = [], []
    for entry in log:
        if "loss" in entry:
            losses.append(entry["loss"])
        elif any(key.startswith("eval_") for key in entry):
            metrics = {
                key.removeprefix("eval_"): value
                for key, value in entry.items()
                if key.startswith("eval_") and not key.endswith(("runtime", "per_second", "model_preparation_time"))
            }
            if "loss" in metrics:
                metrics["validation_loss"] = metrics.pop("loss")
            row = {"epoch": entry["epoch"], "step": entry["step"], **metrics}
            if losses:
                row["loss"] = sum(losses) / len(losses)
            rows.append(row)
            losses = []
    return rows


def _keeps_best(recipe: Recipe) -> bool:
    """AdaLoRA keeps its last state: an earlier checkpoint may hold more ranks than the budget allows."""
    return recipe.training.keep == "best" and recipe.method != "adalora"


def _processes() -> int:
    import os

    return int(os.environ.get("WORLD_SIZE", "1"))


class _Reporter(TrainerCallback):
    """Hand each logged number on to the tracker, from the first process only."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Numbers only; the tracker decides where they go."""
        if state.is_world_process_zero and logs:
            self.report({k: float(v) for k, v in logs.items() if isinstance(v, int | float)}, state.global_step)
