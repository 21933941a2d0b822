"""From a recipe to a judged, calibrated, documented and registered model: what ``headwater tune`` does."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from core.data.load import Dataset, load
from core.errors import InputError
from core.model_folder import TunedModel, write_model
from core.settings import Settings, get_settings
from core.tuning.recipe import Recipe


def tune(
    recipe: Recipe, register: bool = True, reuse: bool = False, settings: Settings | None = None
) -> TunedModel | None:
    """Tune, calibrate, evaluate, write the folder, track the run and register the version.

    A run that was killed goes on from its last checkpoint when the same recipe is tuned on the same data
    again; with ``reuse``, one that was finished is not run again. Under ``accelerate launch`` only the first
    process returns a model; the others return None.
    Raises InputError for anything that the recipe or the data must mend.
    """
    settings = settings or get_settings()
    parent = _parent(recipe)
    data = load(recipe.data, recipe.task, recipe.training.seed)
    key = hashlib.sha256((recipe.to_toml() + data.fingerprint).encode()).hexdigest()[:12]
    home = settings.runs / f"{recipe.name}-{key}"
    work = home.with_name(f".{home.name}.work")
    if reuse and (earlier := _earlier(home, register, settings)) is not None:
        return earlier
    if int(os.environ.get("RANK", "0")) > 0:
        from core.tuning.run import fit

        fit(recipe, data, work, parent)
        return None
    with _sole_owner(home), _tracked(recipe, data, key, settings) as tracker:
        from core.tuning.run import fit

        run_id = tracker.mlflow_run_id
        fitted = fit(recipe, data, work, parent, report=tracker.log)
        folder = home.with_name(f".{home.name}.new")
        shutil.rmtree(folder, ignore_errors=True)
        model = write_model(folder, recipe, data, fitted, parent)
        _replace(folder, home)
        shutil.rmtree(work, ignore_errors=True)
        for name in (
            "README.md",
            "metrics.json",
            "recipe.toml",
            "history.png",
            "confusion.png",
            "reliability.png",
        ):
            if (home / name).is_file():
                tracker.artifact(home / name)
        tracker.log(
            {f"{model.measured_on}_{k}": v["value"] for k, v in model.metrics.items() if v["value"] is not None},
            0,
        )
    version = None
    if register:
        from core.serving.registry import Registry

        registry = Registry(settings)
        metrics = {name: value["value"] for name, value in model.metrics.items()}
        version = registry.register(recipe.name, home, metrics, recipe.to_toml(), data.fingerprint, run_id)
        model = replace(model, path=registry.resolve(f"{recipe.name}:{version}"), version=version)
        (home / "version").write_text(str(version), encoding="utf-8")
        return model
    return replace(model, path=home)


def evaluate(
    reference: str | Path, data: Path, format: str = "auto", text: str | None = None, label: str | None = None
) -> dict[str, Any]:
    """Judge a tuned model on a file of labelled rows; returns the judgement as plain values.

    Columns are those of the model's recipe unless ``text`` or ``label`` name others.
    """
    from core.data.readers import read
    from core.data.sources import Source
    from core.data.table import Task
    from core.data.views import HELD_OUT, with_views
    from core.evaluation.judge import Model, judge
    from core.serving.predictor import load_predictor

    predictor = load_predictor(reference)
    recipe, loaded = predictor.recipe, predictor.loaded
    given = {k: v for k, v in (("text", text), ("label", label)) if v}
    columns = recipe.data.columns.model_copy(update=given)
    kind: Task = "unlabelled" if recipe.data.unlabelled else recipe.task
    table = read(Source(path=data, format=format), kind, columns, recipe.data.multi_label)
    rows = table.frame
    blank = rows.isna().any(axis=1) if recipe.task != "classification" else rows[["text", "label"]].isna().any(axis=1)
    model = Model(loaded.model, loaded.tokenizer, loaded.base, recipe, loaded.labels, predictor.temperature)
    rows = rows[~blank]
    if recipe.data.unlabelled:
        rows = with_views(rows, HELD_OUT, recipe.training.seed)
    judgement = judge(model, rows)
    findings = [f.to_dict() for f in table.findings]
    return {"model": str(reference), "data": str(data), **judgement.to_dict(), "findings": findings}


def _parent(recipe: Recipe) -> Path | None:
    if recipe.start_from is None:
        return None
    from core.serving.predictor import find_model
    from core.tuning.artifact import read_recipe

    folder = find_model(recipe.start_from)
    task = read_recipe(folder).task
    encoders = {"classification", "matching", "ranking"}
    if task != recipe.task and not {task, recipe.task} <= encoders:
        raise InputError(f"start_from: {recipe.start_from} was tuned for {task}, which cannot start {recipe.task}.")
    return folder


def _earlier(home: Path, register: bool, settings: Settings) -> TunedModel | None:
    """The finished run in ``home``, registered if it has to be; None when there is none."""
    try:
        written = json.loads((home / "metrics.json").read_text(encoding="utf-8"))
        version = int((home / "version").read_text()) if register else None
    except (OSError, ValueError):
        return None
    path = home
    if version is not None:
        from core.serving.registry import Registry

        try:
            path = Registry(settings).resolve(f"{written['name']}:{version}")
        except InputError:
            return None
    known = {f.name for f in fields(TunedModel)}
    return TunedModel(**{**{k: v for k, v in written.items() if k in known}, "path": path, "version": version})


@contextlib.contextmanager
def _sole_owner(home: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home.with_name(f".{home.name}.lock"), timeout=0):
            yield
    except Timeout:
        raise InputError(f"{home.name}: another process is tuning this recipe right now; wait for it.") from None


@contextlib.contextmanager
def _tracked(recipe: Recipe, data: Dataset, key: str, settings: Settings) -> Iterator[Any]:
    from core.serving.tracking import RunTracker

    tracker = RunTracker(settings, recipe.tracking.report_to)
    tracker.start(
        recipe.tracking.experiment,
        f"{recipe.name}-{key}",
        params=_flat(recipe.model_dump(mode="json", exclude_none=True)),
        tags={"fingerprint": data.fingerprint, "recipe": recipe.to_toml(), "task": recipe.task},
    )
    try:
        yield tracker
    except BaseException:
        tracker.finish("FAILED")
        raise
    tracker.finish("FINISHED")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _replace(new: Path, home: Path) -> None:
    """Put a finished folder in place of an older one of the same run."""
    old = home.with_name(f".{home.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if home.exists():
        home.rename(old)
    new.rename(home)
    shutil.rmtree(old, ignore_errors=True)
