"""Where a training run is recorded: MLflow, TensorBoard event files, Weights & Biases."""

import importlib.util
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core.errors import InputError, MissingExtra
from core.settings import Settings

if TYPE_CHECKING:
    from core.serving.mlflow_client import MlflowClient

log = logging.getLogger(__name__)
PARAM_LIMIT, TAG_LIMIT = 6000, 8000  # MLflow's, in characters
Point = tuple[str, float, int, int]  # metric, value, milliseconds since 1970, step


@dataclass(frozen=True)
class RunStart:
    """What a backend learns when a run starts. ``ids``: what each backend called the run it resumes."""

    run_id: str
    experiment: str
    run_name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    attempt: int = 1
    ids: Mapping[str, str] = field(default_factory=dict)


class Backend(Protocol):
    """One place that records runs; any of its methods may raise, the tracker carries on."""

    def start(self, run: RunStart) -> str:
        """Open or resume the run; returns the backend's own id for it."""

    def log(self, points: Sequence[Point]) -> None:
        """Record metric values."""

    def artifact(self, path: Path) -> None:
        """Keep a file or folder with the run."""

    def finish(self, status: str) -> None:
        """Close the run: FINISHED, FAILED or KILLED."""


def shorten(value: str, limit: int) -> str:
    """Cut a text to ``limit`` characters, with a note of its full length."""
    if len(value) <= limit:
        return value
    note = f" ... [cut, {len(value)} characters in full]"
    return value[: limit - len(note)] + note


class MlflowBackend:
    """MLflow's tracking, through the registry's client."""

    def __init__(self, settings: Settings) -> None:
        """Connects at ``start``."""
        self.settings = settings
        self._client: MlflowClient | None = None
        self._run = ""

    def start(self, run: RunStart) -> str:
        """Create the experiment and the run, or reopen the run of an earlier attempt."""
        from core.serving import mlflow_client

        client = self._client = mlflow_client.connect(self.settings)
        self._run = self._reopen(client, run) or self._create(client, run)
        tags = {key: shorten(value, TAG_LIMIT) for key, value in run.tags.items()}
        tags |= {"headwater.run": run.run_id, "headwater.attempt": str(run.attempt)}
        # A resumed run has its parameters already, and MLflow refuses to change them.
        resumed = run.ids.get("mlflow") == self._run
        params = {} if resumed else {k: shorten(value, PARAM_LIMIT) for k, value in run.params.items()}
        mlflow_client.log_to_run(client, self._run, params=params, tags=tags)
        if "recipe" in run.tags and not resumed:
            client.log_text(self._run, run.tags["recipe"], "recipe.toml")
        return self._run

    def _reopen(self, client: "MlflowClient", run: RunStart) -> str | None:
        known = run.ids.get("mlflow")
        if known is None:
            return None
        try:
            client.update_run(known, status="RUNNING")
        except Exception as error:  # deleted, or the database was replaced: a new run is as good
            log.info("MLflow run %s cannot be resumed (%s); a new one is started", known, error)
            return None
        return known

    def _create(self, client: "MlflowClient", run: RunStart) -> str:
        experiment = client.get_experiment_by_name(run.experiment)
        if experiment is None:
            from core.serving.mlflow_client import artifact_root

            # MLflow's default would be a folder below whatever the current directory is.
            local = self.settings.mlflow_uri.startswith("sqlite")
            place = f"{artifact_root(self.settings)}/{run.experiment}" if local else None
            try:
                experiment_id = client.create_experiment(run.experiment, artifact_location=place)
            except Exception:  # another process may have created it meanwhile
                experiment = client.get_experiment_by_name(run.experiment)
                if experiment is None:
                    raise
        if experiment is not None:
            experiment_id = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":
                client.restore_experiment(experiment_id)
        return str(client.create_run(experiment_id, run_name=run.run_name).info.run_id)

    def log(self, points: Sequence[Point]) -> None:
        """Record metric values in as few transactions as MLflow's limits allow."""
        from core.serving.mlflow_client import log_to_run

        log_to_run(self._opened(), self._run, metrics=points)

    def artifact(self, path: Path) -> None:
        """Copy a file, or a folder under its own name, to the run's artefacts."""
        if path.is_dir():
            self._opened().log_artifacts(self._run, str(path), path.name)
        else:
            self._opened().log_artifact(self._run, str(path))

    def finish(self, status: str) -> None:
        """Set the run's final status and end time."""
        self._opened().set_terminated(self._run, status)

    def _opened(self) -> "MlflowClient":
        if self._client is None:
            raise RuntimeError("the run has not been started")
        return self._client


