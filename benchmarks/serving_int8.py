"""What 8 bits cost: the shipped models' int8 exports beside float32 on the full test sets.

The export chooses its scheme, and is refused, by rows from the training side: the recipe's validation rows and a
seeded draw of its training rows. The rows reported on have no part in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import store
from core.settings import PROJECT_ROOT, get_settings

ADAPTERS = PROJECT_ROOT / "data" / "adapters"
TRAINING_ROWS = 1_000  # of the training part, beside the validation rows
AIM = 0.004
RESAMPLES, SEED = 2_000, 7


@dataclass(frozen=True)
class Case:
    """A shipped model and the file with its full test set, below the data sets' folder."""

    model: str
    test: str
    format: str = "auto"


CASES = {
    "banking77": Case("banking-intents", "banking77/test.csv"),
    "phrasebank": Case("finance-sentiment", "phrasebank/Sentences_50Agree.txt", "phrasebank"),
    "topics": Case("finance-topics", "twitter_fin_topic/validation.csv", "twitter_fin_topic"),
}

NAMES = (*CASES, "embeddings")


def gate_of(reference: str | Path) -> Any:
    """The rows that judge a model's export: a classifier's by its recipe, a backbone's questions and answers."""
    from core.serving.gate import classification_gate

    if not (Path(reference) / "recipe.toml").is_file():
        return backbone_gate(str(reference))
    import pandas as pd

    from core.data.load import load
    from core.evaluation.judge import targets
    from core.serving.encoder import find_network
    from core.tuning.recipe import Recipe

    recipe = Recipe.load(Path(reference) / "recipe.toml")
    data = load(recipe.data, recipe.task, recipe.training.seed)
    drawn = data.train.sample(min(TRAINING_ROWS, len(data.train)), random_state=SEED)
    rows = pd.concat([data.validation, drawn], ignore_index=True)
    prefix = find_network(reference).query_prefix
    return classification_gate(list(rows["text"]), targets(rows, data.labels, recipe.data.multi_label), None, prefix)


def backbone_gate(name: str) -> Any:
    """BankFAQs: questions look for their answer. Neither is reported on."""
    from benchmarks.search_quality import bankfaqs
    from core.serving.encoder import find_network
    from core.serving.gate import retrieval_gate

    (found,) = bankfaqs(get_settings().datasets / "bankfaqs" / "BankFAQs.csv")
    answers = {document.id: document.texts[0] for document in found.documents}
    network = find_network(name)
    questions = [query for query, _ in found.queries]
    own = [answers[right[0]] for _, right in found.queries]
    return retrieval_gate(questions, own, network.query_prefix, network.passage_prefix)


def compare(case: Case, datasets: Path) -> dict[str, Any]:
    """Accuracy and macro F1 of both exports on the test file, and the losses with 95% paired bootstrap intervals."""
    from core.serving import engine_store
    from core.serving.encoder import find_network
    from core.serving.gate_rows import read_gate
    from core.serving.opening import export_engine, open_runner

    folder = ADAPTERS / case.model
    network = find_network(folder)
    made = export_engine(network, "onnx-int8", gate_of(folder))
    rows = read_gate(network, datasets / case.test, case.format)
    exact, fast = (rows.results(open_runner(network, engine)[1]) for engine in ("onnx", "onnx-int8"))
    verdict = rows.judge(exact, fast)
    told = engine_store.receipt(made)
    return {
        "model": case.model,
        "test_rows": len(rows.texts),
        "aim_loss": AIM,
        **verdict.to_dict(),
        "loss_interval": loss_interval(rows, exact, fast),
        "scheme": told["scheme"],
        "float32_layers": told["float32_layers"],
        "gate_rows": told["rows"],
        "gate": told["gate"],
        "bytes": {name: _bytes(network, name) for name in ("onnx", "onnx-int8")},
    }


def loss_interval(rows: Any, exact: np.ndarray, fast: np.ndarray) -> dict[str, float]:
    """Of the loss in accuracy; only rows on which the two exports differ move it."""
    truth = rows.truth
    if truth is None or truth.ndim != 1:
        return {}
    loss = (exact.argmax(1) == truth).astype(float) - (fast.argmax(1) == truth)
    random = np.random.default_rng(SEED)
    means = np.array([loss[random.integers(len(loss), size=len(loss))].mean() for _ in range(RESAMPLES)])
    low, high = np.percentile(means, [2.5, 97.5])
    return {"value": float(loss.mean()), "low": float(low), "high": float(high)}


def embeddings(datasets: Path) -> dict[str, Any]:
    """The backbone's 8-bit export: what search_quality.METRICS names, on StackFAQ beside float32, by meaning alone."""
    from benchmarks.search_data import Cached
    from benchmarks.search_quality import METRICS, SYSTEMS, stackfaq, values_of
    from benchmarks.serving_worker import BACKBONE
    from core.search.hybrid import HybridIndex
    from core.serving import engine_store
    from core.serving.encoder import find_network, load_encoder
    from core.serving.opening import export_engine

    made = export_engine(find_network(BACKBONE), "onnx-int8", gate_of(BACKBONE))
    collections = {c.name: c for c in stackfaq(datasets / "stackfaq" / "stackExchange-FAQ.json")}
    collection = collections["stackfaq/both"]
    result: dict[str, Any] = {"queries": len(collection.queries), "documents": len(collection.documents)}
    vectors = {}
    for engine in ("onnx", "onnx-int8"):
        encoder = load_encoder(BACKBONE, engine=engine)
        cached = Cached(encoder, get_settings().cache / "search", {})
        vectors[engine] = cached.prepare([query for query, _ in collection.queries])
        cached.prepare(collection.texts(), passages=True)
        index = HybridIndex.build(collection.documents, cached)
        found = values_of(index, collection.queries, SYSTEMS["semantic"]).mean(axis=0)
        result[engine] = dict(zip(METRICS, map(float, found), strict=True))
    cosines = (vectors["onnx"] * vectors["onnx-int8"]).sum(1)
    told = engine_store.receipt(made)
    return {
        **result,
        "loss": {name: result["onnx"][name] - result["onnx-int8"][name] for name in result["onnx"]},
        "cosine": {"mean": float(cosines.mean()), "p1": float(np.percentile(cosines, 1))},
        "scheme": told["scheme"],
        "float32_layers": told["float32_layers"],
        "gate": told["gate"],
    }


def run(file: Path, datasets: Path, fresh: bool = False, names: Sequence[str] = NAMES) -> None:
    """Measure what is missing; a model or data set that is not here is noted."""
    from core.serving.encoder import find_network

    for name in names:
        case = CASES.get(name)
        part = f"int8/{name}"
        measure: Callable[[], dict[str, Any]] = partial(embeddings, datasets)
        fingerprint = ""
        if case is not None:
            if not (ADAPTERS / case.model / "recipe.toml").is_file():
                store.skip(file, part, f"data/adapters/{case.model} is not there")
                continue
            measure = partial(compare, case, datasets)
            fingerprint = find_network(ADAPTERS / case.model).fingerprint
        store.attempt(file, part, store.key_of("int8 1", name, fingerprint), measure, fresh)


def _bytes(network: Any, engine: str) -> int:
    from core.serving import engine_store

    folder = engine_store.find(network, engine)
    assert folder is not None
    return sum(path.stat().st_size for path in folder.glob("*.onnx"))
