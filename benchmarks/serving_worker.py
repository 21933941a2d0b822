"""One system of the prediction benchmark, ready and waiting for its turns: see ``benchmarks.interleave.Meter``.

``python -m benchmarks.serving_worker classification pipeline``; every system is given the same texts in the same
order, a block at a time, and returns labels with probabilities, or vectors.
"""

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.interleave import Meter, Stopped, worker_channel
from benchmarks.search_data import corpus
from core.settings import PROJECT_ROOT, get_settings

CLASSIFIER, BACKBONE = PROJECT_ROOT / "data" / "adapters" / "banking-intents", "minilm"
BLOCK, THREADS, MAX_LENGTH, PIPELINE_BATCH = 1_024, 2, 128, 32
PEERS = {"classification": "pipeline", "embedding": "sentence-transformers"}
System = Callable[[Sequence[str]], Any]


def questions(datasets: Path) -> list[str]:
    """BANKING77's test questions: what a classifier is asked."""
    with (datasets / "banking77" / "test.csv").open(encoding="utf-8", newline="") as lines:
        return [row["text"] for row in csv.DictReader(lines)]


def mixed(datasets: Path) -> list[str]:
    """A seeded draw of different texts of all data sets, short and long: what an encoder is given to index."""
    return corpus(datasets, 4 * BLOCK)


def pipeline() -> System:
    """``transformers.pipeline`` on the same backbone with a head of the same size, batches of 32.

    The head is untrained, which changes the answers and not the time they take.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers import pipeline as make

    from core.models.sources import resolve
    from core.serving.encoder import find_network

    path, labels = resolve(BACKBONE).path, find_network(CLASSIFIER).width
    tokenizer = AutoTokenizer.from_pretrained(path, model_max_length=MAX_LENGTH)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=labels)
    run: Any = make("text-classification", model=model, tokenizer=tokenizer, device="cpu", batch_size=PIPELINE_BATCH)
    return lambda texts: run(list(texts), truncation=True)


def sentence_transformers() -> System:
    """``SentenceTransformer.encode`` as it comes."""
    from sentence_transformers import SentenceTransformer

    from core.models.sources import resolve

    model = SentenceTransformer(str(resolve(BACKBONE).path), device="cpu", local_files_only=True)
    return lambda texts: model.encode(list(texts), show_progress_bar=False)


def ours(task: str, engine: str) -> System:
    """This project's call for the task on one of its engines; exports must be there."""
    from core.serving.encoder import load_encoder
    from core.serving.predictor import load_predictor

    if task == "classification":
        return load_predictor(CLASSIFIER, engine=engine).predict
    return load_encoder(BACKBONE, engine=engine).encode


def system(task: str, name: str) -> System:
    """The call to measure."""
    if name == PEERS.get(task):
        return pipeline() if name == "pipeline" else sentence_transformers()
    return ours(task, name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Work through the texts again and again until the controller has enough."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving_worker", description=__doc__)
    parser.add_argument("task", choices=list(PEERS))
    parser.add_argument("system")
    parser.add_argument("--block", type=int, default=BLOCK)
    chosen = parser.parse_args(arguments)
    meter = Meter(worker_channel())
    datasets = get_settings().datasets
    texts = questions(datasets) if chosen.task == "classification" else mixed(datasets)
    blocks = [texts[start : start + chosen.block] for start in range(0, len(texts) - chosen.block + 1, chosen.block)]
    run = system(chosen.task, chosen.system)
    run(blocks[0][:64])
    try:
        while True:
            for block in blocks:
                run(block)
                meter.mark(len(block))
    except Stopped:
        return


if __name__ == "__main__":
    main()
