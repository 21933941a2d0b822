"""Whether a faster, less exact export is still good enough: judged on validation rows, by the task's own metric."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.errors import InputError
from core.serving.runner import Runner

LARGEST_LOSS = 0.004  # of a metric between 0 and 1: 0.4 points
LOWEST_COSINE = 0.995  # mean, and at the first percentile, between vectors of both networks


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate passes, and by which figures."""

    passed: bool
    figures: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"passed": self.passed, **{name: round(value, 5) for name, value in self.figures.items()}}


@dataclass(frozen=True)
class Gate:
    """Validation texts (or pairs), and how results on them are judged against the exact network's."""

    texts: Sequence[str]
    judge: Callable[[np.ndarray, np.ndarray], Verdict]
    pairs: Sequence[str] | None = None
    prefix: str = ""
    limits: dict[str, float] = field(default_factory=dict)
    truth: np.ndarray | None = None  # class numbers, where the rows have labels

    def __post_init__(self) -> None:
        if not self.texts:
            raise InputError("there are no rows to judge the int8 export on; check the file given with --data.")

    def results(self, runner: Runner) -> np.ndarray:
        """What a network says about the rows, [n, width]."""
        return runner.run(self.texts, self.pairs, self.prefix).values

    def sample(self, count: int) -> "Gate":
        """The same on evenly spread rows, for finding out what is sensitive."""
        step = max(1, len(self.texts) // count)
        pairs = None if self.pairs is None else self.pairs[::step][:count]
        truth = None if self.truth is None else self.truth[::step][:count]
        return Gate(self.texts[::step][:count], self.judge, pairs, self.prefix, self.limits, truth)


def classification_gate(
    texts: Sequence[str], truth: np.ndarray, pairs: Sequence[str] | None = None, prefix: str = ""
) -> Gate:
    """``truth``: class numbers [n], or 0/1 [n, classes] for multi-label. Accuracy (or micro F1) and macro F1."""
    from sklearn.metrics import accuracy_score, f1_score

    multi = truth.ndim == 2

    def metrics(logits: np.ndarray) -> dict[str, float]:
        called = (logits >= 0).astype(int) if multi else logits.argmax(1)
        first = f1_score(truth, called, average="micro", zero_division=0) if multi else accuracy_score(truth, called)
        macro = f1_score(truth, called, average="macro", zero_division=0)
        return {"f1_micro" if multi else "accuracy": float(first), "f1_macro": float(macro)}

    return Gate(texts, _no_metric_lost(metrics), pairs, prefix, {"largest_loss": LARGEST_LOSS}, truth)


def ranking_gate(queries: Sequence[str], documents: Sequence[str], grades: np.ndarray) -> Gate:
    """nDCG@10 of each query's candidates."""
    import pandas as pd

    from core.evaluation.retrieval import evaluate_ranking, rank_by_score

    groups = list(pd.Series(list(queries)).groupby(list(queries), sort=False).indices.values())

    def metrics(logits: np.ndarray) -> dict[str, float]:
        ranked = [rank_by_score(logits[index, 0], grades[index]) for index in groups]
        found = evaluate_ranking(ranked, resamples=1).metrics_dict()["ndcg@10"]["value"]
        return {"ndcg@10": float(found or 0.0)}

    return Gate(queries, _no_metric_lost(metrics), documents, "", {"largest_loss": LARGEST_LOSS})


def vectors_gate(texts: Sequence[str], prefix: str = "") -> Gate:
    """Cosine between each text's vectors: mean and first percentile."""

    def judge(exact: np.ndarray, candidate: np.ndarray) -> Verdict:
        cosines = (exact * candidate).sum(1)
        figures = {"cosine_mean": float(cosines.mean()), "cosine_p1": float(np.percentile(cosines, 1))}
        return Verdict(min(figures.values()) >= LOWEST_COSINE, figures)

    return Gate(texts, judge, None, prefix, {"lowest_cosine": LOWEST_COSINE})


def retrieval_gate(
    queries: Sequence[str], passages: Sequence[str], query_prefix: str = "", passage_prefix: str = ""
) -> Gate:
    """Mean reciprocal rank at 10 of each query's own passage among all different ones, by cosine.

    What vectors are for: a small turn of all of them costs nothing, and this shows what does.
    """
    different = {passage: number for number, passage in enumerate(dict.fromkeys(passages))}
    own = np.array([different[passage] for passage in passages])
    count = len(queries)

    def metrics(vectors: np.ndarray) -> dict[str, float]:
        scores = vectors[:count] @ vectors[count:].T
        mine = scores[np.arange(count), own]
        ranks = (scores >= mine[:, None]).sum(1)  # a tie counts against it
        return {"mrr@10": float(np.where(ranks <= 10, 1 / ranks, 0.0).mean())}

    texts = [*(query_prefix + query for query in queries), *(passage_prefix + passage for passage in different)]
    return Gate(texts, _no_metric_lost(metrics, classes=False), None, "", {"largest_loss": LARGEST_LOSS})


def _no_metric_lost(
    metrics: Callable[[np.ndarray], dict[str, float]],
    classes: bool = True,
) -> Callable[[np.ndarray, np.ndarray], Verdict]:
    def judge(exact: np.ndarray, candidate: np.ndarray) -> Verdict:
        before, after = metrics(exact), metrics(candidate)
        losses = {f"{name}_loss": before[name] - after[name] for name in before}
        figures = {**after, **losses}
        if not classes:
            figures["cosine_mean"] = float((exact * candidate).sum(1).mean())
        elif exact.shape[1] > 1:
            figures["agreement"] = float((exact.argmax(1) == candidate.argmax(1)).mean())
        return Verdict(max(losses.values()) <= LARGEST_LOSS + 1e-9, figures)

    return judge
