"""Vectors of texts seen before, on disk: keyed by model and text, bounded, shared by processes.

SQLite in WAL mode: a killed process loses at most what it was writing. The file can be deleted at any time.
"""

import contextlib
import hashlib
import logging
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from core.settings import get_settings

Kept = Literal["float32", "float16"]

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, used REAL NOT NULL, width INTEGER NOT NULL,
    crc INTEGER NOT NULL, vector BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS vectors_by_use ON vectors (used);
"""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_AT_ONCE = 500  # keys per statement
_SMALLEST = 256 * 1024  # an empty file with its index already has a few pages


class EmbeddingCache:
    """Vectors by (model fingerprint, text); ``max_bytes`` bounds what lies on disk (plus a few MB of log).

    When full, the vectors that were not used for the longest time go first. ``kept`` is the type on disk: float16
    halves it and changes a cosine by less than 1e-3. Any trouble with the file (full disk, damage, a lock that is
    not released) costs the cache's help, never an answer. Safe for several threads and processes.
    """

    def __init__(
        self,
        path: Path | None = None,
        max_bytes: int = 1 << 30,
        kept: Kept = "float32",
        clock: Callable[[], float] = time.time,
        touch_s: float = 60.0,
    ) -> None:
        """Open or create; ``touch_s`` is how exactly the time of last use is recorded, in seconds."""
        if max_bytes < _SMALLEST:
            raise ValueError(f"max_bytes must be at least {_SMALLEST}")
        self.path = path or get_settings().cache / "embeddings.sqlite"
        self.max_bytes, self._type = max_bytes, np.dtype("<f4" if kept == "float32" else "<f2")
        self._clock, self._touch_s = clock, touch_s
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def get(self, fingerprint: str, texts: Sequence[str]) -> list[np.ndarray | None]:
        """The float32 vector [d] of each text, None for those that are not known."""
        keys = [_key(fingerprint, text) for text in texts]
        found: dict[bytes, np.ndarray] = {}
        with self._guarded():
            for start in range(0, len(keys), _AT_ONCE):
                found.update(self._read(list(dict.fromkeys(keys[start : start + _AT_ONCE]))))
        return [found.get(key) for key in keys]

    def put(self, fingerprint: str, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Remember the vector [d] of each text; the rows of ``vectors`` [n, d] belong to ``texts``."""
        if len(texts) != len(vectors):
            raise ValueError(f"{len(texts)} texts and {len(vectors)} vectors")
        rows = np.ascontiguousarray(vectors, dtype=self._type)
        for start in range(0, len(rows), _AT_ONCE):  # short transactions: other processes write in between
            with self._guarded():
                self._write(fingerprint, texts[start : start + _AT_ONCE], rows[start : start + _AT_ONCE])

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def __len__(self) -> int:
        count = 0
        with self._guarded():
            count = int(self._open().execute("SELECT count(*) FROM vectors").fetchone()[0])
        return count

    @property
    def bytes_used(self) -> int:
        """Bytes of the file that hold something."""
        used = 0
        with self._guarded():
            used = _bytes_used(self._open())
        return used

    def _read(self, keys: list[bytes]) -> dict[bytes, np.ndarray]:
        connection, now = self._open(), self._clock()
        marks = ",".join("?" * len(keys))
        found, stale, bad = {}, [], []
        for id, key, used, width, crc, blob in connection.execute(
            f"SELECT id, key, used, width, crc, vector FROM vectors WHERE key IN ({marks})", keys
        ):
            if zlib.crc32(blob) != crc or width not in (2, 4) or len(blob) % width:
                bad.append((id,))
                continue
            found[key] = np.frombuffer(blob, dtype="<f4" if width == 4 else "<f2").astype(np.float32)
            if abs(now - used) >= self._touch_s:  # also when the clock was set back
                stale.append((now, id))
        if stale or bad:
            with _transaction(connection):
                connection.executemany("UPDATE vectors SET used = ? WHERE id = ?", stale)
                connection.executemany("DELETE FROM vectors WHERE id = ?", bad)
        return found

    def _write(self, fingerprint: str, texts: Sequence[str], rows: np.ndarray) -> None:
        connection, now = self._open(), self._clock()
        values = []
        for text, row in zip(texts, rows, strict=True):
            blob = row.tobytes()
            values.append((_key(fingerprint, text), now, row.dtype.itemsize, zlib.crc32(blob), blob))
        with _transaction(connection):
            connection.executemany(
                "INSERT INTO vectors (key, used, width, crc, vector) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (key) DO UPDATE SET used = excluded.used, width = excluded.width,"
                " crc = excluded.crc, vector = excluded.vector",
                values,
            )
            self._evict(connection)

    def _evict(self, connection: sqlite3.Connection) -> None:
        if _bytes_used(connection) <= self.max_bytes:
            return
        while _bytes_used(connection) > 0.9 * self.max_bytes:  # room for many more before the next time
            rows = connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
            if not rows:
                return
            connection.execute(
                "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors ORDER BY used, id LIMIT ?)",
                (max(1, rows // 20),),
            )

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """One thread at a time; trouble with the file is logged and ends the block."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                    self._set_aside(error)
                else:
                    _log.warning("embedding cache %s: %s; going on without it", self.path, error)
            except OSError as error:
                _log.warning("embedding cache %s: %s; going on without it", self.path, error)

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._process == os.getpid():
            return self._connection
        # A connection must not be used after a fork: the child opens its own and forgets the parent's.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=5, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "journal_size_limit = 4194304"):
                connection.execute(f"PRAGMA {pragma}")
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        self._connection, self._process = connection, os.getpid()
        return connection

    def _set_aside(self, error: sqlite3.Error) -> None:
        """Rename the damaged file, unless another process has done so, and start an empty one."""
        from filelock import FileLock, Timeout

        self.close()
        try:
            with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=5):
                if _sound(self.path):
                    return
                aside = self.path.with_name(f"{self.path.name}.corrupt-{int(time.time() * 1000)}")
                for ending in ("-shm", "-wal", ""):
                    with contextlib.suppress(FileNotFoundError):
                        os.replace(f"{self.path}{ending}", f"{aside}{ending}")
        except (OSError, Timeout) as failed:
            _log.warning("embedding cache %s is damaged (%s) and cannot be set aside: %s", self.path, error, failed)
            return
        _log.warning("embedding cache %s was damaged (%s); set aside as %s and begun anew", self.path, error, aside)


def _sound(path: Path) -> bool:
    try:
        connection = sqlite3.connect(path, timeout=5, isolation_level=None)
        try:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
        finally:
            connection.close()
    except sqlite3.Error:
        return False


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _bytes_used(connection: sqlite3.Connection) -> int:
    count, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((count - free) * size)


def _key(fingerprint: str, text: str) -> bytes:
    body = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return hashlib.sha256(fingerprint.encode() + b"\0" + body).digest()
