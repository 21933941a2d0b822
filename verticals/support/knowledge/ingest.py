"""Bring documents into the knowledge base: only what changed is read, and what cannot be read stops nothing."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.search.encoding import Encoder
from core.search.versions import Versions
from verticals.support.knowledge.documents import KnowledgeDocument, digest
from verticals.support.knowledge.reading import FILE_BYTES, READERS, read_documents
from verticals.support.knowledge.store import Knowledge

Progress = Callable[[int, int, str], None]
Clock = Callable[[], datetime]
_LOCK = ".ingest.lock"


@dataclass(frozen=True)
class Failure:
    """A source that could not be read, and why. ``kept``: its earlier documents stay."""

    source: str
    reason: str
    kept: bool


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did. ``version`` is the one that is served now; None while there is none."""

    version: int | None
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: int = 0
    failed: tuple[Failure, ...] = ()
    documents: int = 0
    passages: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        lists = {name: list(getattr(self, name)) for name in ("added", "changed", "removed")}
        return {**vars(self), **lists, "failed": [vars(failure) for failure in self.failed]}


@dataclass(frozen=True)
class Blob:
    """A named piece of data to read: a file, an upload, a page. ``read`` raises InputError or OSError."""

    source: str
    name: str
    read: Callable[[], bytes]


@dataclass
class _Plan:
    """The documents as they will be, by id, while the sources are gone through."""

    documents: dict[str, KnowledgeDocument]
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    unchanged: int = 0


def ingest(
    paths: Sequence[str | Path],
    root: Path,
    encoder: Encoder,
    groups: Sequence[str] | None = None,
    keep: int = 5,
    progress: Progress = lambda done, total, source: None,
    now: Clock = lambda: datetime.now(UTC),
) -> IngestReport:
    """Read files, folders, addresses and lists of addresses (``*.urls``) into a new version of the index at ``root``.

    A folder is followed: documents of files that are gone from it are removed. Searches go on in the version before.
    Killed at any moment it leaves that version as it was. Raises InputError when a path does not exist.
    """
    blobs, folders = gather(paths)
    return ingest_blobs(blobs, root, encoder, groups, keep, progress, now, folders)


def ingest_blobs(
    blobs: Sequence[Blob],
    root: Path,
    encoder: Encoder,
    groups: Sequence[str] | None = None,
    keep: int = 5,
    progress: Progress = lambda done, total, source: None,
    now: Clock = lambda: datetime.now(UTC),
    folders: Sequence[Path] = (),
) -> IngestReport:
    """The same for data at hand, such as uploads."""
    with _one_writer(root):
        before = _served(root, encoder)
        plan = _Plan({d.id: d for d in before.documents()} if before else {})
        _drop_missing(plan, folders, {blob.source for blob in blobs})
        for number, blob in enumerate(blobs):
            progress(number, len(blobs), blob.source)
            _take(plan, blob, groups)
        progress(len(blobs), len(blobs), "")
        return _publish(plan, before, root, encoder, keep, now)


def remove(
    names: Sequence[str],
    root: Path,
    encoder: Encoder,
    keep: int = 5,
    now: Clock = lambda: datetime.now(UTC),
) -> IngestReport:
    """Take documents out by id. Raises InputError for one that is not there."""
    with _one_writer(root):
        before = Knowledge.open(root, encoder)
        plan = _Plan({d.id: d for d in before.documents()})
        for name in names:
            if plan.documents.pop(name, None) is None:
                raise InputError(f"there is no document {name!r}.")
            plan.removed.append(name)
        return _publish(plan, before, root, encoder, keep, now)


