"""Fit a recipe on checked data: one door for all four tasks."""

from dataclasses import dataclass
from pathlib import Path

from core.data.load import Dataset
from core.errors import InputError
from core.tuning.artifact import Built, build
from core.tuning.methods import check_combination
from core.tuning.recipe import Recipe
from core.tuning.training import Outcome, Report, total_steps


@dataclass
class Fitted:
    """Trained weights in memory, with the record of how they came about."""

    built: Built
    outcome: Outcome


def fit(recipe: Recipe, data: Dataset, work: Path, parent: Path | None = None, report: Report | None = None) -> Fitted:
    """Train the recipe's model on ``data``; checkpoints in ``work`` let a killed run go on where it was.

    ``parent`` is the folder of the tuned model named by ``start_from``. Raises InputError for combinations
    that cannot work and for data too small to validate on.
    """
    spec = check_combination(recipe.method, recipe.task)
    if recipe.options.merge and not spec.mergeable:
        raise InputError(f"method {recipe.method!r} cannot be merged into the backbone; set options.merge = false.")
    if len(data.validation) == 0:
        raise InputError(
            f"{recipe.name}: no row is left to validate on; raise data.validation or add rows to data.train."
        )
    outputs = {"classification": len(data.labels), "ranking": 1}.get(recipe.task, 0)
    built = build(recipe, outputs, parent, data.labels, total_steps(recipe, len(data.train)))
    virtual = recipe.options.virtual_tokens if recipe.method in ("prefix", "prompt", "p-tuning") else 0
    if recipe.training.max_length + virtual > built.max_length:
        beside = f" beside {virtual} virtual ones" if virtual else ""
        raise InputError(
            f"training.max_length = {recipe.training.max_length}, but backbone {recipe.backbone!r} takes"
            f" {built.max_length - virtual} tokens at most{beside}; lower it."
        )
    parts = (data.train, data.validation)
    if recipe.task == "classification" and recipe.training.objective == "contrastive":
        from core.tuning import contrastive

        outcome = contrastive.fit(built, recipe, *parts, data.labels, work, report)
    elif recipe.task == "classification":
        from core.tuning import classification

        outcome = classification.fit(built, recipe, *parts, data.labels, work, report)
    elif recipe.task == "matching":
        from core.tuning import adaptation, pairs

        if recipe.data.unlabelled:
            adaptation.check(built, recipe)
        outcome = pairs.fit_matching(built, recipe, *parts, work, report)
    elif recipe.task == "ranking":
        from core.tuning import pairs

        outcome = pairs.fit_ranking(built, recipe, *parts, work, report)
    else:
        from core.tuning import generation

        outcome = generation.fit(built, recipe, *parts, work, report)
    built.model.eval()
    return Fitted(built, outcome)
