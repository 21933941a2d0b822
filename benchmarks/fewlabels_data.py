"""The rows of the few-label benchmark: n of each label for training, the same test rows for every system."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.recipes import PLACE, filled
from core.data.load import Dataset, load
from core.errors import InputError
from core.tuning.recipe import DataConfig, Recipe

SEEDS = (7, 8, 9, 10, 11)


@dataclass(frozen=True)
class Task:
    """One line of the few-shot table. ``metric`` is what is reported; ``data`` a [data] table without a limit.

    ``iterations`` bounds setfit's pairs where all of them would take hours (its option ``num_iterations``: so many
    times each text, once with its own label and once with another).
    """

    name: str
    shown: str
    data: Mapping[str, Any]
    per_class: int
    metric: str = "accuracy"
    iterations: int = 20


def _at(path: str, format: str) -> dict[str, str]:
    return {"path": f"{PLACE}/{path}", "format": format}


BANKING = {"train": _at("banking77/train.csv", "banking77"), "test": _at("banking77/test.csv", "banking77")}
PHRASES = {"train": _at("phrasebank/Sentences_50Agree.txt", "phrasebank"), "test": 0.2}
FILMS = {"train": _at("sst2/train.tsv", "sst2"), "test": _at("sst2/test.tsv", "sst2")}
TASKS = (
    Task("sst2-8", "SST-2, 8 per class", FILMS, 8),
    Task("phrasebank-8", "PhraseBank 50Agree, 8 per class", PHRASES, 8, "f1_macro"),
    Task("sst2-64", "SST-2, 64 per class", FILMS, 64, iterations=5),
    Task("phrasebank-64", "PhraseBank 50Agree, 64 per class", PHRASES, 64, "f1_macro", 5),
    Task("banking77-10", "BANKING77, 10 per class", BANKING, 10, iterations=5),
)


@dataclass(frozen=True)
class Few:
    """Labels as names; ``train`` and ``test`` have the columns text and label."""

    labels: tuple[str, ...]
    train: pd.DataFrame
    test: pd.DataFrame

    def write(self, folder: Path) -> Path:
        """``data.json`` for the systems' processes, labels as numbers."""
        folder.mkdir(parents=True, exist_ok=True)
        index = {label: number for number, label in enumerate(self.labels)}
        values: dict[str, Any] = {"labels": list(self.labels)}
        for name, rows in (("train", self.train), ("test", self.test)):
            values[name] = {"text": list(rows["text"]), "label": [index[label] for label in rows["label"]]}
        (folder / "data.json").write_text(json.dumps(values), encoding="utf-8")
        return folder


def few(task: Task, seed: int, datasets: Path) -> Few:
    """``task.per_class`` rows of each label, drawn with ``seed``, and all test rows.

    A test fraction is cut with the same seed before anything is drawn. Raises InputError when a file is missing.
    """
    data = _config(task.data, datasets)
    whole = load(data.model_copy(update={"validation": 0.001}), "classification", seed)
    pool = pd.concat([whole.train, whole.validation])
    drawn = pool.sample(frac=1, random_state=seed).groupby("label", sort=False).head(task.per_class)
    if whole.test is None:
        raise InputError(f"{task.name}: there are no test rows.")
    keep = ["text", "label"]
    return Few(
        tuple(sorted(pool["label"].unique())), drawn[keep].reset_index(drop=True), whole.test[keep].reset_index()
    )


def scores(truth: Any, guessed: Any) -> dict[str, float]:
    """Accuracy and macro-F1 of guesses of the same kind as ``truth``."""
    from sklearn.metrics import accuracy_score, f1_score

    macro = f1_score(truth, guessed, average="macro", zero_division=0)
    return {"accuracy": float(accuracy_score(truth, guessed)), "f1_macro": float(macro)}


def ready(
    method: str, rows: pd.DataFrame, labels: Sequence[str], seed: int, descriptions: Mapping[str, str] | None = None
) -> tuple[Recipe, Dataset]:
    """A way of ``headwater compare`` and its data; no row is spared to choose or calibrate by."""
    from core.fewlabels.contenders import tuned_recipe

    given = {"train": {"path": "none.csv"}, "descriptions": descriptions or {}}
    values: dict[str, Any] = {"name": "few", "task": "classification", "data": given}
    values |= {"training": {"seed": seed, "max_length": 128}, "tracking": {"report_to": []}}
    data = Dataset(rows, rows.head(1), None, list(labels), [], {}, "")
    return tuned_recipe(method, Recipe.parse(values), rows), data


def _config(data: Mapping[str, Any], datasets: Path) -> DataConfig:
    values = {
        part: {**given, "path": filled(given["path"], datasets)} if isinstance(given, Mapping) else given
        for part, given in data.items()
    }
    for given in values.values():
        if isinstance(given, Mapping) and not given["path"].is_file():
            raise InputError(f"{given['path'].name} is missing; fetch the data set or set HEADWATER_DATASETS.")
    return DataConfig.model_validate(values)
