"""One line of progress on stderr: loss, metric, examples per second, time left."""

import sys
import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Progress(TrainerCallback):
    """A tqdm bar over all steps of the run; silent on every process but the first."""

    def __init__(self, examples_per_step: int, metric: str) -> None:
        self.examples_per_step = examples_per_step
        self.metric = metric
        self.bar: Any = None
        self.shown: dict[str, str] = {}
        self.seconds = 0.0
        self.steps = 0
        self.started = 0.0

    @property
    def examples_per_second(self) -> float:
        """Training throughput of the steps alone, without validation and saving."""
        return self.steps * self.examples_per_step / self.seconds if self.seconds else 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar, at the step where a resumed run goes on."""
        if state.is_world_process_zero:
            from tqdm import tqdm

            self.bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                file=sys.stderr,
                unit="step",
                mininterval=0.5,
            )
        self.started = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Advance and show the throughput so far."""
        now = time.perf_counter()
        self.seconds += now - self.started
        self.started = now
        self.steps += 1
        if self.bar is not None:
            self.shown["examples/s"] = f"{self.examples_per_second:.0f}"
            self.bar.set_postfix(self.shown, refresh=False)
            self.bar.update(state.global_step - self.bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Any = None,
        **kwargs: Any,
    ) -> None:
        """Show the latest loss and validation metric."""
        for key, name in (("loss", "loss"), (f"eval_{self.metric}", self.metric)):
            if key in (logs or {}):
                self.shown[name] = f"{logs[key]:.4f}"

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Validation time is not training time."""
        self.started = time.perf_counter()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Nor is the writing of a checkpoint."""
        self.started = time.perf_counter()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
