"""Haystack's and LlamaIndex' pipelines asked from here: how well they rank, and the processes that answer."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_data import Cached
from benchmarks.search_quality import DEEPEST, Collection, intervals, judge
from core.settings import PROJECT_ROOT

PEERS = ("haystack", "llamaindex")
PYTHON = PROJECT_ROOT / ".venv-peers" / "bin" / "python"
Ask = Callable[[str], dict[str, Any]]


@contextmanager
def answering(names: Iterable[str], folder: Path, depth: int = 5) -> Iterator[tuple[dict[str, Ask], dict[str, str]]]:
    """Processes that have read ``folder`` and answer: (name -> ask, name -> why it is missing)."""
    workers: dict[str, subprocess.Popen[str]] = {}
    missing: dict[str, str] = {}
    try:
        for name in names:
            python = PYTHON if name in PEERS else Path(sys.executable)
            if not python.is_file():
                missing[name] = f"{python.name} of .venv-peers is missing; run: make peers"
                continue
            workers[name] = _start(python, name, folder, depth)
        for name in list(workers):
            if json.loads(workers[name].stdout.readline() or "{}") != {"ready": True}:
                missing[name] = "its process ended before the first reply; see its messages above"
                workers.pop(name).wait()
        yield {name: _ask(worker) for name, worker in workers.items()}, missing
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()


def _start(python: Path, name: str, folder: Path, depth: int) -> "subprocess.Popen[str]":
    command = [str(python), "-m", "benchmarks.support_systems", name, str(folder), "--depth", str(depth)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=PROJECT_ROOT
    )


def _ask(worker: "subprocess.Popen[str]") -> Ask:
    assert worker.stdin is not None and worker.stdout is not None
    questions, answers = worker.stdin, worker.stdout

    def ask(question: str) -> dict[str, Any]:
        questions.write(json.dumps(question) + "\n")
        questions.flush()
        return dict(json.loads(answers.readline()))

    return ask


def ranked_by_peers(collection: Collection, encoder: Cached, folder: Path, model: Path) -> dict[str, Any]:
    """What ``search_quality.measure`` says of ours, of the peers' pipelines on the same passages and vectors.

    A pipeline knows passages only; a document of several texts stands where the first of them stands.
    """
    owners = [document.id for document in collection.documents for _ in document.texts]
    texts = collection.texts()
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "vectors.npy", encoder.prepare(texts, passages=True))
    (folder / "corpus.json").write_text(json.dumps({"texts": texts, "model": str(model)}), encoding="utf-8")
    with answering(PEERS, folder, min(DEEPEST, len(texts))) as (asks, missing):
        values = {
            name: np.array(
                [
                    judge(list(dict.fromkeys(owners[place] for place in ask(query)["found"])), right)
                    for query, right in collection.queries
                ]
            )
            for name, ask in asks.items()
        }
    return {
        "queries": len(collection.queries),
        "systems": {name: intervals(found) for name, found in values.items()},
        "missing": missing,
    }
