"""Everything under var in one archive, taken while the product runs; ``core.operations.restore`` puts it back.

- Databases (any SQLite file) are copied by SQLite's online backup, so each is as after some commit.
  https://sqlite.org/backup.html
- They come first: model versions never change, so what a database points to is still there when its turn comes.
- A folder of index versions is taken as one: the version the pointer names, then the pointer as it was. Were that
  version removed meanwhile, a newer one is served, and it is taken.
- Any other file is copied before it is put into the archive, so that one that grows is taken at one length.

The archive's last member, ``manifest.json``, has the SHA-256 of all others. What is not under var (a PostgreSQL
database, a tracking server) is named in it and not included.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from core.errors import InputError
from core.operations.archives import ending_of, writing
from core.serving.folders import sync
from core.settings import Settings

MANIFEST, VERSION = "manifest.json", 1
_SQLITE = b"SQLite format 3\0"
_BLOCK = 1 << 20
_TRIES = 5
# Locks, SQLite's companions (their content is in the copied database), and what is being written or removed.
_LEFT_OUT_ENDINGS = (".lock", "-wal", "-shm", "-journal", ".part", ".tmp", ".beat")
_LEFT_OUT_STARTS = (".incoming-", ".trash-", ".new-", ".current-")


@dataclass(frozen=True)
class Backup:
    """What an archive holds: files, their bytes, and what of the product lies elsewhere."""

    file: Path
    created: datetime
    files: int
    bytes: int
    databases: tuple[str, ...]
    elsewhere: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "file": str(self.file), "created": self.created.isoformat()}


def backup(
    settings: Settings, file: Path, caches: bool = False, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Backup:
    """Archive ``settings.var``, whole or not at all; ``caches``: also what can be computed again.

    Raises InputError when there is nothing to save, the ending is unknown, or the file exists or lies inside var.
    """
    var, kind = settings.var.resolve(), ending_of(file)
    if not var.is_dir() or not any(var.iterdir()):
        raise InputError(f"{settings.var} is missing or empty; there is nothing to save. Set HEADWATER_VAR.")
    if file.exists():
        raise InputError(f"{file} exists already; choose another name.")
    if not file.absolute().parent.is_dir():
        raise InputError(f"{file}: the folder {file.parent} does not exist; make it first.")
    if file.resolve().is_relative_to(var):
        raise InputError(f"{file} lies inside {settings.var}, which is to be saved; choose a place outside.")
    created = clock()
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        with _stage(file) as stage, writing(partial, kind) as archive:
            taker = _Taker(archive, var, stage, created)
            taker.take_all(_skipped(settings, caches))
            elsewhere, databases = tuple(_elsewhere(settings)), tuple(sorted(taker.databases))
            taker.finish({"created": created.isoformat(), "elsewhere": elsewhere, "databases": databases})
        sync(partial)
        os.replace(partial, file)
        sync(file.absolute().parent)
    finally:
        partial.unlink(missing_ok=True)
    total = sum(entry["bytes"] for entry in taker.files.values())
    return Backup(file, created, len(taker.files), total, databases, elsewhere)


class _Taker:
    """Puts files into an archive, each staged first, and keeps their hashes."""

    def __init__(self, archive: tarfile.TarFile, var: Path, stage: Path, created: datetime) -> None:
        self.archive, self.var, self.stage, self.created = archive, var, stage, created
        self.files: dict[str, dict[str, Any]] = {}
        self.databases: list[str] = []

    def take_all(self, skipped: Callable[[Path], bool]) -> None:
        """Databases, then folders of versions, then the rest; folders that are empty come along, too."""
        there = list(_walk(self.var, skipped))
        databases = [path for path in there if path.is_file() and _is_sqlite(path)]
        for path in databases:
            self._database(path)
        # Listed again: what a database came to point to since the first look is there by now.
        there = list(_walk(self.var, skipped))
        indexes = {path.parent for path in there if path.name == "current" and _is_index(path.parent)}
        for root in sorted(indexes):
            self._index(root)
        for path in there:
            if path.is_dir():
                self.archive.addfile(self._entry(path, tarfile.DIRTYPE))
            elif path not in databases and not any(_versioned(path, root) for root in indexes):
                self._file(path)

    def finish(self, notes: dict[str, Any]) -> None:
        """The manifest, last."""
        staged = self.stage / "manifest"
        staged.write_text(
            json.dumps({"version": VERSION, **notes, "files": self.files}, ensure_ascii=False, indent=1),
            encoding="utf-8",
        )
        entry = tarfile.TarInfo(MANIFEST)
        entry.size, entry.mtime, entry.mode = staged.stat().st_size, int(self.created.timestamp()), 0o600
        with staged.open("rb") as source:
            self.archive.addfile(entry, source)

    def _database(self, path: Path) -> None:
        copy = self.stage / "database"
        copy.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=60)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            # One file on its own: a companion left beside the copy would be missing from the archive.
            target.execute("PRAGMA journal_mode=DELETE")
            sound = target.execute("PRAGMA quick_check").fetchone()[0]
        if sound != "ok":
            raise InputError(f"{path} is damaged ({sound}); mend or remove it before saving.")
        self.databases.append(self._name(path))
        self._add(path, copy)

    def _index(self, root: Path) -> None:
        """The served version and the pointer to it, then whichever earlier ones are still there for a rollback."""
        from core.search.versions import Versions

        versions = Versions(root)
        for _ in range(_TRIES):
            number = versions.current()
            if number is not None and self._version(root / f"v{number}"):
                break
        else:
            raise InputError(f"{root}: the served version cannot be read whole; publish the index again.")
        pointer = self.stage / "pointer"
        pointer.write_text(str(number), encoding="ascii")
        self._add(root / "current", pointer)
        for other in versions.numbers():
            if other != number:
                self._version(root / f"v{other}")

    def _version(self, folder: Path) -> bool:
        """Whether the folder could be taken whole; it may be removed under our hands when a new one is published."""
        from core.search.versions import CorruptVersion, verify

        copy = self.stage / "index"
        shutil.rmtree(copy, ignore_errors=True)
        try:
            shutil.copytree(folder, copy)
            verify(copy)
        except (FileNotFoundError, shutil.Error, CorruptVersion):
            return False
        for path in sorted(copy.rglob("*")):
            if path.is_file():
                self._add(folder / path.relative_to(copy), path)
        return True

    def _file(self, path: Path) -> None:
        copy = self.stage / "file"
        try:
            shutil.copyfile(path, copy)
            self._add(path, copy)
        except FileNotFoundError:
            return  # it was removed since it was listed

    def _add(self, path: Path, copy: Path) -> None:
        entry = self._entry(path, tarfile.REGTYPE)
        entry.size = copy.stat().st_size
        with copy.open("rb") as source:
            self.files[entry.name.removeprefix("var/")] = {"bytes": entry.size, "sha256": _sha256(source)}
            source.seek(0)
            self.archive.addfile(entry, source)

    def _entry(self, path: Path, kind: bytes) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(f"var/{self._name(path)}")
        found = path.stat() if path.exists() else None
        entry.mode = found.st_mode & 0o777 if found else 0o600
        entry.mtime = int(found.st_mtime if found else self.created.timestamp())
        entry.type = kind
        return entry

    def _name(self, path: Path) -> str:
        return path.relative_to(self.var).as_posix()


def _walk(var: Path, skipped: Callable[[Path], bool]) -> Iterator[Path]:
    """Folders and files below ``var``, parents first; no links, sockets or pipes."""
    for place, folders, names in os.walk(var):
        folders[:] = sorted(name for name in folders if not skipped(Path(place, name)))
        yield from (Path(place, name) for name in folders)
        for name in sorted(names):
            path = Path(place, name)
            if path.is_file() and not path.is_symlink() and not skipped(path):
                yield path


def _skipped(settings: Settings, caches: bool) -> Callable[[Path], bool]:
    cache = settings.cache.resolve()

    def skip(path: Path) -> bool:
        if path == cache and not caches:
            return True
        return path.name.startswith(_LEFT_OUT_STARTS) or path.name.endswith(_LEFT_OUT_ENDINGS)

    return skip


def _versioned(path: Path, root: Path) -> bool:
    """Whether the file is a version's or the pointer; other files may lie beside those."""
    if root not in path.parents:
        return False
    first = path.relative_to(root).parts[0]
    return first == "current" or (first[0] == "v" and first[1:].isdigit())


@contextmanager
def _stage(file: Path) -> Iterator[Path]:
    # Beside the archive: the system's temporary folder may be memory.
    with tempfile.TemporaryDirectory(prefix=".headwater-backup-", dir=file.absolute().parent) as stage:
        yield Path(stage)


def _is_index(root: Path) -> bool:
    from core.search.versions import Versions

    try:
        return Versions(root).current() is not None and bool(Versions(root).numbers())
    except InputError:
        return False


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _elsewhere(settings: Settings) -> list[str]:
    """What belongs to the product and is not under var, without addresses: they may hold passwords."""
    found = []
    if settings.database_url and not settings.database_url.startswith("sqlite"):
        found.append("the database at HEADWATER_DATABASE_URL (save it with pg_dump)")
    if settings.tracking_uri and not settings.tracking_uri.startswith("sqlite"):
        found.append("the tracking server at HEADWATER_TRACKING_URI")
    return found


def _sha256(source: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := source.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()
