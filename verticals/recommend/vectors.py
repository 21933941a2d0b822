"""Item vectors by the text's hash: from the trained version, from the embedding cache, or encoded now and kept."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.serving.embedding_cache import EmbeddingCache
from verticals.recommend.histories import Float32
from verticals.recommend.taste import check_vectors


def hashes_of(texts: Sequence[str]) -> tuple[str, ...]:
    """What stands for each text."""
    return tuple(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest() for text in texts)


def shipped(path: Path, encoder: str) -> "ItemVectors | None":
    """Vectors that ship with the sample, so that its first training loads no encoder; None for another encoder."""
    if encoder != SHIPPED_ENCODER or not path.is_file():
        return None
    with np.load(path) as arrays:
        vectors = arrays["vectors"].astype(np.float32)
        return ItemVectors(encoder, str(arrays["fingerprint"]), (arrays["hashes"].tolist(), vectors))


SHIPPED_ENCODER = "minilm"


class ItemVectors:
    """Vectors of texts by one encoder, which is loaded only when a text was never seen.

    ``fingerprint`` is that of the encoder the ``known`` (hashes, vectors) came from, None to ask the encoder.
    """

    def __init__(
        self,
        encoder: str,
        fingerprint: str | None = None,
        known: tuple[Sequence[str], Float32] | None = None,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.encoder, self._fingerprint = encoder, fingerprint
        self._rows = {hash: number for number, hash in enumerate(known[0])} if known else {}
        self._vectors = known[1] if known else np.empty((0, 0), dtype=np.float32)
        self._cache = EmbeddingCache() if cache is None else cache
        self._loaded: Any = None

    @property
    def fingerprint(self) -> str:
        """Changes with the encoder's weights."""
        if self._fingerprint is None:
            self._fingerprint = str(self.model.fingerprint)
        return self._fingerprint

    @property
    def model(self) -> Any:
        """The encoder, loaded at its first use."""
        if self._loaded is None:
            from core.serving.encoder import load_encoder

            self._loaded = load_encoder(self.encoder)
        return self._loaded

    def query(self, texts: Sequence[str]) -> Float32:
        """Unit vectors [n, d] of what people ask for or declare."""
        return self._cached("query", texts, passages=False)

    def of(self, texts: Sequence[str]) -> Float32:
        """Unit vectors [n, d] of item texts; only those never seen are encoded."""
        hashes = hashes_of(texts)
        new = {hash: text for hash, text in zip(hashes, texts, strict=True) if hash not in self._rows}
        fresh: dict[str, Float32] = {}
        if new:
            fresh = dict(zip(new, self._cached("passage", list(new.values()), passages=True), strict=True))
        else:
            rows = np.fromiter((self._rows[hash] for hash in hashes), dtype=np.int64, count=len(hashes))
            same = len(rows) == len(self._vectors) and bool((rows == np.arange(len(rows))).all())
            return check_vectors(self._vectors if same else self._vectors[rows], len(texts))
        found = [fresh[hash] if hash in fresh else self._vectors[self._rows[hash]] for hash in hashes]
        return check_vectors(np.stack(found), len(texts))

    def _cached(self, role: str, texts: Sequence[str], passages: bool) -> Float32:
        space = f"{self.fingerprint}/{role}"
        known = self._cache.get(space, list(texts))
        missing = list(dict.fromkeys(text for text, row in zip(texts, known, strict=True) if row is None))
        fresh: dict[str, Float32] = {}
        if missing:
            made = np.asarray(self.model.encode(missing, passages=passages), dtype=np.float32)
            self._cache.put(space, missing, made)
            fresh = dict(zip(missing, made, strict=True))
        rows = [fresh[text] if row is None else row for text, row in zip(texts, known, strict=True)]
        return np.stack(rows).astype(np.float32)