def gather(paths: Sequence[str | Path]) -> tuple[list[Blob], list[Path]]:
    """What the paths hold, in a fixed order, and which of them are folders."""
    from verticals.support.knowledge.urls import fetch, is_address

    blobs: dict[str, Blob] = {}
    folders: list[Path] = []

    def page(address: str) -> None:
        blobs[address] = Blob(address, "page.html", lambda: fetch(address))

    for given in paths:
        if is_address(str(given)):
            page(str(given))
            continue
        path = Path(given).resolve()
        if path.is_dir():
            folders.append(path)
            files = [file for file in _walk(path) if file.suffix.lower() in (*READERS, ".urls")]
            if not files:
                raise InputError(f"{given}: the folder holds nothing that can be read; known: {', '.join(READERS)}.")
        elif path.is_file():
            files = [path]
        else:
            raise InputError(f"{given}: there is no such file or folder.")
        for file in files:
            if file.suffix.lower() == ".urls":
                for line in file.read_text(encoding="utf-8").splitlines():
                    if line.strip() and not line.startswith("#"):
                        page(line.strip())
            else:
                blobs[str(file)] = Blob(str(file), file.name, lambda file=file: _bytes(file))  # type: ignore[misc]
    return list(blobs.values()), folders


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder; names that begin with a dot are passed over, links are not followed out of it."""
    for place, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield from (Path(place) / name for name in sorted(files) if not name.startswith("."))


def _bytes(file: Path) -> bytes:
    size = file.stat().st_size
    if size > FILE_BYTES:  # before it is read into memory
        raise InputError(f"it has {size:,} bytes; at most {FILE_BYTES:,} are read: split it")
    return file.read_bytes()


def _take(plan: _Plan, blob: Blob, groups: Sequence[str] | None) -> None:
    own = {name: document for name, document in plan.documents.items() if document.source == blob.source}
    try:
        data = blob.read()
        mark = digest(data)
        if own and all(d.digest == mark and (groups is None or d.groups == tuple(groups)) for d in own.values()):
            plan.unchanged += len(own)
            return
        found = read_documents(data, blob.name, blob.source, mark, groups)
        for document in found:
            _refuse_stranger(plan, document)
    except (InputError, OSError, MemoryError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        plan.failed.append(Failure(blob.source, reason.rstrip("."), kept=bool(own)))
        return
    for name in set(own) - {document.id for document in found}:
        del plan.documents[name]
        plan.removed.append(name)
    for document in found:
        known = plan.documents.get(document.id)
        if known == document:
            plan.unchanged += 1
        elif known is not None:
            plan.changed.append(document.id)
        else:
            plan.added.append(document.id)
        plan.documents[document.id] = document


def _refuse_stranger(plan: _Plan, document: KnowledgeDocument) -> None:
    """Two sources must not fight over one id; a source that is gone gives its ids up."""
    known = plan.documents.get(document.id)
    if known is None or known.source == document.source:
        return
    if known.digest == document.digest or (os.path.isabs(known.source) and not os.path.exists(known.source)):
        return
    raise InputError(f"its id {document.id!r} is that of {known.source}; give it another id")


def _drop_missing(plan: _Plan, folders: Sequence[Path], there: set[str]) -> None:
    for name, document in list(plan.documents.items()):
        source = document.source
        inside = os.path.isabs(source) and any(Path(source).is_relative_to(folder) for folder in folders)
        if inside and source not in there and not os.path.exists(source):
            del plan.documents[name]
            plan.removed.append(name)


def _publish(
    plan: _Plan, before: Knowledge | None, root: Path, encoder: Encoder, keep: int, now: Clock
) -> IngestReport:
    changes: Mapping[str, int] = {name: len(getattr(plan, name)) for name in ("added", "changed", "removed")}
    knowledge, version = before, before.version if before else None
    moved = before is not None and set(plan.documents.values()) != set(before.documents())
    if plan.documents and (any(changes.values()) or moved or before is None):
        knowledge = Knowledge.build(list(plan.documents.values()), encoder, before)
        version = knowledge.save(root, {"created": now().isoformat(timespec="seconds"), "changes": changes}, keep)
    elif not plan.documents and before is not None:
        raise InputError("this would leave the knowledge base empty; add a document before the last one goes.")
    return IngestReport(
        version,
        tuple(plan.added),
        tuple(plan.changed),
        tuple(plan.removed),
        plan.unchanged,
        tuple(plan.failed),
        len(plan.documents),
        len(knowledge) if knowledge else 0,
    )


def _served(root: Path, encoder: Encoder) -> Knowledge | None:
    if Versions(root).current() is None:
        return None
    return Knowledge.open(root, encoder)


@contextlib.contextmanager
def _one_writer(root: Path) -> Iterator[None]:
    """Writers take turns, also across processes: each starts from what the one before it published."""
    from filelock import FileLock

    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / _LOCK):
        yield
