"""The few-label figures beside the few-shot table: no labels, starting elsewhere, wrong labels."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.fewlabels_data import BANKING, FILMS, PHRASES, Task, few, ready, scores
from benchmarks.recipes import PLACE, shipped
from core.model_folder import TunedModel
from core.settings import PROJECT_ROOT, Settings

SEED = 7
CAUSAL_ROWS = 150  # a language model reads every label after every text
DESCRIPTIONS: dict[str, dict[str, str]] = {
    "sst2": {"negative": "a bad film", "positive": "a good film"},
    "phrasebank": {
        "negative": "bad news for the company",
        "neutral": "a plain fact about the company",
        "positive": "good news for the company",
    },
    "banking77": {},
}
ZERO = {
    "sst2": Task("sst2", "SST-2", FILMS, 1),
    "phrasebank": Task("phrasebank", "PhraseBank 50Agree", PHRASES, 1, "f1_macro"),
    "banking77": Task("banking77", "BANKING77", BANKING, 1),
}
WAYS = ("names", "names, corrected", "descriptions, corrected", "smollm2")
ADAPTERS = {
    "backbone": None,
    "topics": PROJECT_ROOT / "data" / "adapters" / "finance-topics",
    "news and tweets": PROJECT_ROOT / "data" / "adapters" / "finance-sentiment",
}
HEADLINES = "headlines without labels"
STARTS = (*ADAPTERS, HEADLINES)
# As a plain table of titles: the sentiments beside them are never read.
TITLES: dict[str, Any] = {
    "train": {"path": f"{PLACE}/sentfin/SEntFiN.csv", "format": "csv"},
    "text": "Title",
    "unlabelled": True,
    "word_deletion": 0.5,
    "validation": 0.05,
}


def zero_shot(name: str, way: str, datasets: Path) -> dict[str, Any]:
    """Accuracy and macro-F1 with no labelled example, on the test rows of seed 7."""
    from core.evaluation.classification import evaluate_classification
    from core.fewlabels.zero_shot import ZeroShotConfig
    from core.fewlabels.zero_shot import zero_shot as classifier

    found = few(ZERO[name], SEED, datasets)
    causal = way == "smollm2"
    rows = found.test.head(CAUSAL_ROWS) if causal else found.test
    described = DESCRIPTIONS[name] if way != "names" and way != "names, corrected" else {}
    config = ZeroShotConfig(
        how="causal" if causal else "embedding",
        backbone="smollm2" if causal else "minilm",
        descriptions=described,
        correct_prior=way != "names",
    )
    probabilities = classifier(found.labels, config).probabilities(list(rows["text"]))
    index = {label: number for number, label in enumerate(found.labels)}
    truth = rows["label"].map(index).to_numpy()
    metrics = evaluate_classification(truth, probabilities, list(found.labels)).metrics_dict()
    return {"rows": len(rows), "words": described, "metrics": {m: metrics[m] for m in ("accuracy", "f1_macro")}}


def adapted(datasets: Path, work: Path) -> TunedModel:
    """The encoder that has read headlines without labels, tuned in ``work`` unless it is there.

    Raises InputError when the headlines are missing.
    """
    from core.workflow import tune

    recipe = shipped("adaptation", "headlines", TITLES, {"training.epochs": 1}, datasets)
    tuned = tune(recipe, register=False, reuse=True, settings=Settings(var=work))
    assert tuned is not None
    return tuned


def transfer(start: str, task: Task, seed: int, datasets: Path, work: Path) -> dict[str, Any]:
    """The two upper layers tuned on the task's rows, from the backbone or from what was learned elsewhere.

    With labels that is one of ``ADAPTERS``; without, it is tuned once in ``work`` and then serves every seed.
    """
    from core.tuning.predict import class_logits
    from core.tuning.run import fit

    rows = few(task, seed, datasets)
    recipe, data = ready("top-layers", rows.train, rows.labels, seed)
    learned = adapted(datasets, work) if start == HEADLINES else None
    parent = learned.path if learned else ADAPTERS[start]
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(recipe, data, Path(folder), parent)
    built = fitted.built
    logits = class_logits(built.model, built.tokenizer, built.base, recipe, list(rows.test["text"]))
    guessed = [rows.labels[i] for i in logits.argmax(1)]
    found: dict[str, Any] = {"rows": {"train": len(rows.train), "test": len(rows.test)}}
    if learned:
        found["before"] = {"seconds": learned.train_seconds, "metrics": learned.metrics}
    return {**found, "metrics": scores(rows.test["label"], guessed)}


def label_errors(datasets: Path, show: int = 0) -> dict[str, Any]:
    """BANKING77's doubtful training labels, and a frozen encoder's accuracy without them.

    ``show`` examples go to the terminal; nothing of the rows is returned. ``random`` leaves out as many rows drawn
    with five seeds; ``difference`` is without the doubtful minus with all, by a paired bootstrap over test rows.
    """
    from sklearn.linear_model import LogisticRegression

    from core.evaluation import weighted
    from core.evaluation.intervals import bootstrap, paired_bootstrap
    from core.fewlabels.label_errors import suspects
    from core.serving.encoder import load_encoder

    train, test = banking(datasets)
    encoder = load_encoder("minilm")
    known, asked = (encoder.encode(list(rows["text"])) for rows in (train, test))
    found = suspects(list(train["text"]), list(train["label"]), known)
    for one in found[:show]:
        print(f"  {one.quality:.3f}  {one.given} -> {one.suggested}: {one.text}")
    truth, numbers = pd.factorize(test["label"])
    place = {label: number for number, label in enumerate(numbers)}
    labels = train["label"].map(place).to_numpy()

    def guesses(keep: np.ndarray) -> np.ndarray:
        model = LogisticRegression(C=10.0, max_iter=300).fit(known[keep], labels[keep])
        return np.asarray(model.predict(asked))

    every = np.ones(len(train), dtype=bool)
    doubted = every.copy()
    doubted[[one.row for one in found]] = False
    with_all, without = guesses(every), guesses(doubted)
    random = []
    for seed in range(5):
        fewer = every.copy()
        fewer[np.random.default_rng(seed).choice(len(train), len(found), replace=False)] = False
        random.append(float((guesses(fewer) == truth).mean()))
    paired = paired_bootstrap(weighted.accuracy, truth, without, with_all)
    return {
        "train_rows": len(train),
        "test_rows": len(test),
        "found": len(found),
        "all": bootstrap(weighted.accuracy, [truth, with_all]).to_dict(),
        "without": bootstrap(weighted.accuracy, [truth, without]).to_dict(),
        "random": random,
        "difference": paired.to_dict(),
    }


def banking(datasets: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """BANKING77's train and test rows as they are."""
    from benchmarks.recipes import filled
    from core.data.readers import read
    from core.data.sources import Columns, Source

    parts = []
    for name in ("train", "test"):
        given: Mapping[str, str] = BANKING[name]
        source = Source(path=filled(given["path"], datasets), format=given["format"])
        parts.append(read(source, "classification", Columns(), False).frame.dropna(subset=["text", "label"]))
    return parts[0].reset_index(drop=True), parts[1].reset_index(drop=True)
