"""Judge a tuned model on rows it has not seen, with the metrics of its task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from core.errors import InputError
from core.evaluation import calibration as scaling
from core.evaluation.classification import evaluate_classification, evaluate_multilabel
from core.evaluation.generation import evaluate_generation, perplexity
from core.evaluation.retrieval import evaluate_ranking, rank_by_score
from core.tuning import predict
from core.tuning.artifact import Base
from core.tuning.recipe import Recipe

GENERATED_ROWS = 100  # replies are written token by token; perplexity covers all rows


@dataclass(frozen=True)
class Model:
    """The parts of a model in memory that judging needs."""

    model: Any
    tokenizer: Any
    base: Base
    recipe: Recipe
    labels: Sequence[str]
    temperature: float = 1.0


@dataclass(frozen=True)
class Judgement:
    """Metrics with intervals, and what plots and card show beside them."""

    metrics: dict[str, dict[str, float | None]]
    n: int
    per_class: Sequence[Mapping[str, Any]] = ()
    confusion: np.ndarray | None = None
    logits: Any = None
    truth: Any = None
    notes: Sequence[str] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the matrix as nested lists."""
        confusion = None if self.confusion is None else self.confusion.tolist()
        return {
            "n": self.n,
            "metrics": dict(self.metrics),
            "per_class": list(self.per_class),
            "confusion": confusion,
            "notes": list(self.notes),
        }


def judge(model: Model, rows: pd.DataFrame, resamples: int = 1000, seed: int = 0) -> Judgement:
    """Metrics of ``rows`` (canonical columns) for the model's task. Raises InputError when there are none."""
    if len(rows) == 0:
        raise InputError("there are no rows to evaluate on; check the file's text and label columns.")
    by_task = {
        "classification": _classification,
        "matching": _matching,
        "ranking": _ranking,
        "generation": _generation,
    }
    return by_task[model.recipe.task](model, rows.reset_index(drop=True), resamples, seed)


def targets(rows: pd.DataFrame, labels: Sequence[str], multi_label: bool) -> np.ndarray:
    """Class indices or indicators of the rows' labels. Raises InputError for a label the model does not know."""
    from core.tuning.classification import targets_of

    index = set(labels)
    for row, value in zip(rows.to_dict("records"), rows["label"], strict=True):
        unknown = set(value if multi_label else [value]) - index
        if unknown:
            place = f"{row.get('file', 'data')}:{row.get('row', '?')} label"
            raise InputError(
                f"{place}: the model does not know the label {sorted(unknown)[0]!r}; "
                f"it knows {', '.join(list(labels)[:8])}{', …' if len(labels) > 8 else ''}."
            )
    return targets_of(rows, list(labels), multi_label)


def _classification(model: Model, rows: pd.DataFrame, resamples: int, seed: int) -> Judgement:
    multi_label = model.recipe.data.multi_label
    truth = targets(rows, model.labels, multi_label)
    logits = predict.rows_logits(model.model, model.tokenizer, model.base, model.recipe, rows)
    probabilities = scaling.apply(logits, model.temperature, multi_label)
    labels = list(model.labels)
    if multi_label:
        several = evaluate_multilabel(truth, probabilities, labels, resamples=resamples, seed=seed)
        return Judgement(
            several.metrics_dict(),
            several.n,
            [s.to_dict() for s in several.per_class],
            logits=logits,
            truth=truth,
        )
    single = evaluate_classification(truth, probabilities, labels, resamples=resamples, seed=seed)
    return Judgement(
        single.metrics_dict(),
        single.n,
        [s.to_dict() for s in single.per_class],
        single.confusion,
        logits,
        truth,
    )


def _matching(model: Model, rows: pd.DataFrame, resamples: int, seed: int) -> Judgement:
    def encode(texts: list[str], passages: bool) -> np.ndarray:
        return predict.vectors(model.model, model.tokenizer, model.base, model.recipe, texts, passages)

    relevant = rows.groupby("text", sort=False)["positive"].agg(set)
    documents = list(dict.fromkeys(rows["positive"]))
    scores = encode(list(relevant.index), False) @ encode(documents, True).T
    ranked = [
        rank_by_score(line, [float(document in wanted) for document in documents])
        for line, wanted in zip(scores, relevant, strict=True)
    ]
    result = evaluate_ranking(ranked, resamples=resamples, seed=seed)
    what = "texts without half of their words" if model.recipe.data.unlabelled else "answers of the test rows"
    note = f"each text ranks the {len(documents)} {what}; more candidates are harder"
    return Judgement(result.metrics_dict(), result.n, notes=[note])


def _ranking(model: Model, rows: pd.DataFrame, resamples: int, seed: int) -> Judgement:
    scores = predict.relevance(model.model, model.tokenizer, model.recipe, list(rows["query"]), list(rows["document"]))
    grades = rows["label"].to_numpy(dtype=float)
    groups = rows.groupby("query", sort=False).indices.values()
    result = evaluate_ranking(
        [rank_by_score(scores[index], grades[index]) for index in groups], resamples=resamples, seed=seed
    )
    notes = [f"{result.excluded} queries without a relevant document were left out"] if result.excluded else []
    return Judgement(result.metrics_dict(), result.n, notes=notes)


def _generation(model: Model, rows: pd.DataFrame, resamples: int, seed: int) -> Judgement:
    from core.tuning.generation import generate, log_likelihood

    sums, counts = log_likelihood(model.model, model.tokenizer, rows, model.recipe.training.max_length)
    sample = rows.sample(GENERATED_ROWS, random_state=seed) if len(rows) > GENERATED_ROWS else rows
    replies = generate(model.model, model.tokenizer, list(sample["prompt"]))
    written = evaluate_generation(replies, list(sample["reply"]), resamples, seed)
    metrics = {"perplexity": perplexity(sums, counts, resamples, seed).to_dict(), **written.metrics_dict()}
    note = f"replies of {len(sample)} of {len(rows)} rows were generated, greedily; perplexity covers all"
    return Judgement(metrics, len(rows), notes=[note])
