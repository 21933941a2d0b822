"""What needs no tuning: TF-IDF and frozen backbone vectors, each under a logistic regression."""

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.recipes import test_rows
from core.data.load import Dataset
from core.tuning.recipe import Recipe

STRENGTHS = (1.0, 10.0, 100.0)
METRICS = ("accuracy", "f1_macro", "ece")


def baselines(recipe: Recipe, data: Dataset, analyzer: str = "word", resamples: int = 1000) -> dict[str, Any]:
    """Metrics with intervals of both baselines on the recipe's own split.

    The inverse regularisation C is the one of STRENGTHS that is best on the validation rows; the classifier is
    fitted on the training rows. ``analyzer`` is ``word`` (1-2 grams) or ``char`` (1-3 grams, for Chinese).
    """
    return {
        "tfidf": _judge(*_tfidf(data, analyzer), data, resamples),
        "frozen": {"backbone": recipe.backbone, **_judge(*_frozen(recipe, data), data, resamples)},
    }


def _tfidf(data: Dataset, analyzer: str) -> tuple[Any, Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    ngrams = (1, 3) if analyzer == "char" else (1, 2)
    vectoriser = TfidfVectorizer(analyzer=analyzer, ngram_range=ngrams, sublinear_tf=True, min_df=2)
    joined = [_joined(rows) for rows in (data.train, data.validation, test_rows(data))]
    try:
        train = vectoriser.fit_transform(joined[0])
    except ValueError:  # so few rows that no term occurs twice
        train = vectoriser.set_params(min_df=1).fit_transform(joined[0])
    return train, vectoriser.transform(joined[1]), vectoriser.transform(joined[2])


def _joined(rows: pd.DataFrame) -> list[str]:
    if "text_pair" not in rows:
        return list(rows["text"])
    return [f"{text} {pair}" for text, pair in zip(rows["text"], rows["text_pair"], strict=True)]


def _frozen(recipe: Recipe, data: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from core.tuning import inference
    from core.tuning.artifact import build

    built = build(recipe.model_copy(update={"method": "head", "start_from": None}), outputs=0)
    built.model.eval()
    parts = []
    for rows in (data.train, data.validation, test_rows(data)):
        pairs = list(rows["text_pair"]) if "text_pair" in rows else None
        vectors = inference.run(
            built.model,
            built.tokenizer,
            list(rows["text"]),
            pairs,
            recipe.training.max_length,
            recipe.training.eval_batch_size,
            built.base.query_prefix,
        )
        parts.append(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
    return parts[0], parts[1], parts[2]


def _judge(train: Any, validation: Any, test: Any, data: Dataset, resamples: int) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression

    from core.evaluation.classification import evaluate_classification

    index = {label: i for i, label in enumerate(data.labels)}
    truth = [part["label"].map(index).to_numpy() for part in (data.train, data.validation, test_rows(data))]
    models = [LogisticRegression(C=strength, max_iter=300).fit(train, truth[0]) for strength in STRENGTHS]
    best = max(models, key=lambda model: model.score(validation, truth[1]))
    probabilities = np.zeros((len(truth[2]), len(data.labels)))
    probabilities[:, best.classes_] = best.predict_proba(test)
    found = evaluate_classification(truth[2], probabilities, data.labels, resamples).metrics_dict()
    return {"C": best.C, "metrics": {name: found[name] for name in METRICS}}
