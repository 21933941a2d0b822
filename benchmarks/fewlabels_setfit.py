"""setfit's side of the few-label rows; runs in ``.venv-peers`` and knows nothing of this project.

``python fewlabels_setfit.py FOLDER MODEL SEED ITERATIONS``: tunes on FOLDER/data.json with setfit's documented
defaults – cosine loss on pairs, batches of 16, body at 2e-5, one epoch over all pairs, logistic regression as head –
and writes FOLDER/setfit.json. Where all pairs (oversampled) are more than its option ``num_iterations`` = ITERATIONS
would draw, that option takes their place.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path


def main(folder: Path, model: str, seed: int, most: int) -> None:
    """Tune, predict, write."""
    import numpy as np
    import setfit
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    threads = int(os.environ["OMP_NUM_THREADS"])
    torch.set_num_threads(threads)
    given = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    train = Dataset.from_dict(given["train"])
    torch.manual_seed(seed)
    tuned = SetFitModel(model_body=SentenceTransformer(model, device="cpu"), model_head=LogisticRegression())
    tuned.model_body.encode(given["train"]["text"][:4])
    pairs = all_pairs(given["train"]["label"])
    drawn = 2 * most * len(train)
    iterations = most if pairs > drawn else None
    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            output_dir=out,
            num_iterations=iterations,
            seed=seed,
            report_to="none",
            save_strategy="no",
            show_progress_bar=False,
        )
        trainer = Trainer(
            model=tuned, args=arguments, train_dataset=train, column_mapping={"text": "text", "label": "label"}
        )
        started, burnt = time.perf_counter(), time.process_time()
        trainer.train()
        seconds, burnt = time.perf_counter() - started, time.process_time() - burnt
    guesses = np.asarray(tuned.predict(given["test"]["text"], batch_size=64)).astype(int).tolist()
    found = {
        "guesses": guesses,
        "seconds": seconds,
        "cpu_seconds": burnt,
        "settings": {
            "setfit": setfit.__version__,
            "num_iterations": iterations,
            "pairs": drawn if iterations else pairs,
            "batch_size": 16,
        },
    }
    (folder / "setfit.json").write_text(json.dumps(found), encoding="utf-8")


def all_pairs(labels: list[int]) -> int:
    """Pairs of one epoch with oversampling: as many of the same label as of different ones."""
    counts = [labels.count(label) for label in set(labels)]
    same = sum(n * (n - 1) // 2 for n in counts)
    return 2 * max(same, len(labels) * (len(labels) - 1) // 2 - same)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
