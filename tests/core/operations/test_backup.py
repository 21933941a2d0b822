"""Saving var while it is written to, and answers that are the same after it was put back."""

import hashlib
import io
import json
import sqlite3
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.cli import main
from core.errors import InputError
from core.operations.backup import backup
from core.operations.restore import restore
from core.search.hybrid import Document, HybridIndex
from core.search.versions import Versions
from core.settings import Settings


@dataclass
class Hashed:
    """Each word falls on one of 32 axes."""

    fingerprint: str = "hashed-1"

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        found = np.zeros((len(texts), 32), np.float32)
        for row, text in zip(found, texts, strict=True):
            for word in text.split():
                row[hashlib.sha256(word.encode()).digest()[0] % 32] += 1
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


DOCUMENTS = [Document(f"d{i}", (text,)) for i, text in enumerate(["lost card abroad", "late parcel", "reset password"])]


@pytest.fixture
def settings(private_var: Path) -> Settings:
    private_var.mkdir()
    (private_var / "notes").mkdir()
    (private_var / "notes" / "thresholds.json").write_text('{"answer": 0.7}')
    (private_var / "cache").mkdir()
    (private_var / "cache" / "vectors.bin").write_bytes(b"x" * 1000)
    (private_var / ".database.lock").touch()
    HybridIndex.build(DOCUMENTS, Hashed()).save(private_var / "index")
    return Settings(var=private_var)


@contextmanager
def writer(file: Path) -> Iterator[list[int]]:
    """Keeps committing transactions that each add one row to two tables, until left."""
    stop, started, written = threading.Event(), threading.Event(), [0]
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.executescript("CREATE TABLE a (n INTEGER, filler TEXT); CREATE TABLE b (n INTEGER, filler TEXT);")

    def write() -> None:
        with closing(sqlite3.connect(file)) as database:
            while not stop.is_set():
                with database:
                    for table in "ab":
                        database.execute(f"INSERT INTO {table} VALUES (?, ?)", (written[0], "x" * 2000))
                written[0] += 1
                if written[0] == 20:
                    started.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert started.wait(60)
        yield written
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("ending", [".tar.zst", ".tar.gz"])
def test_database_is_whole_while_it_is_written(settings: Settings, tmp_path: Path, ending: str) -> None:
    archive, folder = tmp_path / f"saved{ending}", tmp_path / "restored"
    with writer(settings.var / "headwater.db") as written:
        at_least = written[0]
        saved = backup(settings, archive)
    assert saved.databases == ("headwater.db",)
    put_back = restore(archive, folder)
    assert (put_back.files, put_back.bytes) == (saved.files, saved.bytes)
    with closing(sqlite3.connect(folder / "headwater.db")) as database:
        counts = [database.execute(f"SELECT count(*), max(n) FROM {table}").fetchone() for table in "ab"]
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert counts[0] == counts[1], "a transaction was torn"
    assert counts[0][0] >= at_least
    assert not list(folder.rglob("*.lock")) and not (folder / "cache").exists()
    assert (folder / "notes" / "thresholds.json").read_text() == '{"answer": 0.7}'
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "something half-made was left"


