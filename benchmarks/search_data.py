"""Texts and vectors for the search benchmarks: real ones, and many more mixed from them."""

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.search.encoding import Encoder

_CLUSTER = 20  # rows a cluster, about; mixing happens inside one
_BLOCK = 512  # texts in one file of the cache
_SEED = 7


class Backbone:
    """A sentence encoder read by sentence-transformers, one thread a torch setting away."""

    def __init__(self, name: str, max_length: int = 256) -> None:
        """``name`` is a row of the catalogue, a folder or a hub id."""
        from sentence_transformers import SentenceTransformer

        from core.models.sources import resolve

        local = resolve(name)
        self._model = SentenceTransformer(str(local.path), device="cpu", local_files_only=True)
        self._model.max_seq_length = max_length
        self._prefixes = (local.backbone.query_prefix or "", local.backbone.passage_prefix or "")
        self.fingerprint = f"{name}-{max_length}"

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        """float32 [n, d] of length 1."""
        prefix = self._prefixes[passages]
        prepared = [prefix + text for text in texts]
        found = self._model.encode(prepared, batch_size=64, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(found, dtype=np.float32)


@dataclass(frozen=True)
class Cached:
    """An encoder whose vectors are kept in a folder, so that an interrupted benchmark goes on where it was."""

    encoder: Encoder
    folder: Path
    known: dict[tuple[str, bool], np.ndarray]

    @property
    def fingerprint(self) -> str:
        """The encoder's."""
        return self.encoder.fingerprint

    def prepare(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        """Vectors of a list, block by block from the folder or computed; each is then known by its text."""
        unique = [text for text in dict.fromkeys(texts) if (text, passages) not in self.known]
        for start in range(0, len(unique), _BLOCK):
            block = unique[start : start + _BLOCK]
            vectors = self._block(block, passages)
            self.known.update({(text, passages): vector for text, vector in zip(block, vectors, strict=True)})
        return np.stack([self.known[text, passages] for text in texts])

    def _block(self, texts: Sequence[str], passages: bool) -> np.ndarray:
        digest = hashlib.sha256("\0".join([self.fingerprint, str(passages), *texts]).encode()).hexdigest()[:16]
        file = self.folder / f"{digest}.npy"
        if not file.is_file():
            vectors = self.encoder.encode(texts, passages)
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(f".{os.getpid()}.npy")
            np.save(temporary, vectors)
            temporary.replace(file)
        return np.asarray(np.load(file))

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        """float32 [n, d]."""
        if all((text, passages) in self.known for text in texts):
            return np.stack([self.known[text, passages] for text in texts])
        return self.encoder.encode(texts, passages)


def corpus(folder: Path, limit: int | None = None) -> list[str]:
    """Different texts of all data sets below a folder, in a seeded order, at most ``limit``."""
    texts = list(dict.fromkeys(text for file in sorted(folder.rglob("*")) for text in _texts(file)))
    order = np.random.default_rng(_SEED).permutation(len(texts))
    return [texts[i] for i in order[:limit]]


def _texts(file: Path) -> Iterator[str]:
    suffix = file.suffix.lower()
    if suffix == ".json":
        found = _in_json(json.loads(file.read_text(encoding="utf-8", errors="replace")))
    elif suffix in (".csv", ".tsv"):
        found = _in_table(file, "\t" if suffix == ".tsv" else ",")
    elif suffix == ".txt" and "phrasebank" in file.parts:
        found = (line.rpartition("@")[0] for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
    else:
        found = iter(())
    yield from (text.strip() for text in found if len(text.split()) >= 3)


def _in_table(file: Path, separator: str) -> Iterator[str]:
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        for row in csv.reader((line.replace("\0", "") for line in lines), delimiter=separator):
            # Files differ in their columns; what reads like a sentence is one.
            yield from (cell for cell in row if len(cell) > 15 and " " in cell.strip())


def _in_json(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _in_json(one)


def enlarge(vectors: np.ndarray, rows: int, seed: int = _SEED) -> np.ndarray:
    """float32 [rows, d] of length 1: the real vectors first, then mixtures of two near each other.

    A new row is a random convex mixture of two real rows of one k-means cluster (about 20 rows each), moved by
    Gaussian noise of length 0.2 (the usual distance to the nearest real row is several times that). So clusters
    are dense as with real texts of few subjects; they are not real texts, and results at such sizes say so.
    """
    if rows <= len(vectors):
        return np.ascontiguousarray(vectors[:rows])
    import faiss

    random = np.random.default_rng(seed)
    count = max(1, len(vectors) // _CLUSTER)
    kmeans = faiss.Kmeans(vectors.shape[1], count, niter=4, seed=seed, spherical=True, max_points_per_centroid=64)
    kmeans.train(vectors)
    member = kmeans.index.search(vectors, 1)[1][:, 0]
    order = np.argsort(member, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    starts = np.searchsorted(member[order], np.arange(count))
    sizes = np.bincount(member, minlength=count)
    result = np.empty((rows, vectors.shape[1]), dtype=np.float32)
    result[: len(vectors)] = vectors
    for begin in range(len(vectors), rows, 50_000):
        end = min(rows, begin + 50_000)
        first = random.integers(len(vectors), size=end - begin)
        cluster = member[first]
        second = order[starts[cluster] + random.integers(sizes[cluster])]
        share = random.random((end - begin, 1), dtype=np.float32)
        noise = random.standard_normal((end - begin, vectors.shape[1]), dtype=np.float32)
        mixed = share * vectors[first] + (1 - share) * vectors[second]
        mixed += 0.2 / np.sqrt(vectors.shape[1]) * noise
        result[begin:end] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return result
