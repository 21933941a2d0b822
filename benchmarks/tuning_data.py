"""The two tuning jobs that are timed, and the rows every system gets."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.recipes import shipped
from core.data.load import Dataset, load
from core.settings import get_settings
from core.tuning.recipe import Recipe

DATASETS: dict[str, tuple[str, dict[str, Any]]] = {
    "banking77": (
        "intents",
        {
            "train": {"path": "{datasets}/banking77/train.csv", "format": "banking77"},
            "test": {"path": "{datasets}/banking77/test.csv", "format": "banking77"},
        },
    ),
    "phrasebank": (
        "finance-sentiment",
        {
            "train": {"path": "{datasets}/phrasebank/Sentences_50Agree.txt", "format": "phrasebank"},
            "test": 0.2,
        },
    ),
}
"""Shipped recipe and [data] table of each job."""


@dataclass(frozen=True)
class Job:
    """What one system is to train on. ``changes`` are fields of our recipe; peers have fixed settings."""

    system: str
    dataset: str
    epochs: float
    rows: int | None = None
    test_rows: int | None = None
    seed: int = 7
    peer_learning_rate: float = 5e-5
    steps: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def recipe_of(job: Job, datasets: Path | None = None) -> Recipe:
    """Our recipe for the job: the shipped one, with the job's epochs, seed and changes.

    The last epoch is kept: validation is then a mere observer, and may be the test rows (see ``fit_ours``).
    """
    stem, data = DATASETS[job.dataset]
    changes: dict[str, Any] = {"training.epochs": job.epochs, "training.keep": "last", **job.changes}
    if job.steps:
        changes["training.max_steps"] = job.steps
    return shipped(stem, f"bench-{job.dataset}", data, changes, datasets or get_settings().datasets, job.seed)


def rows_of(job: Job, recipe: Recipe) -> Dataset:
    """The checked data of the recipe, the same for every system; ``rows`` caps the training rows."""
    data = load(recipe.data, recipe.task, job.seed)
    if job.rows and job.rows < len(data.train):
        data = replace(data, train=data.train.sample(job.rows, random_state=job.seed).reset_index(drop=True))
    if job.test_rows and data.test is not None and job.test_rows < len(data.test):
        data = replace(data, test=data.test.sample(job.test_rows, random_state=job.seed).reset_index(drop=True))
    return data
