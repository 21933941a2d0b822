"""Passages for a question: by words and by meaning, only what the asker may read, always from a whole version."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.search.encoding import Encoder
from core.search.hybrid import Hit
from core.search.rerank import Reranker
from core.search.versions import Versions
from verticals.support.knowledge.documents import KnowledgeDocument
from verticals.support.knowledge.store import Indexed, Knowledge

_log = logging.getLogger(__name__)
_REMEMBERED = 64


class QueryEncoder:
    """An encoder that remembers the last questions: one reply asks for the same vector several times."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        """The encoder's."""
        return self._encoder.fingerprint

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        """float32 [n, d] of length 1."""
        if passages or len(texts) != 1:
            return self._encoder.encode(texts, passages=passages)
        with self._lock:
            known = self._known.get(texts[0])
        if known is None:
            known = self._encoder.encode(texts)
            with self._lock:
                self._known[texts[0]] = known
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return known


@dataclass(frozen=True)
class Found:
    """A passage that was found, with its document and scores."""

    hit: Hit
    indexed: Indexed
    document: KnowledgeDocument

    @property
    def text(self) -> str:
        """The passage's own words."""
        return self.document.text[self.indexed.passage.start : self.indexed.passage.end]


class Retrieval:
    """Searches the served version, and moves on to the next one as soon as it is published and read.

    A search that runs while a version is being swapped ends in the one it began in.
    """

    def __init__(self, root: Path, encoder: Encoder, reranker: Reranker | None = None) -> None:
        """Raises InputError when nothing has been ingested yet."""
        self.root, self.encoder, self.reranker = root, encoder, reranker
        self._versions = Versions(root)
        self._knowledge = Knowledge.open(root, encoder)
        self._refreshing = threading.Lock()

    @property
    def knowledge(self) -> Knowledge:
        """The version in use; asks on disk for a newer one, which is then read in the background."""
        known = self._knowledge
        if self._moved(known) and self._refreshing.acquire(blocking=False):
            threading.Thread(target=self._refresh, name="support-index", daemon=True).start()
        return known

    def _moved(self, known: Knowledge) -> bool:
        try:
            return self._versions.current() != known.version
        except (InputError, OSError):
            return False

    def _refresh(self) -> None:
        try:
            self._knowledge = Knowledge.open(self.root, self.encoder)
        except (InputError, OSError, ValueError, KeyError) as error:
            _log.warning("support: the new version cannot be read, the one before goes on: %s", error)
        finally:
            self._refreshing.release()

    def refresh(self) -> int:
        """Read the served version now, for whoever has just published one. Returns its number."""
        with self._refreshing:
            if self._moved(self._knowledge):
                self._knowledge = Knowledge.open(self.root, self.encoder)
        return self._knowledge.version

    def search(
        self,
        question: str,
        groups: Sequence[str],
        k: int = 5,
        documents: Sequence[str] | None = None,
        rerank: bool = True,
        knowledge: Knowledge | None = None,
    ) -> list[Found]:
        """Up to k passages that one of the groups may read, best first; only of ``documents`` where they are given."""
        knowledge = knowledge or self.knowledge
        where: Mapping[str, list[str]] = {"groups": list(groups)}
        if documents is not None:
            where = {**where, "document": list(documents)}
        hits = knowledge.index.search(question, k, where, reranker=self.reranker if rerank else None)
        found = []
        for hit in hits:
            indexed = knowledge.passage(hit.id)
            # The index is asked with the groups already; whoever changes that must not open the documents by it.
            found.append(Found(hit, indexed, knowledge.document(indexed.document, groups)))
        return found
