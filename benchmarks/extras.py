"""Measurements that one row wants beyond the metrics of its test rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recipes import test_rows
from core.data.load import Dataset
from core.tuning.recipe import Recipe

ACCEPTANCE = 0.95


def out_of_scope(model: Path, recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """CLINC150's out-of-scope test texts, told apart by the model's top calibrated probability.

    ``oos_recall`` is measured at the threshold that lets 95% of the in-scope test rows pass;
    ``oos_recall_by_validation`` at the one chosen on validation rows, with ``accepted`` as what it lets pass.
    """
    from core.data.readers import read
    from core.evaluation import selective
    from core.evaluation.calibration import apply
    from core.serving.predictor import load_predictor

    predictor = load_predictor(model)

    def confidence(texts: list[str]) -> np.ndarray:
        return np.asarray(apply(predictor.logits(texts), predictor.temperature).max(axis=1))

    source = recipe.data.train[0].model_copy(update={"split": "oos_test"})
    outside = confidence(list(read(source, "classification", recipe.data.columns, False).frame["text"]))
    inside, validation = confidence(list(test_rows(data)["text"])), confidence(list(data.validation["text"]))
    found = selective.out_of_scope(inside, outside, ACCEPTANCE)
    threshold = selective.out_of_scope(validation, outside, ACCEPTANCE, resamples=0).threshold
    return {
        "metrics": {"oos_recall": found.recall.to_dict(), "oos_auroc": found.auroc.to_dict()},
        "out_of_scope": {
            **found.to_dict(),
            "oos_recall_by_validation": float((outside < threshold).mean()),
            "accepted_by_validation": float((inside >= threshold).mean()),
        },
    }


EXTRAS: dict[str, Callable[[Path, Recipe, Dataset], dict[str, Any]]] = {"out-of-scope": out_of_scope}


def parity(lora: Path, full: Path, data: Dataset, resamples: int = 1000) -> dict[str, Any]:
    """LoRA's model against the one whose weights all moved: paired bootstrap on the same test rows."""
    from core.evaluation.calibration import apply
    from core.evaluation.compare import compare_models
    from core.serving.predictor import load_predictor

    test = test_rows(data)
    texts = list(test["text"])
    pairs = list(test["text_pair"]) if "text_pair" in test else None
    probabilities = []
    for folder in (lora, full):
        predictor = load_predictor(folder)
        probabilities.append(apply(predictor.logits(texts, pairs), predictor.temperature))
    index = {label: i for i, label in enumerate(predictor.labels)}
    truth = test["label"].map(index).to_numpy()
    found = compare_models(truth, probabilities[0], probabilities[1], predictor.labels, resamples)
    return {
        "metrics": {"lora_minus_full": found.accuracy.difference.to_dict()},
        "comparison": found.to_dict(),
    }
