"""Label, rank, embed or answer with a tuned model: by folder, by name, or by name and alias."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import InputError
from core.serving.engines import Precision
from core.serving.network import Network, tuned_network
from core.serving.runner import CHUNK, Item, Runner
from core.serving.tokens import LongTexts
from core.settings import SHIPPED, Settings, get_settings
from core.tuning.recipe import Recipe

if TYPE_CHECKING:
    from core.evaluation.explanations import Explanation


@dataclass(frozen=True)
class Prediction:
    """One text's answer. ``label`` is a list for multi-label models; probabilities are calibrated.

    ``truncated``: the text is longer than the model reads, and only its beginning was looked at.
    """

    label: str | list[str]
    probability: float
    probabilities: dict[str, float]
    truncated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``truncated`` is there only when it is true."""
        found = {"label": self.label, "probability": self.probability, "probabilities": self.probabilities}
        return {**found, "truncated": True} if self.truncated else found


class Predictor:
    """A tuned model ready to answer; made by ``load_predictor``. Safe for several threads."""

    def __init__(
        self,
        folder: Path,
        engine: str = "auto",
        long_texts: LongTexts = "head",
        precision: Precision = "auto",
    ) -> None:
        from core.evaluation.calibration import Calibration

        self.folder = folder
        # Not a method of its own: the network would hold the predictor that holds it, and neither leave the memory.
        self._weights = cache(partial(_load, folder))
        self.network = self.network_of(folder, self._weights)
        self.recipe = Recipe.load(folder / "recipe.toml")
        if self.recipe.task == "generation":
            if engine not in ("auto", "torch"):
                raise InputError(f"{folder}: the engine {engine} runs no generation models; choose torch.")
            self.engine, self._runner = "torch", None
            self.labels: list[str] = self.loaded.labels
        else:
            from core.serving.opening import open_runner

            self.engine, self._runner = open_runner(self.network, engine, precision, long_texts)
            self.labels = _labels(folder, self.network.width, self.recipe)
        calibration = folder / "calibration.json"
        # Scores of the other tasks are not calibrated; their file says so and holds nothing else.
        calibrated = self.recipe.task == "classification" and calibration.is_file()
        self.temperature = Calibration.load(calibration).temperature if calibrated else 1.0

    @property
    def loaded(self) -> Any:
        """The weights in PyTorch (``core.tuning.artifact.Loaded``), low-rank updates merged; read on first use."""
        return self._weights()

    @staticmethod
    def network_of(folder: Path, loaded: Any = None) -> Network:
        """The network of a tuned model's folder; its weights are read when they are first needed."""
        loaded = loaded or (lambda: _load(folder))

        def load() -> tuple[Any, Any]:
            found = loaded()
            return found.model, found.tokenizer

        recipe = Recipe.load(folder / "recipe.toml")
        return tuned_network(folder, recipe, load)

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Prediction]:
        """Labels with calibrated probabilities, in input order. Classification only."""
        self._require("classification", "predict")
        items: Sequence[Item] = texts if pairs is None else list(zip(texts, pairs, strict=True))
        return list(self.predict_stream(items))

    def predict_stream(self, items: Iterable[Item], chunk: int = CHUNK) -> Iterator[Prediction]:
        """Predictions of texts, or of (text, text) pairs, in order; ``chunk`` of them are in memory at a time."""
        self._require("classification", "predict_stream")
        for part in self._encoder.stream(items, self.network.query_prefix, chunk=chunk):
            yield from self.predictions(part.values, part.truncated)

    def predictions(self, logits: np.ndarray, truncated: np.ndarray | None = None) -> list[Prediction]:
        """Calibrated predictions of logits [n, classes], as ``logits`` or a joint network (``join``) gives them."""
        from core.evaluation.calibration import apply

        multi = self.recipe.data.multi_label
        cuts = np.zeros(len(logits), bool) if truncated is None else truncated
        rows = zip(apply(logits, self.temperature, multi), cuts, strict=True)
        return [self._prediction(row, multi, bool(cut)) for row, cut in rows]

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
        """Uncalibrated logits [n, classes], in input order."""
        return self._encoder.run(texts, pairs, self.network.query_prefix).values

    def explain(self, text: str, label: str | None = None, gradients: bool = True) -> "Explanation":
        """Which words speak for ``label`` (the predicted one unless given). Single-label classification of one text.

        ``gradients`` adds integrated gradients to leaving words out; they need the weights in PyTorch.
        """
        from scipy.special import log_softmax

        from core.evaluation import explanations

        self._require("classification", "explain")
        if self.recipe.data.multi_label:
            raise InputError(f"{self.folder}: explain is for models that give one label.")
        if label is not None and label not in self.labels:
            raise InputError(f"{self.folder}: the model does not know the label {label!r}.")
        said = self.predict([text])[0]
        name = label or str(said.label)
        target = self.labels.index(name)
        spans = explanations.split_words(text)
        by_occlusion = explanations.occlusion(lambda ts: log_softmax(self.logits(ts), axis=1)[:, target], text, spans)
        by_gradient = None
        if gradients:
            loaded, prefix = self.loaded, self.network.query_prefix
            moved = [(start + len(prefix), end + len(prefix)) for start, end in spans]
            length = self.recipe.training.max_length
            by_gradient = explanations.integrated_gradients(
                loaded.model, loaded.tokenizer, prefix + text, moved, target, length
            )
        return explanations.explain(text, name, said.probabilities[name], by_occlusion, by_gradient, spans)

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
        """Relevance probability of each (query, document), [n]. Ranking only."""
        from scipy.special import expit

        self._require("ranking", "score")
        return np.asarray(expit(self._encoder.run(queries, documents).values[:, 0]))

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        """Unit-length vectors [n, d]. Matching only."""
        self._require("matching", "encode")
        prefix = self.network.passage_prefix if passages else self.network.query_prefix
        return self._encoder.run(texts, None, prefix).values

    def reply(self, prompts: Sequence[str], max_new_tokens: int = 96) -> list[str]:
        """Greedy replies. Generation only."""
        self._require("generation", "reply")
        from core.tuning.generation import generate

        return generate(self.loaded.model, self.loaded.tokenizer, prompts, max_new_tokens)

    @property
    def _encoder(self) -> Runner:
        if self._runner is None:
            raise InputError(f"{self.folder}: a generation model gives replies, not labels, scores or vectors.")
        return self._runner

    def _prediction(self, row: np.ndarray, multi: bool, truncated: bool) -> Prediction:
        probabilities = {label: float(p) for label, p in zip(self.labels, row, strict=True)}
        if multi:
            chosen = [label for label, p in probabilities.items() if p >= 0.5]
            # The chance that exactly this set is right, labels taken as independent.
            sure = float(np.prod(np.where(row >= 0.5, row, 1 - row)))
            return Prediction(chosen, sure, probabilities, truncated)
        best = int(np.argmax(row))
        return Prediction(self.labels[best], float(row[best]), probabilities, truncated)

    def _require(self, task: str, call: str) -> None:
        if self.recipe.task != task:
            raise InputError(
                f"{self.folder}: {call} needs a {task} model, and this one was tuned for {self.recipe.task}."
            )


