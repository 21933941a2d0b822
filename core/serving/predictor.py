"""Label, rank, embed or answer with a tuned model: by folder, by name, or by name and alias."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.settings import PROJECT_ROOT, get_settings


@dataclass(frozen=True)
class Prediction:
    """One text's answer. ``label`` is a list for multi-label models; probabilities are calibrated."""

    label: str | list[str]
    probability: float
    probabilities: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"label": self.label, "probability": self.probability, "probabilities": self.probabilities}


class Predictor:
    """A tuned model ready to answer; made by ``load_predictor``."""

    def __init__(self, folder: Path) -> None:
        from core.evaluation.calibration import Calibration
        from core.tuning.artifact import load, merge
        from core.tuning.methods import METHODS

        self.loaded = load(folder)
        self.recipe = self.loaded.recipe
        self.labels = self.loaded.labels
        if self.recipe.method in ("lora", "adalora", "ia3") and METHODS[self.recipe.method].mergeable:
            merge(self.loaded.model, self.recipe)
        calibration = folder / "calibration.json"
        # Scores of the other tasks are not calibrated; their file says so and holds nothing else.
        calibrated = self.recipe.task == "classification" and calibration.is_file()
        self.temperature = Calibration.load(calibration).temperature if calibrated else 1.0

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Prediction]:
        """Labels with calibrated probabilities, in input order. Classification only."""
        from core.evaluation.calibration import apply

        self._require("classification", "predict")
        if not texts:
            return []
        multi = self.recipe.data.multi_label
        probabilities = apply(self.logits(texts, pairs), self.temperature, multi)
        return [self._prediction(row, multi) for row in probabilities]

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
        """Uncalibrated logits [n, classes], in input order."""
        from core.tuning import predict

        loaded = self.loaded
        return predict.class_logits(loaded.model, loaded.tokenizer, loaded.base, self.recipe, texts, pairs)

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
        """Relevance probability of each (query, document), [n]. Ranking only."""
        from scipy.special import expit

        from core.tuning import predict

        self._require("ranking", "score")
        return np.asarray(
            expit(predict.relevance(self.loaded.model, self.loaded.tokenizer, self.recipe, queries, documents))
        )

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        """Unit-length vectors [n, d]. Matching only."""
        from core.tuning import predict

        self._require("matching", "encode")
        loaded = self.loaded
        return predict.vectors(loaded.model, loaded.tokenizer, loaded.base, self.recipe, texts, passages)

    def reply(self, prompts: Sequence[str], max_new_tokens: int = 96) -> list[str]:
        """Greedy replies. Generation only."""
        from core.tuning.generation import generate

        self._require("generation", "reply")
        return generate(self.loaded.model, self.loaded.tokenizer, prompts, max_new_tokens)

    def _prediction(self, row: np.ndarray, multi: bool) -> Prediction:
        probabilities = {label: float(p) for label, p in zip(self.labels, row, strict=True)}
        if multi:
            chosen = [label for label, p in probabilities.items() if p >= 0.5]
            # The chance that exactly this set is right, labels taken as independent.
            sure = float(np.prod(np.where(row >= 0.5, row, 1 - row)))
            return Prediction(chosen, sure, probabilities)
        best = int(np.argmax(row))
        return Prediction(self.labels[best], float(row[best]), probabilities)

    def _require(self, task: str, call: str) -> None:
        if self.recipe.task != task:
            raise InputError(
                f"{self.loaded.folder}: {call} needs a {task} model, and this one was tuned for {self.recipe.task}."
            )


def load_predictor(reference: str | Path) -> Predictor:
    """The model at a folder, or registered as ``name``, ``name@alias`` or ``name:version``.

    Raises InputError when there is none or its files are damaged.
    """
    return Predictor(find_model(reference))


def find_model(reference: str | Path) -> Path:
    """The folder of a tuned model: a folder as it is, a registered name, or one of the adapters that ship.

    A model of one's own that is registered under a shipped adapter's name comes before it.
    """
    folder = Path(reference)
    if (folder / "recipe.toml").is_file():
        return folder
    from core.serving.registry import Registry

    try:
        return Registry(get_settings()).resolve(reference)
    except InputError:
        shipped = PROJECT_ROOT / "data" / "adapters" / str(reference)
        if str(reference).strip() and (shipped / "recipe.toml").is_file():
            return shipped
        raise
