"""The ways to a classifier that are compared: each turns labelled rows into probabilities, at a price."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.load import Dataset
from core.errors import InputError
from core.tuning.recipe import Recipe

Floats = NDArray[np.float64]
ENOUGH = 32  # examples of a label


@dataclass(frozen=True)
class Answer:
    """What a way gave and cost. ``probabilities`` [n, c]; ``latency_ms``: one text alone, the median of a few."""

    probabilities: Floats
    seconds: float
    trained_parameters: int
    megabytes: float
    latency_ms: float


@dataclass(frozen=True)
class Way:
    """One contender. ``needs_labels`` False: it is tried once, with no label at all.

    ``price``: rough minutes per 1,000 training rows on a small machine, by which cheap ones run first.
    """

    name: str
    run: Callable[[Recipe, Dataset, pd.DataFrame], Answer]
    price: float
    needs_labels: bool = True


def find(name: str) -> Way:
    """The way of that name. Raises InputError listing what there is."""
    if name not in WAYS:
        raise InputError(f"--methods: there is no {name!r}; choose from {', '.join(WAYS)}.")
    return WAYS[name]


def _zero_shot(recipe: Recipe, data: Dataset, test: pd.DataFrame) -> Answer:
    from core.fewlabels.zero_shot import ZeroShotConfig, zero_shot

    started = time.perf_counter()
    config = ZeroShotConfig(backbone=recipe.backbone, descriptions=recipe.data.descriptions)
    model = zero_shot(data.labels, config)
    seconds = time.perf_counter() - started
    return Answer(
        model.probabilities(list(test["text"])), seconds, 0, 0.0, _latency(model.probabilities, list(test["text"]))
    )


def _nearest(recipe: Recipe, data: Dataset, test: pd.DataFrame) -> Answer:
    """The labels of the five likest examples, weighted by likeness (Cover & Hart 1967)."""
    from scipy.special import softmax
    from sklearn.neighbors import KNeighborsClassifier

    from core.serving.encoder import load_encoder

    started = time.perf_counter()
    encoder = load_encoder(recipe.backbone)
    vectors = encoder.encode(list(data.train["text"]))
    model = KNeighborsClassifier(
        min(5, len(vectors)), weights=lambda distance: softmax(-distance / 0.1, axis=1), metric="cosine"
    ).fit(vectors, data.train["label"])
    seconds = time.perf_counter() - started

    def probabilities(texts: Sequence[str]) -> Floats:
        return _in_order(model.predict_proba(encoder.encode(list(texts))), model.classes_, data.labels)

    texts = list(test["text"])
    return Answer(probabilities(texts), seconds, 0, vectors.nbytes / 2**20, _latency(probabilities, texts))


def _tfidf(recipe: Recipe, data: Dataset, test: pd.DataFrame) -> Answer:
    """Word and letter counts under a logistic regression: what a team has without any pre-trained model."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    started = time.perf_counter()
    counts = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=50_000),
    )
    model = make_pipeline(counts, LogisticRegression(C=10.0, max_iter=300)).fit(data.train["text"], data.train["label"])
    seconds = time.perf_counter() - started
    regression = model[-1]

    def probabilities(texts: Sequence[str]) -> Floats:
        return _in_order(model.predict_proba(list(texts)), regression.classes_, data.labels)

    texts = list(test["text"])
    weights = regression.coef_.size
    return Answer(probabilities(texts), seconds, weights, weights * 8 / 2**20, _latency(probabilities, texts))


def tuned_recipe(name: str, recipe: Recipe, train_rows: pd.DataFrame) -> Recipe:
    """The recipe a tuned way of that name trains these rows by, for one's own run of it.

    Contrast moves the top blocks alone while labels have few examples each, since the lower ones gain nothing yet and
    cost time; once they have ENOUGH, every block. Raises InputError for other ways.
    """
    if name not in TUNED:
        raise InputError(f"{name} tunes nothing; choose from {', '.join(TUNED)}.")
    method, training, options = TUNED[name]
    if name == "few-shot" and train_rows["label"].value_counts().median() >= ENOUGH:
        options = {"layers": _blocks(recipe.backbone)}
    values = recipe.model_dump(mode="json", exclude_none=True)
    values |= {"method": method, "options": {**values["options"], **options}}
    values["training"] |= {"keep": "last", **training}
    values.pop("start_from", None)
    return Recipe.parse(values)


