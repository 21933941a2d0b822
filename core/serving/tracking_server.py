"""Is the tracking database or server fit for use? Answers within seconds, in one sentence, without MLflow.

MLflow itself would retry a locked database or a dead server for minutes.
"""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import InputError

BUSY_SECONDS = 3.0
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
_MESSAGE_LIMIT = 200


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite address; None for any other database or server."""
    if not uri.startswith("sqlite"):
        return None
    path = uri.partition(":///")[2].partition("?")[0]
    return Path(path) if path and path != ":memory:" else None


def shown(uri: str) -> str:
    """An address without its user and password."""
    return re.sub(r"//[^/@]*@", "//", uri)


def check_sqlite(file: Path, write: bool = False) -> None:
    """Raise InputError unless the file is MLflow's, whole, and not locked; with ``write`` also writable."""
    advice = "move it away to start with an empty one, or restore a backup"
    try:
        with file.open("rb") as stream:
            if stream.read(16) != b"SQLite format 3\0":
                raise InputError(f"{file} is not an SQLite database; {advice}.")
        with contextlib.closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {"alembic_version", "registered_models", "runs"} <= tables:
                raise InputError(f"{file} is an SQLite database but not one of MLflow's; {advice}.")
            if write:
                database.execute("BEGIN IMMEDIATE")
                database.execute("ROLLBACK")
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); mend its permissions.") from error
    except sqlite3.Error as error:
        raise InputError(database_sentence(str(file), str(error))) from error


def check_reachable(uri: str) -> None:
    """Raise InputError unless something listens at the address (not asked when a proxy stands between)."""
    import socket
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    try:
        host, port = parts.hostname, parts.port or _PORTS.get(scheme)
    except ValueError:
        raise InputError(f"{shown(uri)} is not a valid tracking server; correct HEADWATER_TRACKING_URI.") from None
    if host is None or port is None or (scheme in getproxies() and not proxy_bypass(host)):
        return
    try:
        socket.create_connection((host, port), timeout=BUSY_SECONDS).close()
    except OSError as error:
        raise InputError(
            f"the tracking server {shown(uri)} cannot be reached ({error.strerror or error}); start it "
            "or correct HEADWATER_TRACKING_URI."
        ) from error


def database_sentence(where: str, problem: str) -> str:
    """What a database's or server's error message means for the user."""
    # MLflow and SQLAlchemy append the statement and links to the cause; only the cause helps.
    cause = problem.strip().partition("\n")[0].strip().rstrip(".")[:_MESSAGE_LIMIT]
    if "locked" in problem:
        return f"the tracking database {where} is locked by another program; close that program and try again."
    if "readonly" in problem or "read-only" in problem:
        return f"the tracking database {where} is read-only; make it and its folder writable."
    if "malformed" in problem or "not a database" in problem:
        return f"the tracking database {where} is damaged ({cause}); restore a backup or move it away."
    if "out-of-date database schema" in problem:
        return f"the tracking database {where} is from another MLflow; back it up and run mlflow db upgrade."
    if "disk is full" in problem:
        return f"the disk of the tracking database {where} is full; free some space and try again."
    return f"the tracking store {where} cannot be used ({cause}); check it or HEADWATER_TRACKING_URI."


@contextlib.contextmanager
def locked(path: Path, seconds: float, what: str) -> Iterator[None]:
    """Exclusive among this machine's processes; a killed holder frees it. InputError after ``seconds``."""
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=seconds)
    except Timeout:
        raise InputError(f"another process has been busy with {what} for {seconds:g} s; try again later.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be created ({error.strerror}); make its folder writable.") from error
    try:
        yield
    finally:
        lock.release()