def load_predictor(
    reference: str | Path,
    *,
    engine: str = "auto",
    long_texts: LongTexts = "head",
    precision: Precision = "auto",
) -> Predictor:
    """The model at a folder, or registered as ``name``, ``name@alias`` or ``name:version``.

    ``engine``: auto (an ONNX export if there is one, else torch) or a row of ``core.serving.engines.BACKENDS``;
    ``long_texts``: head (cut, and the prediction says so) or windows (overlapping ones, averaged);
    ``precision``: auto (bfloat16 on a GPU, else float32), float32 or bfloat16.
    Raises InputError when there is no such model or its files are damaged.
    """
    return Predictor(find_model(reference), engine, long_texts, precision)


def _load(folder: Path) -> Any:
    from core.tuning.artifact import load, merge
    from core.tuning.methods import METHODS

    loaded = load(folder)
    if loaded.recipe.method in ("lora", "adalora", "ia3") and METHODS[loaded.recipe.method].mergeable:
        merge(loaded.model, loaded.recipe)
    return loaded


def _labels(folder: Path, width: int, recipe: Recipe) -> list[str]:
    try:
        labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'labels.json'} cannot be read ({error}); tune again.") from None
    if recipe.task == "classification" and not (isinstance(labels, list) and len(labels) == width):
        raise InputError(f"{folder / 'labels.json'} does not list this model's {width} labels; tune again.")
    return list(labels)


def find_model(reference: str | Path, settings: Settings | None = None) -> Path:
    """The folder of a tuned model: a folder as it is, a registered name, or one of the adapters that ship.

    A model of one's own that is registered under a shipped adapter's name comes before it.
    """
    folder = Path(reference)
    if (folder / "recipe.toml").is_file():
        return folder
    from core.serving.registry import Registry

    try:
        return Registry(settings or get_settings()).resolve(reference)
    except InputError:
        shipped = SHIPPED / str(reference)
        if str(reference).strip() and (shipped / "recipe.toml").is_file():
            return shipped
        raise
