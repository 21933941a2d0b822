"""The database behind a registry: made once, and what is said of those that cannot be used."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from core.errors import InputError
from core.serving.registry import Registry
from core.settings import PROJECT_ROOT, Settings
from tests.core.serving.registry.conftest import register


def test_two_first_starts_at_once_make_one_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_VAR", str(tmp_path / "new"))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mlflow.db").touch()  # an empty file is a database not yet made
    script = """
from core.serving.mlflow_client import connect
from core.serving.registry import Registry
from core.settings import get_settings
connect(get_settings(), print)
print(len(Registry(get_settings()).list()))
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=PROJECT_ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    told = [child.communicate() for child in children]
    assert {errors for _, errors in told} == {""}, "and quietly"
    waiting, making = sorted((said for said, _ in told), key=len)
    assert waiting == "0\n" and making.splitlines()[1:] == ["0"] and "mlflow.db" in making.splitlines()[0]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [".mlflow.db.lock", "mlflow.db"]


def _sentence(settings: Settings, seconds: float = 8) -> str:
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        Registry(settings).list()
    assert time.monotonic() - started < seconds
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("hello, I am a text file\n" * 100)
    assert "is not an SQLite database" in _sentence(Settings(var=tmp_path))


def test_a_database_of_another_program(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("CREATE TABLE music (title TEXT)")
        database.commit()
    assert "not one of MLflow's" in _sentence(Settings(var=tmp_path))


def test_a_damaged_database(registry: Registry, folder: Path) -> None:
    register(registry, folder)
    file = registry.settings.var / "mlflow.db"
    content = bytearray(file.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    file.write_bytes(content)
    assert "mlflow.db" in _sentence(registry.settings)


def test_a_locked_database(registry: Registry, folder: Path) -> None:
    register(registry, folder)
    with contextlib.closing(sqlite3.connect(registry.settings.var / "mlflow.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        assert registry.show("intents").version == 1, "reading goes on beside a writer"
        started = time.monotonic()
        with pytest.raises(InputError, match="locked"):
            register(registry, folder)
        assert time.monotonic() - started < 8
        other.rollback()
        other.execute("BEGIN EXCLUSIVE")
        assert "locked" in _sentence(registry.settings)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody may write: /proc")
def test_a_folder_that_cannot_be_written() -> None:
    assert "cannot be created" in _sentence(Settings(var=Path("/proc/self/headwater")))


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be created" in _sentence(Settings(var=tmp_path / "file" / "var"))


def test_a_server_that_is_away() -> None:
    sentence = _sentence(Settings(tracking_uri="http://user:secret@127.0.0.1:9/"))
    assert "cannot be reached" in sentence and "secret" not in sentence


def test_a_server_that_is_not_mlflow() -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert "cannot be used" in _sentence(Settings(tracking_uri=f"http://127.0.0.1:{server.server_port}"), 15)
    finally:
        server.shutdown()
