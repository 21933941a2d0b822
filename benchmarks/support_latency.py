"""How long one reply of the bot takes, and one of its peers, among 10,000 passages."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_data import corpus, enlarge
from benchmarks.support_data import banking_test
from benchmarks.support_peers import PEERS, answering

PASSAGES = 10_000
REAL = 1_500  # texts that are really encoded; the others' vectors are mixed from theirs
AIMS = {"p95_ms": 60.0, "times_faster": 2.0}


def latency(folder: Path, datasets: Path, replies: int) -> dict[str, Any]:
    """p50 and p95 of one reply of each system, in ms, the systems taking turns question by question."""
    _prepare(folder, datasets)
    questions = _questions(datasets, replies)
    with answering(("headwater", *PEERS), folder) as (asks, missing):
        found: dict[str, list[float]] = {name: [] for name in asks}
        for question in questions:
            for name, ask in asks.items():
                found[name].append(ask(question)["ms"])
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


def _prepare(folder: Path, datasets: Path) -> None:
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
    ingest_blobs([blob], folder / "index", Given(encoder, vectors))
    np.save(folder / "vectors.npy", vectors)
    about = {"texts": texts, "model": str(resolve("minilm").path)}
    (folder / "corpus.json").write_text(json.dumps(about), encoding="utf-8")


class Given:
    """Takes vectors that are there, one after another, for the encoder whose fingerprint it bears.

    What a passage means does not matter for how long a search among 10,000 takes; encoding them all would.
    """

    def __init__(self, encoder: Any, vectors: np.ndarray) -> None:
        self.fingerprint, self._vectors = encoder.fingerprint, vectors

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        """float32 [n, d]."""
        return np.resize(self._vectors, (len(texts), self._vectors.shape[1]))


def _questions(datasets: Path, count: int) -> list[str]:
    every = banking_test(datasets).texts
    return list(every[:: max(1, len(every) // count)][:count])
