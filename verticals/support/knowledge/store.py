"""The knowledge base on disk: versions, each whole, one of them served while the next is being made."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.search.compare import QueryChange, diff
from core.search.encoding import Encoder
from core.search.hybrid import Document, HybridIndex
from core.search.versions import Versions
from verticals.support.knowledge.documents import KnowledgeDocument
from verticals.support.knowledge.passages import Passage, Sentence, passages

_DOCUMENTS, _PASSAGES, _SENTENCES = "documents.jsonl", "passages.jsonl", "sentences.npy"


@dataclass(frozen=True)
class Indexed:
    """A passage in the index: its id there, its document, and the rows of its sentences' vectors."""

    id: str
    document: str
    passage: Passage
    first_sentence: int

    @property
    def sentence_rows(self) -> slice:
        """Rows of ``Knowledge.sentence_vectors``."""
        return slice(self.first_sentence, self.first_sentence + len(self.passage.sentences))


@dataclass(frozen=True)
class VersionInfo:
    """One version: how much is in it, when and by what change it came, and whether it is served."""

    number: int
    served: bool
    documents: int
    passages: int
    created: str
    changes: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Knowledge:
    """One version, opened. Never changes; a changed knowledge base is another version."""

    def __init__(
        self,
        documents: Sequence[KnowledgeDocument],
        index: HybridIndex,
        indexed: Sequence[Indexed],
        sentence_vectors: np.ndarray,
        version: int = 0,
    ) -> None:
        """Use ``build`` or ``open``; ``sentence_vectors`` is float16 [sentences, d]."""
        self.index, self.version = index, version
        self.sentence_vectors = sentence_vectors
        self._documents = {document.id: document for document in documents}
        self._indexed = {one.id: one for one in indexed}

    @classmethod
    def build(
        cls, documents: Sequence[KnowledgeDocument], encoder: Encoder, before: "Knowledge | None" = None
    ) -> "Knowledge":
        """Cut into passages and encode; what ``before`` has encoded is taken over."""
        indexed: list[Indexed] = []
        searched: list[Document] = []
        texts: list[str] = []
        for document in documents:
            for number, passage in enumerate(passages(document)):
                name = f"{document.id}#{number}"
                indexed.append(Indexed(name, document.id, passage, len(texts)))
                texts += [document.text[s.start : s.end] for s in passage.sentences]
                about = {"document": document.id, "groups": list(document.groups), "language": document.language}
                searched.append(Document(name, _searched(document, passage, number), about))
        index = HybridIndex.build(searched, encoder, before=before.index if before else None)
        known = before.known_sentences(encoder) if before else {}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known |= dict(zip(new, encoder.encode(new, passages=True).astype(np.float16), strict=True))
        vectors = np.stack([known[text] for text in texts]) if texts else np.empty((0, 1), np.float16)
        return cls(documents, index, indexed, vectors)

    def known_sentences(self, encoder: Encoder) -> dict[str, np.ndarray]:
        """Vectors by sentence, if this encoder made them."""
        if self.index.encoder.fingerprint != encoder.fingerprint:
            return {}
        found = {}
        for one in self._indexed.values():
            text = self._documents[one.document].text
            for row, s in enumerate(one.passage.sentences, one.first_sentence):
                found[text[s.start : s.end]] = self.sentence_vectors[row]
        return found

    def save(self, root: Path, notes: Mapping[str, Any], keep: int) -> int:
        """Publish as a new version and serve it. Returns its number."""
        about = {"documents": len(self._documents), "passages": len(self._indexed), **notes}
        return Versions(root).publish(self._write, about, keep)

    def _write(self, folder: Path) -> None:
        self.index.write(folder)
        np.save(folder / _SENTENCES, self.sentence_vectors)
        _write_lines(folder / _DOCUMENTS, [document.to_dict() for document in self._documents.values()])
        _write_lines(folder / _PASSAGES, [asdict(one) for one in self._indexed.values()])

    @classmethod
    def open(cls, root: Path, encoder: Encoder, number: int | None = None) -> "Knowledge":
        """The served version, or the given one. Raises InputError when there is none or another encoder made it."""
        versions = Versions(root)
        if number is not None:
            return cls._read(versions.folder(number), encoder, number)
        served, found = versions.open(lambda folder: cls._read(folder, encoder, 0))
        found.version = served
        return found

    @classmethod
    def _read(cls, folder: Path, encoder: Encoder, number: int) -> "Knowledge":
        documents = [KnowledgeDocument.from_dict(line) for line in _lines(folder / _DOCUMENTS)]
        indexed = [_indexed(line) for line in _lines(folder / _PASSAGES)]
        vectors = np.load(folder / _SENTENCES, mmap_mode="r")
        return cls(documents, HybridIndex.read(folder, encoder), indexed, vectors, number)

    def __len__(self) -> int:
        """Number of passages."""
        return len(self._indexed)

    @cached_property
    def by_source(self) -> dict[str, list[KnowledgeDocument]]:
        """Documents by the file or address they came from."""
        found: dict[str, list[KnowledgeDocument]] = {}
        for document in self._documents.values():
            found.setdefault(document.source, []).append(document)
        return found

    def documents(self, groups: Sequence[str] | None = None) -> list[KnowledgeDocument]:
        """Documents that one of ``groups`` may read; all of them for None."""
        every = self._documents.values()
        return [one for one in every if groups is None or set(groups) & set(one.groups)]

    def document(self, name: str, groups: Sequence[str] | None = None) -> KnowledgeDocument:
        """One document. Raises InputError when there is none, or none that the groups may read: no telling which."""
        found = self._documents.get(name)
        if found is None or (groups is not None and not set(groups) & set(found.groups)):
            raise InputError(f"there is no document {name!r}.")
        return found

    def passage(self, name: str) -> Indexed:
        """The passage of a hit. Raises KeyError."""
        return self._indexed[name]