def test_answers_are_the_same(
    settings: Settings, empty_tracking_database: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from core.serving.predictor import load_predictor
    from core.serving.registry import Registry

    shutil.copy(empty_tracking_database, settings.var / "mlflow.db")
    registry = Registry(settings)
    registry.register("topics", tiny_model, {}, (tiny_model / "recipe.toml").read_text(), "print")
    registry.promote("topics", 1)
    texts = ["the bank raised its rate", "a goal for the team", "rain and wind again"]
    before = [one.to_dict() for one in load_predictor("topics@production").predict(texts)]
    hits = [hit.to_dict() for hit in HybridIndex.open(settings.var / "index", Hashed()).search("lost card", k=3)]

    archive, folder = tmp_path / "saved.tar.zst", tmp_path / "elsewhere"
    with writer(settings.var / "headwater.db"):
        assert backup(settings, archive).databases == ("headwater.db", "mlflow.db")
    shutil.rmtree(settings.var)  # nothing of the old place can help
    restore(archive, folder)
    monkeypatch.setenv("HEADWATER_VAR", str(folder))
    assert [one.to_dict() for one in load_predictor("topics@production").predict(texts)] == before
    assert [hit.to_dict() for hit in HybridIndex.open(folder / "index", Hashed()).search("lost card", k=3)] == hits


def test_index_versions_and_their_pointer_come_along(settings: Settings, tmp_path: Path) -> None:
    HybridIndex.build(DOCUMENTS[:2], Hashed()).save(settings.var / "index")
    (settings.var / "index" / "words.txt").write_text("beside the versions")
    Versions(settings.var / "index").rollback(1)
    backup(settings, tmp_path / "saved.tar.gz")
    restore(tmp_path / "saved.tar.gz", tmp_path / "restored")
    versions = Versions(tmp_path / "restored" / "index")
    assert (versions.current(), versions.numbers()) == (1, [1, 2])
    assert (tmp_path / "restored" / "index" / "words.txt").is_file()
    assert len(HybridIndex.open(tmp_path / "restored" / "index", Hashed())) == 3


def test_an_index_that_is_published_meanwhile_is_taken_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The served version vanishes between the look at the pointer and the copy, as publishing may do."""
    import shutil

    copytree, index = shutil.copytree, settings.var / "index"
    moved: list[int] = []

    def slow(source: Path, target: Path, *rest: Any) -> object:
        if not moved:
            moved.append(HybridIndex.build(DOCUMENTS[:1], Hashed()).save(index, keep=1))
        return copytree(source, target, *rest)

    monkeypatch.setattr("core.operations.backup.shutil.copytree", slow)
    backup(settings, tmp_path / "saved.tar.gz")
    restore(tmp_path / "saved.tar.gz", tmp_path / "restored")
    assert moved == [2]
    assert len(HybridIndex.open(tmp_path / "restored" / "index", Hashed())) == 1


def test_caches_when_asked(settings: Settings, tmp_path: Path) -> None:
    backup(settings, tmp_path / "saved.tar.zst", caches=True)
    restore(tmp_path / "saved.tar.zst", tmp_path / "restored")
    assert (tmp_path / "restored" / "cache" / "vectors.bin").read_bytes() == b"x" * 1000


def test_what_lies_elsewhere_is_named_without_its_address(private_var: Path, tmp_path: Path) -> None:
    private_var.mkdir()
    (private_var / "file").write_text("x")
    settings = Settings(var=private_var, database_url="postgresql+psycopg://me:secret@host/db")
    saved = backup(settings, tmp_path / "saved.tar.gz")
    assert any("HEADWATER_DATABASE_URL" in what for what in saved.elsewhere)
    assert "secret" not in json.dumps(saved.to_dict())


def test_the_archive_is_private(settings: Settings, tmp_path: Path) -> None:
    backup(settings, tmp_path / "saved.tar.gz")
    assert (tmp_path / "saved.tar.gz").stat().st_mode & 0o077 == 0


def test_a_folder_with_something_in_it_is_refused(settings: Settings, tmp_path: Path) -> None:
    backup(settings, tmp_path / "saved.tar.gz")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not an empty folder"):
        restore(tmp_path / "saved.tar.gz", tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("ending", [".tar.zst", ".tar.gz"])
@pytest.mark.parametrize("how", ["cut", "flipped", "other"])
def test_a_damaged_archive_restores_nothing(settings: Settings, tmp_path: Path, ending: str, how: str) -> None:
    archive, folder = tmp_path / f"saved{ending}", tmp_path / "restored"
    backup(settings, archive)
    content = bytearray(archive.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    elif how == "flipped":
        content[len(content) // 2] ^= 0xFF
    else:
        content = bytearray(b"no archive at all" * 50)
    archive.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        restore(archive, folder)
    assert not folder.exists()
    assert not list(tmp_path.glob(".restored*"))


def _tampered(source: Path, target: Path, name: str, content: bytes) -> None:
    """A copy of an archive in which one member says something else."""
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for member in old:
            data = old.extractfile(member)
            body = data.read() if data is not None else b""
            if member.name == name:
                body, member.size = content, len(content)
            new.addfile(member, io.BytesIO(body))


def test_a_changed_file_is_noticed(settings: Settings, tmp_path: Path) -> None:
    backup(settings, tmp_path / "saved.tar.gz")
    _tampered(tmp_path / "saved.tar.gz", tmp_path / "other.tar.gz", "var/notes/thresholds.json", b'{"answer": 0.1}')
    with pytest.raises(InputError, match=r"notes/thresholds\.json is not what was saved"):
        restore(tmp_path / "other.tar.gz", tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize("name", ["../evil", "/evil", "var/../../evil", "evil"])
def test_members_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(InputError, match="outside"):
        restore(tmp_path / "bad.tar.gz", tmp_path / "restored")
    assert not list(tmp_path.rglob("evil"))


def test_wrong_use(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "there.tar.gz").touch()
    for file, problem in [
        (tmp_path / "a.zip", "tar.zst or .tar.gz"),
        (tmp_path / "there.tar.gz", "exists already"),
        (settings.var / "a.tar.gz", "lies inside"),
        (tmp_path / "no" / "a.tar.gz", "does not exist"),
    ]:
        with pytest.raises(InputError, match=problem):
            backup(settings, file)
    with pytest.raises(InputError, match="nothing to save"):
        backup(Settings(var=tmp_path / "none"), tmp_path / "a.tar.gz")
    with pytest.raises(InputError, match="no such file"):
        restore(tmp_path / "none.tar.gz", tmp_path / "restored")


def test_commands(settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    archive, folder = tmp_path / "saved.tar.zst", tmp_path / "restored"
    assert main(["backup", str(archive), "--json"]) == 0
    saved = json.loads(capfd.readouterr().out)
    assert main(["restore", str(archive), "--var", str(folder), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["files"] == saved["files"] == sum(path.is_file() for path in folder.rglob("*"))
    assert main(["restore", str(archive), "--var", str(folder)]) == 2
