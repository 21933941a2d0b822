"""Every tuning method on the same small BANKING77: ``python -m benchmarks.methods``.

All 77 intents with 10 rows each for training and validation, the whole test part, the same epochs, the same
seed; only the method and its learning rate differ. Each model is saved and read back by a new process, whose
predictions on the test part must be the same.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import recipes, store
from benchmarks.recipes import PLACE, shipped, sources
from core.errors import InputError
from core.settings import get_settings
from core.tuning.recipe import Recipe

RESULTS = store.RESULTS / "methods.json"
LEARNING_RATES = {
    "full": 1.5e-4,
    "top-layers": 3e-4,
    "head": 3e-3,
    "bitfit": 2e-3,
    "lora": 5e-4,
    "adalora": 2e-3,
    "ia3": 5e-3,
    "adapter": 1e-3,
    "prefix": 5e-3,
    "prompt": 1e-2,
    "p-tuning": 5e-3,
}
"""The fewer weights move, the larger the steps they need."""
PER_CLASS = 10
EPOCHS = 10
DATA = {
    "train": {"path": f"{PLACE}/banking77/train.csv", "format": "banking77"},
    "test": {"path": f"{PLACE}/banking77/test.csv", "format": "banking77"},
}


def recipe_of(
    method: str, datasets: Path, per_class: int = PER_CLASS, epochs: float = EPOCHS, **training: Any
) -> Recipe:
    """The intents recipe with another method, on the fixed subset."""
    changes = {
        "method": method,
        "training.learning_rate": LEARNING_RATES[method],
        "training.epochs": epochs,
        **{f"training.{name}": value for name, value in training.items()},
    }
    data = {**DATA, "limit_per_class": per_class}
    return shipped("intents", f"bench-method-{method}", data, changes, datasets)


def measure(recipe: Recipe, limit: int | None = None, resamples: int = 1000) -> dict[str, Any]:
    """Tune, judge, save, and compare with what a new process predicts from the saved folder."""
    from core.data.load import load
    from core.evaluation.classification import evaluate_classification
    from core.tuning import artifact, predict
    from core.tuning.run import fit

    data = load(recipe.data, recipe.task, recipe.training.seed)
    test = recipes.test_rows(data).iloc[:limit]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        fitted = fit(recipe, data, Path(folder) / "work")
        minutes = (time.perf_counter() - started) / 60
        built = fitted.built
        # Read before it is saved: saving may fold low-rank updates into the backbone.
        logits = predict.rows_logits(built.model, built.tokenizer, built.base, recipe, test)
        saved = Path(folder) / "model"
        artifact.save(saved, built, recipe, data.labels)
        size = sum(file.stat().st_size for file in saved.rglob("*") if file.is_file())
        again = _in_new_process(saved, list(test["text"]))
    index = {label: i for i, label in enumerate(data.labels)}
    truth = test["label"].map(index).to_numpy()
    from scipy.special import softmax

    metrics = evaluate_classification(truth, softmax(logits, axis=1), data.labels, resamples).metrics_dict()
    same = int((logits.argmax(1) == again.argmax(1)).sum())
    return {
        "trainable_parameters": built.trainable_parameters,
        "total_parameters": built.total_parameters,
        "share": built.trainable_parameters / built.total_parameters,
        "minutes": round(minutes, 2),
        "examples_per_second": fitted.outcome.examples_per_second,
        "metrics": {name: metrics[name] for name in ("accuracy", "f1_macro")},
        "saved_bytes": size,
        "reload_identical": same == len(test),
        "reload_same_predictions": same,
        "reload_largest_logit_difference": float(np.abs(logits - again).max()),
        "rows": {"train": len(data.train), "validation": len(data.validation), "test": len(test)},
        "data_fingerprint": data.fingerprint,
    }


def _in_new_process(folder: Path, texts: list[str]) -> np.ndarray:
    """Logits from a process that knows nothing but the saved folder."""
    from benchmarks.tuning import environment

    texts_file, out = folder.parent / "texts.json", folder.parent / "logits.npy"
    texts_file.write_text(json.dumps(texts), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.reload", str(folder), str(texts_file), str(out)]
    if subprocess.run(command, env=environment(), stdout=sys.stderr).returncode:
        raise RuntimeError("the saved model could not be read back; see the messages above")
    return np.asarray(np.load(out))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.methods", description="Every tuning method.")
    made.add_argument("--only", nargs="+", choices=list(LEARNING_RATES), help="these methods")
    made.add_argument("--epochs", type=float, default=EPOCHS)
    made.add_argument("--fresh", action="store_true", help="run again what is there already")
    made.add_argument("--smoke", action="store_true", help="ten steps on a few rows, into var/benchmarks")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    settings = get_settings()
    out = settings.var / "benchmarks" / "methods.json" if options.smoke else RESULTS
    for method in options.only or LEARNING_RATES:
        try:
            if options.smoke:
                recipe = recipe_of(method, settings.datasets, 2, 1, max_steps=10, head_start="random")
            else:
                recipe = recipe_of(method, settings.datasets, epochs=options.epochs)
        except InputError as error:
            print(f"skipped: {error}", file=sys.stderr)
            store.skip(out, method, str(error))
            continue
        shown = store.public(recipe.model_dump(mode="json"), {str(settings.datasets): PLACE})
        key = store.key_of(shown, store.digest_files(source.path for source in sources(recipe)))

        def found(recipe: Recipe = recipe, shown: Any = shown) -> dict[str, Any]:
            limits: dict[str, Any] = {"limit": 64, "resamples": 50} if options.smoke else {}
            return {"recipe": shown, **measure(recipe, **limits)}

        new = store.part(out, method, key, found, options.fresh)
        result = store.read(out)["parts"][method]
        print(
            f"{method}: accuracy {result['metrics']['accuracy']['value']:.4f}, {result['minutes']} min,"
            f" reload {'identical' if result['reload_identical'] else 'DIFFERS'}"
            f"{'' if new else ' (was there already)'}",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
