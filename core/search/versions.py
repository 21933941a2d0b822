"""A folder of numbered versions that never change, and a pointer to the one that is served.

A version is written beside the others, checked, renamed into place, and only then pointed to. A process killed at
any moment leaves the version before it served. Each version carries checksums of its files.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from core.errors import InputError

log = logging.getLogger(__name__)
T = TypeVar("T")
_POINTER, _MANIFEST, _LOCK = "current", "manifest.json", ".lock"


class CorruptVersion(Exception):
    """A version whose files are not what was written."""


class Versions:
    """The versions below one folder. Several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        """Nothing is created before the first ``publish``."""
        self.root = root

    def numbers(self) -> list[int]:
        """Complete versions, oldest first."""
        names = (path.name for path in self.root.glob("v*") if path.is_dir() and (path / _MANIFEST).is_file())
        return sorted(int(name[1:]) for name in names if name[1:].isdigit())

    def current(self) -> int | None:
        """The version that is served; None before the first."""
        try:
            number = int((self.root / _POINTER).read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise InputError(
                f"{self.root / _POINTER} does not hold a number; write one of {self.numbers()}."
            ) from error
        return number

    def folder(self, number: int) -> Path:
        """Where a version's files are. Raises InputError when there is no such version."""
        if number not in self.numbers():
            raise InputError(f"{self.root}: there is no version {number}; there are {self.numbers() or 'none'}.")
        return self.root / f"v{number}"

    def manifest(self, number: int) -> dict[str, Any]:
        """The version's checksums and the notes it was published with."""
        return dict(json.loads((self.folder(number) / _MANIFEST).read_text(encoding="utf-8")))

    def publish(self, write: Callable[[Path], None], notes: dict[str, Any] | None = None, keep: int = 3) -> int:
        """Write a version into an empty folder by ``write``, then serve it. Returns its number.

        At most ``keep`` versions stay, the served one always. Whatever ``write`` raises leaves everything as it was.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with self._lock():
            for left in self.root.glob(".new-*"):  # of processes that were killed
                shutil.rmtree(left, ignore_errors=True)
            for left in self.root.glob(f".{_POINTER}-*"):
                left.unlink(missing_ok=True)
            number = max([*self.numbers(), self.current() or 0], default=0) + 1
            new = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
            try:
                write(new)
                manifest = {"number": number, "files": checksums(new), "notes": notes or {}}
                (new / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
                _flush(new)
                os.rename(new, self.root / f"v{number}")
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
            self._point(number)
            self._prune(keep, number)
        return number

    def rollback(self, number: int | None = None) -> int:
        """Serve an earlier version: the given one, or the one before the current. Returns its number."""
        with self._lock():
            current, there = self.current(), self.numbers()
            if number is None:
                before = [n for n in there if current is not None and n < current]
                if not before:
                    raise InputError(f"{self.root}: no version before {current}; there are {there or 'none'}.")
                number = before[-1]
            verify(self.folder(number))
            self._point(number)
        return number

    def open(self, read: Callable[[Path], T]) -> tuple[int, T]:
        """Read the served version with ``read``; when it is damaged, the newest whole one before it, with a warning.

        Raises InputError when there is no version, CorruptVersion when none is whole.
        """
        while True:
            current = self.current()
            if current is None:
                raise InputError(f"{self.root}: nothing has been published yet.")
            try:
                return self._open(current, read)
            except CorruptVersion:
                if self.current() == current:
                    raise  # else others published and pruned while this one was being read

    def _open(self, current: int, read: Callable[[Path], T]) -> tuple[int, T]:
        candidates = [n for n in reversed(self.numbers()) if n <= current]
        problems = [] if candidates[:1] == [current] else [f"version {current} is missing"]
        for number in candidates:
            folder = self.root / f"v{number}"
            try:
                verify(folder)
                result = read(folder)
            except (CorruptVersion, OSError) as error:
                problems.append(str(error))
                continue
            if problems:
                log.warning("%s: version %d is served instead: %s", self.root, number, "; ".join(problems))
            return number, result
        raise CorruptVersion(f"{self.root}: no whole version is left: {'; '.join(problems)}; publish again.")

    def _point(self, number: int) -> None:
        temporary = self.root / f".{_POINTER}-{os.getpid()}"
        temporary.write_text(str(number), encoding="ascii")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, self.root / _POINTER)
        _flush_folder(self.root)

    def _prune(self, keep: int, current: int) -> None:
        # A reader that has an old version open keeps its files: on POSIX they live until they are closed.
        for number in self.numbers()[: -max(keep, 1)]:
            if number != current:
                shutil.rmtree(self.root / f"v{number}", ignore_errors=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        from filelock import FileLock

        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / _LOCK):
            yield


def checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and xxh3 of every file below a folder, by its relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _MANIFEST)
    return {str(path.relative_to(folder)): {"bytes": path.stat().st_size, "xxh3": _digest(path)} for path in files}


def verify(folder: Path) -> None:
    """Compare a version's files with its checksums. Raises CorruptVersion naming the first that differs."""
    try:
        wanted = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError) as error:
        raise CorruptVersion(f"{folder / _MANIFEST} cannot be read ({error})") from error
    for name, expected in wanted.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != expected["bytes"]:
            raise CorruptVersion(f"{path} is missing or has another size")
        if _digest(path) != expected["xxh3"]:
            raise CorruptVersion(f"{path} has changed since it was written")


def _digest(path: Path) -> str:
    import xxhash

    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _flush(folder: Path) -> None:
    """To the disk before the rename: a power cut must not leave a version with empty files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            _flush_folder(path)
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
