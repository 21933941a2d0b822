"""Words, meaning and both on questions with known answers: StackFAQ, BankFAQs, and CLINC150's intents."""

import csv
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_data import Cached
from core.search.hybrid import Document, Fusion, HybridIndex

FOLDS, K = 5, 10
DEEPEST = 100  # what comes later counts as not found: it could add less than 0.01 to a query's MAP
_SEED = 7
Query = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Collection:
    """Documents with the queries that should find them."""

    name: str
    documents: tuple[Document, ...]
    queries: tuple[Query, ...]
    """(query, ids of the right documents)"""

    def texts(self) -> list[str]:
        """Every text of every document."""
        return [text for document in self.documents for text in document.texts]


def stackfaq(file: Path) -> list[Collection]:
    """Rephrasings by users look for their FAQ in its question, in its answers, or in both (125 documents), and for
    all answers of their FAQ among all different answers, each a document of its own.
    """
    faqs = json.loads(file.read_text(encoding="utf-8"))["root"]["qapair"]
    queries = tuple(
        (text.strip(), (str(n),))
        for n, faq in enumerate(faqs)
        for text in faq["rephr"]
        if len((text or "").strip()) > 1
    )
    answers = dict.fromkeys(text.strip() for faq in faqs for text in faq["answer"] if text.strip())
    number = {text: str(n) for n, text in enumerate(answers)}
    right = [tuple(sorted({number[t.strip()] for t in faq["answer"] if t.strip()})) for faq in faqs]
    apart = Collection(
        "stackfaq/answers apart",
        tuple(Document(name, (text,)) for text, name in number.items()),
        tuple((query, right[int(own)]) for query, (own,) in queries if right[int(own)]),
    )
    parts = {
        "questions": [(faq["question"],) for faq in faqs],
        "answers": [tuple(faq["answer"]) for faq in faqs],
        "both": [(faq["question"], *faq["answer"]) for faq in faqs],
    }
    return [
        *(
            Collection(f"stackfaq/{name}", _documents(own), _known(queries, _documents(own)))
            for name, own in parts.items()
        ),
        apart,
    ]


def bankfaqs(file: Path) -> list[Collection]:
    """Questions look for their answer among all different answers; the questions themselves are not indexed."""
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        rows = [(row["Question"].strip(), row["Answer"].strip()) for row in csv.DictReader(lines)]
    answers = {answer: str(n) for n, answer in enumerate(dict.fromkeys(answer for _, answer in rows if answer))}
    asked: dict[str, set[str]] = {}
    for question, answer in rows:
        if question and answer:
            asked.setdefault(question, set()).add(answers[answer])
    queries = tuple((question, tuple(sorted(right))) for question, right in asked.items())
    documents = tuple(Document(name, (answer,)) for answer, name in answers.items())
    return [Collection("bankfaqs/answers", documents, queries)]


def clinc_intents(file: Path, every: int = 3) -> Collection:
    """Every third in-scope test question looks for its intent, a document of the intent's 100 training questions."""
    parts = json.loads(file.read_text(encoding="utf-8"))
    examples: dict[str, list[str]] = {}
    for text, intent in parts["train"]:
        examples.setdefault(intent, []).append(text)
    documents = tuple(Document(intent, tuple(own)) for intent, own in examples.items())
    return Collection(
        "clinc150/intents", documents, tuple((text, (intent,)) for text, intent in parts["test"][::every])
    )


def _documents(texts: Sequence[tuple[str, ...]]) -> tuple[Document, ...]:
    kept = [(str(n), tuple(text.strip() for text in own if text.strip())) for n, own in enumerate(texts)]
    return tuple(Document(name, own) for name, own in kept if own)


def _known(queries: Sequence[Query], documents: Sequence[Document]) -> tuple[Query, ...]:
    there = {document.id for document in documents}
    return tuple(pair for pair in queries if set(pair[1]) <= there)


METRICS = ("recall@1", "recall@5", "mrr@10", "map")
SYSTEMS: Mapping[str, Fusion] = {
    "lexical": Fusion("weighted", 0.0),
    "semantic": Fusion("weighted", 1.0),
    "ranks": Fusion("ranks", 0.5),
}


def measure(collection: Collection, encoder: Cached, resamples: int = 1000) -> dict[str, Any]:
    """Recall@1 and @5 (a right document among so many), MRR@10 and MAP, with 95% bootstrap intervals over queries.

    ``fitted`` weights the two scores by what they earn on the other folds' queries; queries for one document are in
    the same fold, so no weight was fitted on a query for a document that it is judged by.
    """
    encoder.prepare([query for query, _ in collection.queries])
    encoder.prepare(collection.texts(), passages=True)
    index = HybridIndex.build(collection.documents, encoder)
    values = {name: values_of(index, collection.queries, how) for name, how in SYSTEMS.items()}
    values["fitted"], weights = _fitted(index, collection)
    mrr = METRICS.index("mrr@10")
    return {
        "documents": len(collection.documents),
        "texts": len(collection.texts()),
        "queries": len(collection.queries),
        "encoder": encoder.fingerprint,
        "systems": {name: intervals(found, resamples) for name, found in values.items()},
        "fitted_weights": weights,
        "fitted_minus_semantic_mrr@10": _interval(values["fitted"][:, mrr] - values["semantic"][:, mrr], resamples),
    }


def values_of(index: HybridIndex, queries: Sequence[Query], how: Fusion) -> np.ndarray:
    """[q, 4]: what METRICS names, of each query; a document after the first 100 counts as not found."""
    return np.array(
        [judge([hit.id for hit in index.search(query, k=DEEPEST, how=how)], right) for query, right in queries]
    )


def judge(found: Sequence[str], right: Set[str] | Sequence[str]) -> list[float]:
    """What METRICS names, of the documents found for one query, best first."""
    ranks = [rank for rank, name in enumerate(found, 1) if name in right]
    first = ranks[0] if ranks else np.inf
    precision = sum(n / rank for n, rank in enumerate(ranks, 1)) / len(right)
    return [float(first <= 1), float(first <= 5), 1 / first if first <= K else 0.0, precision]


def intervals(values: np.ndarray, resamples: int = 1000) -> dict[str, dict[str, float | None]]:
    """Metric -> its mean over the queries with a 95% bootstrap interval; ``values`` is [q, 4]."""
    return {metric: _interval(values[:, i], resamples) for i, metric in enumerate(METRICS)}


def _fitted(index: HybridIndex, collection: Collection) -> tuple[np.ndarray, list[float]]:
    documents = [document.id for document in collection.documents]
    order = np.random.default_rng(_SEED).permutation(len(documents))
    fold_of = {documents[place]: number % FOLDS for number, place in enumerate(order)}
    fold = np.array([fold_of[right[0]] for _, right in collection.queries])
    values, weights = np.zeros((len(fold), len(METRICS))), []
    for number in range(FOLDS):
        others = [pair for pair, f in zip(collection.queries, fold, strict=True) if f != number]
        mine = [pair for pair, f in zip(collection.queries, fold, strict=True) if f == number]
        if not others or not mine:
            continue
        how = index.fit_weight(others).fusion
        weights.append(how.weight)
        values[fold == number] = values_of(index, mine, how)
    return values, weights


def _interval(values: np.ndarray, resamples: int) -> dict[str, float | None]:
    from core.evaluation.intervals import bootstrap, weighted_mean

    return bootstrap(weighted_mean, [values], resamples).to_dict()