def _blocks(backbone: str) -> int:
    from transformers import AutoConfig

    from core.models.sources import resolve

    return int(AutoConfig.from_pretrained(resolve(backbone).path, local_files_only=True).num_hidden_layers)


def _tuned(name: str) -> Any:
    def run(recipe: Recipe, data: Dataset, test: pd.DataFrame) -> Answer:
        from core.evaluation import calibration
        from core.evaluation.judge import Model, judge
        from core.tuning import artifact
        from core.tuning.predict import class_logits
        from core.tuning.run import fit

        chosen = tuned_recipe(name, recipe, data.train)
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            fitted = fit(chosen, data, Path(folder) / "work")
            seconds = time.perf_counter() - started
            built = fitted.built
            model = Model(built.model, built.tokenizer, built.base, chosen, data.labels)
            held = judge(model, data.validation, resamples=1)
            temperature = calibration.fit_temperature(held.logits, held.truth)

            def probabilities(texts: Sequence[str]) -> Floats:
                logits = class_logits(built.model, built.tokenizer, built.base, chosen, list(texts))
                return np.asarray(calibration.apply(logits, temperature, False), dtype=np.float64)

            texts = list(test["text"])
            found, latency = probabilities(texts), _latency(probabilities, texts)
            artifact.save(Path(folder) / "model", built, chosen, data.labels)
            size = sum(f.stat().st_size for f in (Path(folder) / "model").rglob("*") if f.is_file())
        return Answer(found, seconds, built.trainable_parameters, size / 2**20, latency)

    return run


# Name -> method, [training] and [options] of its recipe.
TUNED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "head": ("head", {"epochs": 1.0}, {}),
    "top-layers": ("top-layers", {"epochs": 5.0, "learning_rate": 3e-4}, {"layers": 2}),
    "few-shot": (
        "top-layers",
        {"objective": "contrastive", "epochs": 6.0, "learning_rate": 2e-4, "batch_size": 32},
        {"layers": 2},
    ),
    "prompt": ("prompt", {"epochs": 10.0, "learning_rate": 1e-2}, {}),
    "prefix": ("prefix", {"epochs": 10.0, "learning_rate": 5e-3}, {}),
    "lora": ("lora", {"epochs": 8.0, "learning_rate": 5e-4}, {}),
    "full": ("full", {"epochs": 6.0, "learning_rate": 1.5e-4}, {}),
}
WAYS: dict[str, Way] = {
    way.name: way
    for way in (
        Way("zero-shot", _zero_shot, 0.0, needs_labels=False),
        Way("tf-idf", _tfidf, 0.02),
        Way("nearest", _nearest, 0.1),
        Way("head", _tuned("head"), 0.1),
        Way("top-layers", _tuned("top-layers"), 0.6),
        Way("few-shot", _tuned("few-shot"), 0.8),
        Way("prompt", _tuned("prompt"), 4.0),
        Way("prefix", _tuned("prefix"), 4.0),
        Way("lora", _tuned("lora"), 3.0),
        Way("full", _tuned("full"), 3.5),
    )
}
"""Cheapest first."""


def _in_order(found: Floats, classes: Sequence[str], labels: Sequence[str]) -> Floats:
    """Columns in the order of ``labels``; a label without a training row gets nothing."""
    ordered = np.zeros((len(found), len(labels)))
    ordered[:, [list(labels).index(name) for name in classes]] = found
    return ordered


def _latency(probabilities: Callable[[Sequence[str]], Any], texts: Sequence[str], tries: int = 7) -> float:
    """Median milliseconds of one text alone."""
    probabilities(texts[:1])
    taken = []
    for text in texts[:tries]:
        started = time.perf_counter()
        probabilities([text])
        taken.append((time.perf_counter() - started) * 1000)
    return float(np.median(taken))
