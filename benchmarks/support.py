"""The support bot measured: scope, retrieval, and a reply's latency beside peers: ``python -m benchmarks.support``.

Parts: ``bot`` (BANKING77's test questions and CLINC150's out-of-scope ones), ``retrieval`` (StackFAQ and BankFAQs by
words, by meaning, by both), ``tuned`` (the same with a matching model tuned on other folds), ``latency`` (10,000
passages, the peers taking turns). A finished part is not measured again.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import store
from benchmarks.search_data import Backbone, Cached, corpus, enlarge
from benchmarks.search_quality import bankfaqs, measure, stackfaq
from core.settings import PROJECT_ROOT, get_settings

PASSAGES, REPLIES = 10_000, 200
REAL = 1_500  # texts that are really encoded for the latency part; the others' vectors are mixed from theirs
AIMS = {"p95_ms": 60.0, "times_faster": 2.0}
PARTS = ("bot", "retrieval", "latency", "tuned")
PEERS = PROJECT_ROOT / ".venv-peers" / "bin" / "python"


def bot(datasets: Path, first: int | None) -> dict[str, Any]:
    """What ``headwater support evaluate`` prints, on an index of the shipped knowledge."""
    from verticals.support.bot import Bot
    from verticals.support.evaluation import evaluate_shipped
    from verticals.support.opening import ingest_paths
    from verticals.support.settings import SupportSettings

    settings = SupportSettings(index=get_settings().cache / "support-bench-index")
    ingest_paths([settings.knowledge], settings)
    return evaluate_shipped(Bot.open(settings), datasets, first)


def latency(folder: Path, datasets: Path, replies: int, peers: Path = PEERS) -> dict[str, Any]:
    """p50 and p95 of one reply of each system, in ms, the systems taking turns question by question."""
    prepare(folder, datasets)
    questions = _questions(datasets, replies)
    found: dict[str, list[float]] = {}
    workers: dict[str, subprocess.Popen[str]] = {}
    missing = {}
    try:
        for name, python in (("headwater", Path(sys.executable)), ("haystack", peers), ("llamaindex", peers)):
            if not python.is_file():
                missing[name] = f"{python.name} of .venv-peers is missing; run: make peers"
                continue
            workers[name] = _worker(python, name, folder)
        for name in list(workers):
            if json.loads(workers[name].stdout.readline() or "{}") != {"ready": True}:
                missing[name] = "its process ended before the first reply; see its messages above"
                del workers[name]
        for question in questions:
            for name, worker in workers.items():
                worker.stdin.write(json.dumps(question) + "\n")
                worker.stdin.flush()
                found.setdefault(name, []).append(json.loads(worker.stdout.readline())["ms"])
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
    systems = {
        name: {f"p{share}_ms": float(np.percentile(times, share)) for share in (50, 95)}
        for name, times in found.items()
    }
    ratios = {
        name: {key: systems[name][key] / systems["headwater"][key] for key in ("p50_ms", "p95_ms")}
        for name in systems
        if name != "headwater"
    }
    about = {"passages": PASSAGES, "really_encoded": REAL, "replies": len(questions), "aims": AIMS}
    return {**about, "systems": systems, "times_faster": ratios, "missing": missing}


def prepare(folder: Path, datasets: Path) -> None:
    """Passages and their vectors for all systems, and the index of ours, once."""
    if (folder / "corpus.json").is_file():
        return
    from core.models.sources import resolve
    from verticals.support.knowledge.ingest import Blob, ingest_blobs
    from verticals.support.opening import open_encoder
    from verticals.support.settings import SupportSettings

    folder.mkdir(parents=True, exist_ok=True)
    texts = [" ".join(text.split())[:400] for text in corpus(datasets, PASSAGES)]
    encoder = open_encoder(SupportSettings())
    vectors = enlarge(encoder.encode(texts[:REAL], passages=True), len(texts))
    lines = "\n".join(json.dumps({"id": f"p{n}", "question": t[:80], "answer": t}) for n, t in enumerate(texts))
    blob = Blob("bench", "passages.jsonl", lines.encode)
    ingest_blobs([blob], folder / "index", _Given(encoder, vectors))
    np.save(folder / "vectors.npy", vectors)
    about = {"texts": texts, "model": str(resolve("minilm").path)}
    (folder / "corpus.json").write_text(json.dumps(about), encoding="utf-8")


class _Given:
    """Takes vectors that are there, one after another, for the encoder whose fingerprint it bears.

    What a passage means does not matter for how long a search among 10,000 takes; encoding them all would.
    """

    def __init__(self, encoder: Any, vectors: np.ndarray) -> None:
        self.fingerprint, self._vectors = encoder.fingerprint, vectors

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        """float32 [n, d]."""
        return np.resize(self._vectors, (len(texts), self._vectors.shape[1]))


def _questions(datasets: Path, count: int) -> list[str]:
    from benchmarks.support_data import banking_test

    every = banking_test(datasets).texts
    return list(every[:: max(1, len(every) // count)][:count])


def _worker(python: Path, name: str, folder: Path) -> "subprocess.Popen[str]":
    command = [str(python), "-m", "benchmarks.support_latency", name, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=PROJECT_ROOT
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure the parts that are missing."""
    settings, file, fresh = get_settings(), arguments.out, arguments.fresh
    folder, datasets = settings.cache / "support", settings.datasets
    needed = {
        "stackfaq": datasets / "stackfaq" / "stackExchange-FAQ.json",
        "bankfaqs": datasets / "bankfaqs" / "BankFAQs.csv",
        "banking77": datasets / "banking77" / "test.csv",
    }
    gone = [name for name, path in needed.items() if not path.is_file()]
    if gone:
        for part in arguments.parts:
            store.skip(file, part, f"{', '.join(gone)}: not in the data sets folder")
        return
    measured: Mapping[str, Callable[[], None]] = {
        "bot": lambda: _part(
            file, "bot", ["bot 1", arguments.first], partial(bot, datasets, arguments.first or None), fresh
        ),
        "retrieval": lambda: _retrieval(file, needed, settings.cache / "search", fresh),
        "latency": lambda: _part(
            file,
            "latency",
            ["latency 1", arguments.replies],
            partial(latency, folder, datasets, arguments.replies),
            fresh,
        ),
        "tuned": lambda: _tuned(file, needed, fresh),
    }
    for part in arguments.parts:
        measured[part]()


