"""A matching model tuned on an FAQ's own question-answer pairs, judged on questions it has not been tuned on.

BankFAQs: five folds by answer; the questions of a fold are asked of a model that has seen neither them nor their
answers. StackFAQ: tuned on the FAQs' own questions and answers, asked with the users' rephrasings, none of which is in
the training; there is one fold.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import store
from benchmarks.search_quality import bankfaqs, intervals, judge, stackfaq
from core.settings import Settings, get_settings

FOLDS, SEED = 5, 7
_ROW = {"bankfaqs": "bankfaqs/answers", "stackfaq": "stackfaq/answers apart"}
TRAINING = {"epochs": 3, "learning_rate": 3e-5, "batch_size": 48, "max_length": 128, "temperature": 0.05}


def folds(name: str) -> int:
    """How many models a data set needs."""
    return FOLDS if name == "bankfaqs" else 1


def fold(name: str, file: Path, number: int, epochs: float | None = None) -> dict[str, Any]:
    """Tune without this fold and rank all answers for its questions: what ``search_quality.METRICS`` names, of each."""
    pairs, queries, documents = _split(name, file, number)
    folder = get_settings().cache / "support-tuned" / f"{name}-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerows([("text", "positive"), *pairs])
    model = _tune(name, number, folder, epochs)
    values = _rank(model, queries, documents)
    return {"pairs": len(pairs), "queries": len(queries), "values": values.tolist(), "training": TRAINING}


def joined(file: Path, name: str) -> dict[str, Any]:
    """All folds' questions together, with 95% bootstrap intervals."""
    parts = store.read(file)["parts"]
    values = np.concatenate([np.array(parts[f"tuned/{name}/{n}"]["values"]) for n in range(folds(name))])
    return {"collection": _ROW[name], "queries": len(values), "metrics": intervals(values)}


def _split(
    name: str, file: Path, number: int
) -> tuple[list[tuple[str, str]], list[tuple[str, set[str]]], dict[str, str]]:
    if name == "stackfaq":
        collection = next(one for one in stackfaq(file) if one.name == "stackfaq/answers apart")
        faqs = json.loads(file.read_text(encoding="utf-8"))["root"]["qapair"]
        pairs = [
            (faq["question"].strip(), answer.strip()) for faq in faqs for answer in faq["answer"] if answer.strip()
        ]
        asked = {query.strip().lower() for query, _ in collection.queries}
        pairs = [pair for pair in pairs if pair[0].lower() not in asked]  # a user's own words are never trained on
        return (
            pairs,
            [(q, set(right)) for q, right in collection.queries],
            {d.id: d.texts[0] for d in collection.documents},
        )
    collection = bankfaqs(file)[0]
    documents = {document.id: document.texts[0] for document in collection.documents}
    order = np.random.default_rng(SEED).permutation(len(documents))
    fold_of = {list(documents)[place]: n % FOLDS for n, place in enumerate(order)}
    mine = [(query, set(right)) for query, right in collection.queries if fold_of[right[0]] == number]
    taken = {query.lower() for query, _ in mine}
    pairs = [
        (query, documents[one])
        for query, right in collection.queries
        for one in right
        if fold_of[one] != number and query.lower() not in taken
    ]
    return pairs, mine, documents


def _tune(name: str, number: int, folder: Path, epochs: float | None) -> Path:
    from core.tuning.recipe import Recipe
    from core.workflow import tune

    recipe = Recipe.parse(
        {
            "name": f"{name}-{number}",
            "task": "matching",
            "backbone": "minilm",
            "method": "full",
            "data": {"train": {"path": str(folder / "pairs.csv")}, "validation": 0.05},
            "training": {**TRAINING, **({"epochs": epochs} if epochs else {}), "seed": SEED},
            "tracking": {"report_to": []},
        }
    )
    made = tune(recipe, register=False, reuse=True, settings=Settings(var=folder / "var"))
    assert made is not None
    return made.path


def _rank(model: Path, queries: Sequence[tuple[str, set[str]]], documents: dict[str, str]) -> np.ndarray:
    from core.serving.encoder import load_encoder

    encoder = load_encoder(model)
    names = list(documents)
    near = encoder.encode([query for query, _ in queries]) @ encoder.encode(list(documents.values()), passages=True).T
    order = np.argsort(-near, axis=1, kind="stable")
    return np.array([judge([names[i] for i in row], right) for row, (_, right) in zip(order, queries, strict=True)])