def versions(root: Path) -> list[VersionInfo]:
    """Every version that is kept, newest first."""
    kept = Versions(root)
    served = kept.current()
    return [_info(number, number == served, kept.manifest(number)["notes"]) for number in reversed(kept.numbers())]


def rollback(root: Path, number: int | None = None) -> VersionInfo:
    """Serve an earlier version; searches that run keep theirs until they end."""
    kept = Versions(root)
    number = kept.rollback(number)
    return _info(number, True, kept.manifest(number)["notes"])


def diff_versions(
    root: Path, encoder: Encoder, questions: Sequence[str], old: int, new: int | None = None, k: int = 5
) -> list[QueryChange]:
    """What ``new`` (the served version unless given) changes against ``old`` for saved questions, by document."""
    before, after = Knowledge.open(root, encoder, old), Knowledge.open(root, encoder, new)
    return diff(questions, before.index.search, after.index.search, k)


def _info(number: int, served: bool, notes: Mapping[str, Any]) -> VersionInfo:
    created, changes = str(notes.get("created", "")), dict(notes.get("changes", {}))
    return VersionInfo(number, served, int(notes["documents"]), int(notes["passages"]), created, changes)


def _searched(document: KnowledgeDocument, passage: Passage, number: int) -> tuple[str, ...]:
    """What leads to a passage: its words under its titles; for an FAQ entry its question as well."""
    body = document.text[passage.start : passage.end]
    above = ". ".join(part for part in dict.fromkeys((document.title, passage.heading)) if part)
    joint = " " if above.endswith(("?", "？", "!", ".")) else ". "
    return (f"{above}{joint}{body}", *(document.questions if number == 0 else ()))


def _indexed(values: Mapping[str, Any]) -> Indexed:
    own = values["passage"]
    sentences = tuple(Sentence(**one) for one in own["sentences"])
    passage = Passage(own["heading"], own["start"], own["end"], sentences)
    return Indexed(values["id"], values["document"], passage, values["first_sentence"])


def _write_lines(file: Path, values: Sequence[Mapping[str, Any]]) -> None:
    with file.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def _lines(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
