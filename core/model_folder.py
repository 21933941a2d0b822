"""The folder of a tuned model: weights, calibration, metrics, plots and card, from one finished training."""

import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.data.load import Dataset
from core.tuning.recipe import Recipe


@dataclass(frozen=True)
class TunedModel:
    """Where a tuned model lies and how good it is; ``version`` is None when it was not registered."""

    name: str
    task: str
    method: str
    backbone: str
    path: Path
    metrics: dict[str, dict[str, float | None]]
    trainable_parameters: int
    total_parameters: int
    train_seconds: float
    examples_per_second: float
    version: int | None = None
    measured_on: str = "test"
    findings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def card(self) -> Path:
        """The model card."""
        return self.path / "README.md"

    def to_dict(self) -> dict[str, Any]:
        """The contract's JSON shape."""
        return {
            "name": self.name,
            "version": self.version,
            "task": self.task,
            "method": self.method,
            "backbone": self.backbone,
            "metrics": self.metrics,
            "measured_on": self.measured_on,
            "trainable_parameters": self.trainable_parameters,
            "total_parameters": self.total_parameters,
            "train_seconds": round(self.train_seconds, 2),
            "examples_per_second": round(self.examples_per_second, 1),
            "findings": self.findings,
            "path": str(self.path),
        }


def write_model(folder: Path, recipe: Recipe, data: Dataset, fitted: Any, parent: Path | None) -> TunedModel:
    """Calibrate on validation, judge on test (on validation when there is none), and write it all to ``folder``."""
    from core.evaluation import calibration, plots
    from core.evaluation.files import write_json
    from core.evaluation.judge import Model, judge
    from core.evaluation.report import write_card, write_metrics
    from core.tuning import artifact

    built, outcome = fitted.built, fitted.outcome
    trainable, total = built.trainable_parameters, built.total_parameters
    rows, measured_on = (data.test, "test") if data.test is not None else (data.validation, "validation")
    temperature, scaled = 1.0, None
    on_validation: Any = None
    if recipe.task == "classification":
        model = Model(built.model, built.tokenizer, built.base, recipe, data.labels)
        on_validation = judge(model, data.validation, resamples=1)
        temperature = calibration.fit_temperature(on_validation.logits, on_validation.truth)
    model = Model(built.model, built.tokenizer, built.base, recipe, data.labels, temperature)
    judgement = judge(model, rows, seed=recipe.training.seed)
    folder.mkdir(parents=True)
    if recipe.task == "classification":
        held_out = (judgement.logits, judgement.truth) if data.test is not None else None
        scaled = calibration.calibrate(on_validation.logits, on_validation.truth, held_out)
        scaled.save(folder / "calibration.json")
        plots.plot_reliability(scaled, folder / "reliability.png")
    else:
        write_json(
            folder / "calibration.json",
            {"temperature": 1.0, "note": f"{recipe.task} scores are not calibrated"},
        )
    if judgement.confusion is not None:
        plots.plot_confusion(judgement.confusion, data.labels, folder / "confusion.png")
    if outcome.history:
        plots.plot_history(outcome.history, folder / "history.png")
    hardships = _robustness(model, rows)
    artifact.save(folder, built, recipe, data.labels, parent)
    result = TunedModel(
        recipe.name,
        recipe.task,
        recipe.method,
        recipe.backbone,
        folder,
        dict(judgement.metrics),
        trainable,
        total,
        outcome.seconds,
        outcome.examples_per_second,
        None,
        measured_on,
        [f.to_dict() for f in data.findings],
    )
    write_metrics(
        folder,
        {
            **result.to_dict(),
            **judgement.to_dict(),
            "path": None,
            "robustness": hardships,
            "history": outcome.history,
            "best_epoch": outcome.best_epoch,
            "data": data.to_dict(),
        },
    )
    write_card(folder, _card(recipe, data, result, judgement, scaled, outcome, hardships))
    return result


def _robustness(model: Any, rows: Any) -> dict[str, dict[str, Any]]:
    """Accuracy under typos, capitals, … on a bounded sample of rows; empty where labels are several or texts pairs."""
    from core.evaluation.robustness import robustness
    from core.tuning.predict import class_logits

    recipe = model.recipe
    most = recipe.evaluation.robustness_rows
    if recipe.task != "classification" or recipe.data.multi_label or "text_pair" in rows or most == 0:
        return {}
    seed = recipe.training.seed
    sample = rows.sample(most, random_state=seed) if len(rows) > most else rows

    def predict(texts: Any) -> list[str]:
        logits = class_logits(model.model, model.tokenizer, model.base, recipe, list(texts))
        return [model.labels[i] for i in logits.argmax(1)]

    found = robustness(predict, list(sample["text"]), list(sample["label"]), seed)
    return {name: value.to_dict() for name, value in found.items()}


def _card(
    recipe: Recipe, data: Dataset, result: TunedModel, judgement: Any, scaled: Any, outcome: Any, hardships: Any
) -> Any:
    from importlib.metadata import version

    from core.evaluation.report import Card, DataSource
    from core.models.catalog import CATALOG

    row = CATALOG.get(recipe.backbone)
    sources = []
    for part in ("train", "validation", "test"):
        given = getattr(recipe.data, part)
        for source in given if isinstance(given, list) else []:
            sources.append(DataSource(source.path.name, data.licences.get(source.format), part))
    limits = list(judgement.notes)
    if result.measured_on == "validation":
        limits.append(
            "No test rows were given: the figures are from the rows that chose the checkpoint, so they flatter."
        )
    limits.append(
        "Not measured: other domains or languages than the data above, adversarial text, fairness across groups."
    )
    return Card(
        name=recipe.name,
        task=recipe.task,
        method=recipe.method,
        backbone=recipe.backbone,
        backbone_licence=row.licence if row else None,
        created=datetime.now(UTC),
        metrics=result.metrics,
        recipe_toml=recipe.to_toml(),
        intended_use=recipe.intended_use,
        sources=sources,
        fingerprint=data.fingerprint,
        rows=data.to_dict()["rows"],
        labels=data.labels,
        findings=result.findings,
        per_class=judgement.per_class,
        calibration=scaled.to_dict() if scaled else None,
        robustness=hardships,
        history=outcome.history,
        trainable_parameters=result.trainable_parameters,
        total_parameters=result.total_parameters,
        train_seconds=outcome.seconds,
        examples_per_second=outcome.examples_per_second,
        hardware=_hardware(),
        versions={name: version(name) for name in ("torch", "transformers", "sentence-transformers", "peft")},
        limits=limits,
        languages=row.languages if row else (),
    )


def _hardware() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
