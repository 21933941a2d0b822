"""Predict with a saved model in a new process: ``python -m benchmarks.reload FOLDER TEXTS.json OUT.npy``."""

import json
import sys
from pathlib import Path


def main() -> None:
    import numpy as np

    from core.serving.predictor import load_predictor

    folder, texts, out = (Path(argument) for argument in sys.argv[1:4])
    np.save(out, load_predictor(folder).logits(json.loads(texts.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
