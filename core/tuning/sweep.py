"""Hyper-parameter search with Optuna: pruned by epoch, resumable, judged on validation rows only."""

import hashlib
import json
import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.data.load import Dataset, load
from core.errors import InputError
from core.settings import get_settings
from core.tuning.recipe import Recipe

METRIC = {"classification": "accuracy", "matching": "mrr@10", "ranking": "ndcg@10", "generation": "loss"}


@dataclass(frozen=True)
class Range:
    """What is tried for one field: a choice, or numbers between two bounds (by order of magnitude if ``log``)."""

    field: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def suggest(self, trial: Any) -> Any:
        """Optuna's next value."""
        if self.choices:
            return trial.suggest_categorical(self.field, list(self.choices))
        if self.whole:
            return trial.suggest_int(self.field, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.field, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class SweepReport:
    """The search so far. ``importance`` sums to 1 over the searched fields; None with fewer than four trials."""

    name: str
    metric: str
    best_value: float
    best: dict[str, Any]
    trials: list[dict[str, Any]]
    importance: dict[str, float] | None
    recipe: str
    study: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def parse_range(text: str) -> Range:
    """``field=1e-5..1e-3`` or ``field=16,32,64``. Raises InputError."""
    field, separator, values = text.partition("=")
    if not separator or not field or not values:
        raise InputError(f"--space {text!r}: write FIELD=LOW..HIGH or FIELD=A,B,C.")
    if ".." not in values:
        return Range(field, choices=tuple(_value(v) for v in values.split(",")))
    low, high = (_value(v) for v in values.split("..", 1))
    numeric = isinstance(low, int | float) and isinstance(high, int | float)
    if not numeric or not (math.isfinite(low) and math.isfinite(high)) or low >= high:
        raise InputError(f"--space {text!r}: LOW and HIGH are numbers, LOW the smaller.")
    whole = isinstance(low, int) and isinstance(high, int)
    return Range(field, low=low, high=high, log=low > 0 and high / low >= 10, whole=whole)


def default_space(recipe: Recipe) -> list[Range]:
    """Learning rate, batch size, and what the method has: rank, width, tokens or layers."""
    light = recipe.method in ("lora", "adalora", "ia3", "adapter", "prefix", "prompt", "p-tuning", "bitfit")
    low, high = (2e-4, 1e-2) if light else (2e-5, 5e-4)
    space = [
        Range("training.learning_rate", low=low, high=high, log=True),
        Range("training.batch_size", choices=(16, 32, 64)),
    ]
    if recipe.method in ("lora", "adalora"):
        space.append(Range("options.rank", choices=(4, 8, 16, 32)))
    if recipe.method == "adapter":
        space.append(Range("options.bottleneck", choices=(16, 48, 96)))
    if recipe.method in ("prefix", "prompt", "p-tuning"):
        space.append(Range("options.virtual_tokens", choices=(8, 16, 32)))
    if recipe.task == "classification":
        space.append(Range("training.label_smoothing", choices=(0.0, 0.05, 0.1)))
    return space


def sweep(recipe: Recipe, trials: int, space: list[str] | None = None) -> SweepReport:
    """Run until the study has ``trials`` finished trials; a study stopped at any point goes on.

    The test rows are not touched. The best recipe is written as TOML beside the study. Raises InputError.
    """
    import optuna

    ranges = [parse_range(text) for text in space or []] or default_space(recipe)
    for one in ranges:
        _with(recipe, {one.field: one.choices[0] if one.choices else (int(one.low) if one.whole else one.low)})
    data = load(recipe.data, recipe.task, recipe.training.seed)
    key = hashlib.sha256((recipe.to_toml() + data.fingerprint + repr(ranges)).encode()).hexdigest()[:12]
    folder = get_settings().var / "sweeps" / f"{recipe.name}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    metric = METRIC[recipe.task]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=recipe.name,
        storage=f"sqlite:///{folder / 'study.db'}",
        direction="minimize" if metric == "loss" else "maximize",
        sampler=optuna.samplers.TPESampler(seed=recipe.training.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        load_if_exists=True,
    )
    for stale in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(stale.number, state=optuna.trial.TrialState.FAIL)  # its process was killed
    finished = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    while (done := len(study.get_trials(deepcopy=False, states=finished))) < trials:
        study.optimize(lambda trial: _objective(trial, recipe, ranges, data, metric, folder), n_trials=1)
        if len(study.get_trials(deepcopy=False, states=finished)) == done:
            break
    return _report(study, recipe, metric, folder)


def _objective(trial: Any, recipe: Recipe, ranges: list[Range], data: Dataset, metric: str, folder: Path) -> float:
    import optuna

    from core.tuning.run import fit

    chosen = _with(recipe, {one.field: one.suggest(trial) for one in ranges})
    work = folder / f"trial-{trial.number}"

    def report(metrics: dict[str, float], step: int) -> None:
        value = metrics.get(f"eval_{metric}")
        if value is not None:
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned

    try:
        history = fit(chosen, data, work, report=report).outcome.history
    finally:
        shutil.rmtree(work, ignore_errors=True)
    values = [row["validation_loss" if metric == "loss" else metric] for row in history]
    return min(values) if metric == "loss" else max(values)


def _with(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    values = recipe.model_dump(mode="json", exclude_none=True)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = values
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = value
    return Recipe.parse(values, where="sweep")


def _report(study: Any, recipe: Recipe, metric: str, folder: Path) -> SweepReport:
    import optuna

    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if not complete:
        raise InputError(f"{recipe.name}: no trial was finished; look at the messages above or widen --space.")
    importance = None
    if len(complete) >= 4:
        found = optuna.importance.get_param_importances(study)
        importance = {name: float(share) for name, share in found.items()}
    best = _with(recipe, study.best_params)
    (folder / "best.toml").write_text(best.to_toml(), encoding="utf-8")
    report = SweepReport(
        name=recipe.name,
        metric=metric,
        best_value=float(study.best_value),
        best=study.best_params,
        trials=[
            {"number": t.number, "state": t.state.name.lower(), "value": t.value, **t.params}
            for t in study.get_trials(deepcopy=False)
        ],
        importance=importance,
        recipe=str(folder / "best.toml"),
        study=str(folder / "study.db"),
    )
    (folder / "report.json").write_text(json.dumps(report.to_dict(), indent=1), encoding="utf-8")
    return report


def show_report(report: dict[str, Any]) -> str:
    """The report as text: best fields, their importance, trials best first."""
    ranked = sorted(
        report["trials"],
        key=lambda t: (t["value"] is None, t["value"] if report["metric"] == "loss" else -(t["value"] or 0)),
    )
    lines = [f"best {report['metric']} on validation: {report['best_value']:.4f}"]
    for field, value in report["best"].items():
        share = (report["importance"] or {}).get(field)
        lines.append(f"  {field} = {value}" + ("" if share is None else f"   (importance {share:.0%})"))
    for trial in ranked:
        value = "–" if trial["value"] is None else f"{trial['value']:.4f}"
        lines.append(f"trial {trial['number']:>3}  {trial['state']:<9} {value}")
    return "\n".join([*lines, f"best recipe: {report['recipe']}"])


def _value(text: str) -> Any:
    text = text.strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)
