"""This project's side of the few-label rows, and the two baselines: one process per run, as for the peer.

``python -m benchmarks.fewlabels_ours FOLDER SYSTEM SEED`` fits SYSTEM on FOLDER/data.json and writes
FOLDER/SYSTEM.json. The time is that of fitting: imports and the first look at the weights come before it.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Fit = Callable[[], Callable[[Sequence[str]], np.ndarray]]
METHODS = ("few-shot", "top-layers", "lora")
SYSTEMS = (*METHODS, "frozen", "tf-idf")


def tuned(method: str, given: Mapping[str, Any], seed: int, folder: Path) -> Fit:
    """A way of ``headwater compare``, tuned on every row; no row is spared to choose or calibrate by."""
    from benchmarks.fewlabels_data import ready
    from core.data.label_words import describe
    from core.tuning.predict import class_logits
    from core.tuning.run import fit

    rows = pd.DataFrame(given["train"])
    labels = [f"{number:04d}" for number in range(len(given["labels"]))]
    rows["label"] = [labels[number] for number in rows["label"]]
    names = dict(zip(labels, (describe(label, {}) for label in given["labels"]), strict=True))
    recipe, data = ready(method, rows, labels, seed, names)

    def run() -> Callable[[Sequence[str]], np.ndarray]:
        built = fit(recipe, data, folder / "work").built
        return lambda texts: class_logits(built.model, built.tokenizer, built.base, recipe, texts)

    return run


def frozen(given: Mapping[str, Any]) -> Fit:
    """Untuned backbone vectors under a logistic regression."""
    from sklearn.linear_model import LogisticRegression

    from core.serving.encoder import load_encoder

    encoder = load_encoder("minilm")

    def run() -> Callable[[Sequence[str]], np.ndarray]:
        vectors = encoder.encode(given["train"]["text"])
        model = LogisticRegression(C=10.0, max_iter=1000).fit(vectors, given["train"]["label"])
        return lambda texts: np.asarray(model.predict_proba(encoder.encode(texts)))

    return run


def tfidf(given: Mapping[str, Any]) -> Fit:
    """Word counts under a logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def run() -> Callable[[Sequence[str]], np.ndarray]:
        counts = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        model = make_pipeline(counts, LogisticRegression(C=10.0, max_iter=1000))
        model.fit(given["train"]["text"], given["train"]["label"])
        return lambda texts: np.asarray(model.predict_proba(texts))

    return run


def _warm() -> None:
    """Import what fitting imports, and read the weights once."""
    import sentence_transformers  # noqa: F401
    import torch

    import core.tuning.contrastive  # noqa: F401
    from core.models.sources import load_encoder, resolve

    load_encoder(resolve("minilm"))
    torch.ones(2, 2) @ torch.ones(2, 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, predict, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fewlabels_ours")
    parser.add_argument("folder", type=Path)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("seed", type=int)
    options = parser.parse_args(arguments)
    given = json.loads((options.folder / "data.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        if options.system in METHODS:
            _warm()
            run = tuned(options.system, given, options.seed, Path(folder))
        else:
            run = frozen(given) if options.system == "frozen" else tfidf(given)
        started, burnt = time.perf_counter(), time.process_time()
        answer = run()
        seconds, burnt = time.perf_counter() - started, time.process_time() - burnt
        guesses = answer(given["test"]["text"]).argmax(1).tolist()
    found = {"guesses": guesses, "seconds": seconds, "cpu_seconds": burnt, "settings": {}}
    (options.folder / f"{options.system}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
