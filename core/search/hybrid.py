"""Words and meaning together: documents, each with one or more texts, found by either and ranked by both."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.errors import InputError
from core.search import fusion
from core.search.encoding import Encoder
from core.search.filters import Where
from core.search.lexical import LexicalIndex
from core.search.rerank import Reranker
from core.search.tokenizer import STOP_WORDS
from core.search.vector import VectorIndex
from core.search.versions import Versions

_CANDIDATES = 100  # texts from the vector index that are looked at for each hit asked for, at least
_TEXTS, _SETTINGS = "texts.jsonl", "hybrid.json"


@dataclass(frozen=True)
class Document:
    """Something that can be found. Several texts (question and answer, passages) lead to the same document."""

    id: str
    texts: tuple[str, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """One result. ``lexical`` is the share of the query's information the words hold (``LexicalIndex.scores``),
    ``semantic`` the cosine of the vectors, cut at 0; ``score`` is both by the index's weights, in [0, 1].
    ``text`` is the number of the document's best text. ``rerank`` is the reranker's score, None when not looked at.
    """

    id: str
    score: float
    lexical: float
    semantic: float
    text: int = 0
    rerank: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Fusion:
    """How two scores become one; ``weight`` is the semantic share."""

    method: Literal["weighted", "ranks"] = "weighted"
    weight: float = 0.7


class HybridIndex:
    """Search over documents; built once, then only read. A changed collection is a new index (``updated``)."""

    def __init__(
        self,
        documents: Sequence[Document],
        vectors: VectorIndex,
        lexical: LexicalIndex,
        encoder: Encoder,
        how: Fusion | None = None,
    ) -> None:
        """Use ``build`` or ``open``."""
        self.documents = tuple(documents)
        self.encoder = encoder
        self.fusion = how or Fusion()
        self._vectors, self._lexical = vectors, lexical
        self._rows = [(d, t) for d, document in enumerate(self.documents) for t in range(len(document.texts))]
        self._document_of = np.array([d for d, _ in self._rows], dtype=np.int64)
        self._by_id = {document.id: number for number, document in enumerate(self.documents)}

    @classmethod
    def build(
        cls,
        documents: Sequence[Document],
        encoder: Encoder,
        how: Fusion | None = None,
        before: "HybridIndex | None" = None,
        stop_words: frozenset[str] | None = None,
    ) -> "HybridIndex":
        """Index documents. Vectors of texts that the index ``before`` holds are taken over, not computed again.

        ``how`` and ``stop_words`` are those of ``before`` unless given.
        Raises InputError for an id used twice and a document without text.
        """
        ids = [document.id for document in documents]
        if len(set(ids)) != len(ids):
            twice = next(name for i, name in enumerate(ids) if name in ids[:i])
            raise InputError(f"document id {twice!r} is there twice; ids must be unique.")
        empty = next((d.id for d in documents if not any(text.strip() for text in d.texts)), None)
        if empty is not None:
            raise InputError(f"document {empty!r} has no text.")
        texts = [text for document in documents for text in document.texts]
        metadata = [document.metadata for document in documents for _ in document.texts]
        known = before._known_vectors() if before and before.encoder.fingerprint == encoder.fingerprint else {}
        vectors = _encoded(texts, encoder, known)
        numbers = [str(i) for i in range(len(texts))]
        found = VectorIndex.build(numbers, vectors, metadata)
        if stop_words is None:
            stop_words = before._lexical.stop_words if before else STOP_WORDS
        lexical = LexicalIndex.build(texts, stop_words=stop_words)
        return cls(documents, found, lexical, encoder, how or (before.fusion if before else None))

    def updated(self, changed: Sequence[Document] = (), removed: Sequence[str] = ()) -> "HybridIndex":
        """An index with some documents added, replaced or removed; only new texts are encoded."""
        there = {document.id: document for document in self.documents if document.id not in set(removed)}
        return HybridIndex.build(list({**there, **{d.id: d for d in changed}}.values()), self.encoder, before=self)

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.documents)

    def document(self, name: str) -> Document:
        """The document of that id. Raises KeyError."""
        return self.documents[self._by_id[name]]

    def search(
        self,
        query: str,
        k: int = 10,
        where: Where | None = None,
        how: Fusion | None = None,
        reranker: Reranker | None = None,
        rerank_first: int = 30,
    ) -> list[Hit]:
        """Up to k documents, best first, all matching ``where``; a document counts by its best text.

        With a reranker the first hits are ordered by its scores as far as its budget goes; the others stay behind
        them in their own order.
        """
        if k < 1:
            raise InputError(f"k is {k}; ask for at least one hit.")
        if not query.strip() or not self.documents:
            return []
        how = how or self.fusion
        wanted = max(k, rerank_first) if reranker else k
        rows, lexical, semantic = self._scored(query, wanted, where)
        if not len(rows):
            return []
        hits = self._merged(rows, lexical, semantic, how)[:wanted]
        return (self._reranked(query, hits, reranker) if reranker else hits)[:k]

    def fit_weight(self, queries: Sequence[tuple[str, Sequence[str]]]) -> "HybridIndex":
        """An index whose semantic weight suits the queries best; each comes with the ids of its right documents.

        Only weighted scores are fitted. Plain fusion can hurt where one part is much better than the other.
        """
        cases = []
        for query, right in queries:
            rows, lexical, semantic = self._scored(query, 50, None)
            documents = self._document_of[rows]
            relevant = np.isin(documents, [self._by_id[name] for name in right if name in self._by_id])
            cases.append(fusion.Case(lexical, semantic, documents, relevant))
        if not cases:
            raise InputError("there are no queries to fit the weight to.")
        weight, _ = fusion.best_weight(cases)
        how = replace(self.fusion, method="weighted", weight=weight)
        return HybridIndex(self.documents, self._vectors, self._lexical, self.encoder, how)

    def _scored(self, query: str, wanted: int, where: Where | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Candidate rows with both scores: the nearest by meaning and the best by words."""
        wide = min(max(_CANDIDATES, 5 * wanted), len(self._rows))
        vector = self.encoder.encode([query])[0]
        near = self._vectors.search(vector, wide, where)[0]
        words = self._lexical.scores(query)
        allowed = self._vectors.allowed(where)
        if allowed is not None:
            words = np.where(allowed, words, 0.0)
        best = np.argpartition(-words, min(wide, len(words)) - 1)[:wide]
        best = best[words[best] > 0]
        by_meaning = {int(name): score for name, score in near}
        only_words = [int(row) for row in best if int(row) not in by_meaning]
        if only_words:
            missing = self._vectors.vectors([str(row) for row in only_words]) @ vector
            by_meaning |= dict(zip(only_words, missing.tolist(), strict=True))
        rows = np.fromiter(by_meaning, dtype=np.int64, count=len(by_meaning))
        semantic = np.clip(np.fromiter(by_meaning.values(), dtype=np.float64, count=len(rows)), 0.0, 1.0)
        return rows, words[rows].astype(np.float64), semantic

    def _merged(self, rows: np.ndarray, lexical: np.ndarray, semantic: np.ndarray, how: Fusion) -> list[Hit]:
        combine = fusion.weighted if how.method == "weighted" else fusion.reciprocal_ranks
        scores = combine(lexical, semantic, how.weight)
        hits: dict[int, Hit] = {}
        for i in np.lexsort((rows, -scores)):
            number, text = self._rows[rows[i]]
            if number not in hits:
                name = self.documents[number].id
                hits[number] = Hit(name, float(scores[i]), float(lexical[i]), float(semantic[i]), text)
        return list(hits.values())

    def _reranked(self, query: str, hits: list[Hit], reranker: Reranker) -> list[Hit]:
        scores = reranker(query, [self.document(hit.id).texts[hit.text] for hit in hits])
        looked_at = [replace(hit, rerank=float(score)) for hit, score in zip(hits, scores, strict=False)]
        return sorted(looked_at, key=lambda hit: -(hit.rerank or 0.0)) + hits[len(looked_at) :]

    def _known_vectors(self) -> dict[str, np.ndarray]:
        vectors = self._vectors.vectors([str(i) for i in range(len(self._rows))])
        texts = (self.documents[d].texts[t] for d, t in self._rows)
        return {_digest(text): vector for text, vector in zip(texts, vectors, strict=True)}

    def save(self, root: Path, notes: dict[str, Any] | None = None, keep: int = 3) -> int:
        """Publish as a new version below ``root`` and serve it; searches in older ones go on. Returns its number."""
        return Versions(root).publish(self.write, {"documents": len(self), **(notes or {})}, keep)

    def write(self, folder: Path) -> None:
        """Write into an existing folder, for a version that holds more files than these."""
        with (folder / _TEXTS).open("w", encoding="utf-8") as out:
            for document in self.documents:
                line = {"id": document.id, "texts": document.texts, "metadata": dict(document.metadata)}
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
        settings = {"fusion": asdict(self.fusion), "encoder": self.encoder.fingerprint}
        (folder / _SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        self._vectors.save(folder)
        self._lexical.save(folder)

    @classmethod
    def open(cls, root: Path, encoder: Encoder, number: int | None = None) -> "HybridIndex":
        """The served version below ``root``, or the given one. Raises InputError when another encoder made it."""
        versions = Versions(root)
        if number is not None:
            return cls.read(versions.folder(number), encoder)
        return versions.open(lambda folder: cls.read(folder, encoder))[1]

    @classmethod
    def read(cls, folder: Path, encoder: Encoder) -> "HybridIndex":
        """Read what ``write`` wrote. Raises InputError when another encoder made it."""
        settings = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        if settings["encoder"] != encoder.fingerprint:
            raise InputError(f"{folder} was made with another encoder; build the index again or load that encoder.")
        with (folder / _TEXTS).open(encoding="utf-8") as lines:
            values = [json.loads(line) for line in lines]
        documents = [Document(v["id"], tuple(v["texts"]), v["metadata"]) for v in values]
        how = Fusion(**settings["fusion"])
        return cls(documents, VectorIndex.open(folder), LexicalIndex.open(folder), encoder, how)


def _encoded(texts: Sequence[str], encoder: Encoder, known: Mapping[str, np.ndarray]) -> np.ndarray:
    digests = [_digest(text) for text in texts]
    new = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in known}
    fresh = dict(zip(new, encoder.encode(list(new.values()), passages=True), strict=True)) if new else {}
    if not texts:
        return np.empty((0, len(encoder.encode(["probe"])[0])), dtype=np.float32)
    return np.stack([known[digest] if digest in known else fresh[digest] for digest in digests])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