def _part(file: Path, name: str, key: list[Any], measure: Callable[[], dict[str, Any]], fresh: bool) -> None:
    store.part(file, name, store.key_of(*key), measure, fresh)


def _retrieval(file: Path, needed: Mapping[str, Path], cache: Path, fresh: bool) -> None:
    encoder = Cached(Backbone("minilm"), cache, {})
    for collection in (*stackfaq(needed["stackfaq"]), *bankfaqs(needed["bankfaqs"])):
        _part(file, f"retrieval/{collection.name}", ["retrieval 1"], partial(measure, collection, encoder), fresh)


def _tuned(file: Path, needed: Mapping[str, Path], fresh: bool) -> None:
    from benchmarks.support_tuned import fold, folds, joined

    for name in ("stackfaq", "bankfaqs"):
        for number in range(folds(name)):
            _part(file, f"tuned/{name}/{number}", ["tuned 1"], partial(fold, name, needed[name], number), fresh)
        _part(file, f"tuned/{name}", ["tuned 1"], partial(joined, file, name), fresh)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.support", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--first", type=int, default=300, help="of BANKING77's test questions; 0 takes all")
    parser.add_argument("--replies", type=int, default=REPLIES)
    parser.add_argument("--out", type=Path, default=store.RESULTS / "support.json")
    parser.add_argument("--fresh", action="store_true", help="measure finished parts again")
    run(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