class TensorBoardBackend:
    """Event files in ``var/tensorboard/<run>``; a resumed run goes on in the same folder."""

    def __init__(self, settings: Settings) -> None:
        """Refuses at once when tensorboard is not installed."""
        if importlib.util.find_spec("tensorboard") is None:
            raise MissingExtra("report_to tensorboard", "pip install tensorboard")
        self.root = settings.var / "tensorboard"
        self._writer: Any = None

    def start(self, run: RunStart) -> str:
        """Choose the folder: the resumed one, or the first unused name."""
        self.run = run
        used, name = 1, run.ids.get("tensorboard") or run.run_id
        while "tensorboard" not in run.ids and (self.root / name).exists():
            used += 1
            name = f"{run.run_id}-{used}"
        self.folder = self.root / name
        self.folder.mkdir(parents=True, exist_ok=True)
        return name

    def log(self, points: Sequence[Point]) -> None:
        """Append scalars; the first step after a resumption hides later steps of the attempt before."""
        if not points:
            return
        writer = self._open(first_step=points[0][3])
        for name, value, at, step in points:
            writer.add_scalar(name, value, global_step=step, walltime=at / 1000)

    def artifact(self, path: Path) -> None:
        """Event files hold no artefacts."""

    def finish(self, status: str) -> None:
        """Write the status and close the event file."""
        writer = self._open(first_step=None)
        writer.add_text("status", status)
        writer.close()
        self._writer = None

    def _open(self, first_step: int | None) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            purge = first_step if "tensorboard" in self.run.ids else None
            # Readers sort event files by name, and the name begins with the second the file was opened in:
            # a run resumed within that second could be read before the attempt it goes on from.
            while any(self.folder.glob(f"events.out.tfevents.{int(time.time()):010d}.*")):
                time.sleep(0.05)
            self._writer = SummaryWriter(str(self.folder), purge_step=purge, flush_secs=10)
            for kind, values in (("params", self.run.params), ("tags", self.run.tags)):
                rows = "".join(f"| {key} | {shorten(str(text), 500)} |\n" for key, text in values.items())
                self._writer.add_text(kind, f"| name | value |\n|---|---|\n{rows}")
        return self._writer


class WandbBackend:
    """Weights & Biases; WANDB_MODE=offline records under ``var/wandb`` without a network."""

    def __init__(self, settings: Settings) -> None:
        """Refuses at once when wandb is not installed."""
        if importlib.util.find_spec("wandb") is None:
            raise MissingExtra("report_to wandb", 'pip install "headwater[wandb]"')
        self.folder = settings.var / "wandb"
        self._run: Any = None

    def start(self, run: RunStart) -> str:
        """Open or resume the run; nothing is asked on the terminal and nothing waits longer than 30 s."""
        import wandb

        self.folder.mkdir(parents=True, exist_ok=True)
        known = run.ids.get("wandb") or wandb.util.generate_id()
        self._run = wandb.init(
            project=run.experiment,
            name=run.run_name,
            id=known,
            resume="allow",
            dir=str(self.folder.resolve()),
            config={**run.params, **{f"tag.{key}": value for key, value in run.tags.items()}},
            mode=os.environ.get("WANDB_MODE") or None,
            settings=wandb.Settings(init_timeout=30, login_timeout=10),
        )
        return str(known)

    def log(self, points: Sequence[Point]) -> None:
        """Record metric values, grouped by step."""
        steps: dict[int, dict[str, float]] = {}
        for name, value, _, step in points:
            steps.setdefault(step, {})[name] = value
        for step, values in steps.items():
            self._run.log(values, step=step)

    def artifact(self, path: Path) -> None:
        """Upload a file, or a folder as an artefact of its own."""
        if path.is_dir():
            self._run.log_artifact(str(path), name=path.name, type="model")
        else:
            self._run.save(str(path), base_path=str(path.parent), policy="now")

    def finish(self, status: str) -> None:
        """Close the run; anything but FINISHED counts as failed there."""
        self._run.finish(exit_code=0 if status == "FINISHED" else 1)


BACKENDS: dict[str, Callable[[Settings], Backend]] = {
    "mlflow": MlflowBackend,
    "tensorboard": TensorBoardBackend,
    "wandb": WandbBackend,
}


def open_backend(name: str, settings: Settings) -> Backend:
    """A backend by name. Raises InputError for an unknown one, MissingExtra for one that is not installed."""
    if name not in BACKENDS:
        raise InputError(f"tracking.report_to: {name!r} is unknown; choose from {', '.join(BACKENDS)}.")
    return BACKENDS[name](settings)
