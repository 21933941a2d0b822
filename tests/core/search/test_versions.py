"""Versions are swapped whole: kill -9, a full disk, damaged files and pruning leave a whole one served."""

import errno
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from core.errors import InputError
from core.search.versions import CorruptVersion, Versions, verify

ROOT = Path(__file__).resolve().parents[3]


def publish(versions: Versions, text: str, keep: int = 3) -> int:
    return versions.publish(lambda folder: _write(folder, text), {"text": text}, keep)


def _write(folder: Path, text: str) -> None:
    (folder / "a.txt").write_text(text)
    (folder / "sub").mkdir()
    (folder / "sub" / "b.txt").write_text(text * 1000)


def read(folder: Path) -> str:
    text = (folder / "a.txt").read_text()
    assert (folder / "sub" / "b.txt").read_text() == text * 1000
    return text


def test_the_newest_is_served_and_the_oldest_go(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "index")
    assert [publish(versions, text, keep=2) for text in "abc"] == [1, 2, 3]
    assert versions.open(read) == (3, "c")
    assert versions.numbers() == [2, 3]
    assert versions.manifest(3)["notes"] == {"text": "c"}


def test_rollback_and_publishing_after_it(tmp_path: Path) -> None:
    versions = Versions(tmp_path)
    for text in "abc":
        publish(versions, text)
    assert versions.rollback() == 2 and versions.open(read) == (2, "b")
    assert versions.rollback(1) == 1
    with pytest.raises(InputError, match="no version before 1"):
        versions.rollback()
    with pytest.raises(InputError, match="no version 9; there are"):
        versions.rollback(9)
    assert publish(versions, "d", keep=1) == 4 and versions.open(read) == (4, "d")
    assert versions.numbers() == [4]


def test_the_served_version_is_never_pruned(tmp_path: Path) -> None:
    versions = Versions(tmp_path)
    publish(versions, "a")
    with versions.folder(1).joinpath("a.txt").open() as held:
        for text in "bcde":
            publish(versions, text, keep=1)
        assert held.read() == "a"  # a reader that has it open goes on
    assert versions.numbers() == [5]


def test_nothing_published(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing has been published"):
        Versions(tmp_path / "none").open(read)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "manifest"])
def test_a_damaged_version_is_passed_over_with_a_warning(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    versions = Versions(tmp_path)
    publish(versions, "a")
    publish(versions, "b")
    file = versions.folder(2) / ("manifest.json" if damage == "manifest" else "sub/b.txt")
    content = file.read_bytes()
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(content[:-1] + b"x" if damage == "flip" else content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        assert versions.open(read) == (1, "a")
    assert "version 1 is served instead" in caplog.text and file.name in caplog.text
    with pytest.raises(CorruptVersion):
        verify(versions.folder(2))
    (versions.folder(1) / "a.txt").write_text("c")
    with pytest.raises(CorruptVersion, match="no whole version is left"):
        versions.open(read)


def test_what_fails_while_writing_leaves_everything(tmp_path: Path) -> None:
    versions = Versions(tmp_path)
    publish(versions, "a")

    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        versions.publish(fail)
    assert versions.open(read) == (1, "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "current", "v1"]


@pytest.mark.parametrize("late", [False, True])
def test_a_disk_that_fills_up_leaves_the_old_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """As on a full disk, without one: the bytes are refused while writing, or only when they are forced out."""
    versions = Versions(tmp_path)
    publish(versions, "a")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(folder: Path) -> None:
        _write(folder, "b")
        if not late:
            full()

    with monkeypatch.context() as patch:
        if late:
            patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            versions.publish(write)
    assert versions.open(read) == (1, "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "current", "v1"]
    assert publish(versions, "c") == 2 and versions.open(read) == (2, "c")


DRIVER = """
import os, sys, time
from pathlib import Path
from core.search.versions import Versions
root, point = Path(sys.argv[1]), sys.argv[2]

def stop(*_):
    (root.parent / "reached").touch()
    time.sleep(60)

def write(folder):
    (folder / "a.txt").write_text("new")
    if point == "write":
        stop()
    (folder / "sub").mkdir()
    (folder / "sub" / "b.txt").write_text("new" * 1000)

if point == "rename":
    os.rename = stop
if point == "pointer":
    os.replace = stop
Versions(root).publish(write)
"""


@pytest.mark.parametrize("point", ["write", "rename", "pointer"])
def test_kill_9_leaves_the_old_version(tmp_path: Path, point: str) -> None:
    versions = Versions(tmp_path / "index")
    publish(versions, "old")
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(DRIVER), str(versions.root), point], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "reached").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert versions.open(read) == (1, "old")
    number = publish(versions, "next")  # the lock is free, and what was left is swept away
    assert versions.open(read) == (number, "next")
    assert not list(versions.root.glob(".new-*")) and not list(versions.root.glob(".current-*"))


def test_a_full_disk_leaves_the_old_version(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.decode().strip()}")
    try:
        versions = Versions(disk / "index")
        publish(versions, "old")
        with pytest.raises(OSError, match="No space left"):
            versions.publish(lambda folder: (folder / "big").write_bytes(b"x" * 2_000_000) and None)
        assert versions.open(read) == (1, "old")
        assert publish(versions, "new") == 2 and versions.open(read) == (2, "new")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_readers_see_whole_versions_while_others_publish(tmp_path: Path) -> None:
    versions = Versions(tmp_path)
    publish(versions, "0")
    stop, problems, seen = threading.Event(), [], set()

    def follow() -> None:
        try:
            while not stop.is_set():
                seen.add(versions.open(read)[1])
        except Exception as error:
            problems.append(error)

    readers = [threading.Thread(target=follow) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 15):
        publish(versions, str(number), keep=1)
    stop.set()
    for reader in readers:
        reader.join()
    assert not problems
    assert seen <= {str(number) for number in range(15)} and versions.open(read) == (15, "14")


def test_two_writers_take_turns(tmp_path: Path) -> None:
    numbers: list[int] = []
    writers = [
        threading.Thread(target=lambda n=n: numbers.append(publish(Versions(tmp_path), f"{n}", keep=99)))
        for n in range(6)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6] == Versions(tmp_path).numbers()
    assert Versions(tmp_path).current() == 6
