"""Vectors on disk: found again, bounded, shared, and never in the way."""

import logging
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.serving.embedding_cache import EmbeddingCache

TEXTS = ["rain", "storm", "", "nul\0byte", "雨", "\ud800 alone"]


def vectors(count: int, width: int = 384, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_what_was_put_is_found_by_model_and_text(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "a" / "cache.sqlite")
    made = vectors(len(TEXTS))
    cache.put("model-1", TEXTS, made)
    again = EmbeddingCache(tmp_path / "a" / "cache.sqlite")
    for found, expected in zip(again.get("model-1", TEXTS), made, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert again.get("model-2", TEXTS) == [None] * len(TEXTS)
    assert again.get("model-1", ["Rain"]) == [None]
    assert again.get("model-1", []) == []
    cache.put("model-1", ["rain"], made[1:2])
    np.testing.assert_array_equal(again.get("model-1", ["rain"])[0], made[1])
    assert len(cache) == len(TEXTS)


def test_half_precision_halves_the_file(tmp_path: Path) -> None:
    texts, made = [str(i) for i in range(2000)], vectors(2000)
    full, half = (EmbeddingCache(tmp_path / kept, kept=kept) for kept in ("float32", "float16"))
    for cache in (full, half):
        cache.put("m", texts, made)
    found = np.stack(half.get("m", texts))  # type: ignore[arg-type]
    assert found.dtype == np.float32
    assert (found * made).sum(1).min() > 0.999
    assert half.bytes_used < 0.65 * full.bytes_used


def test_the_least_recently_used_leave_first(tmp_path: Path) -> None:
    now = [1_000.0]
    cache = EmbeddingCache(tmp_path / "c.sqlite", max_bytes=1 << 20, clock=lambda: now[0], touch_s=1)
    first = [f"first {i}" for i in range(100)]
    cache.put("m", first, vectors(100))
    for block in range(20):
        now[0] += 10
        assert all(v is not None for v in cache.get("m", first[:10]))  # these stay in use
        texts = [f"{block}-{i}" for i in range(100)]
        cache.put("m", texts, vectors(100))
        assert cache.bytes_used <= 1 << 20
        assert all(v is not None for v in cache.get("m", texts))
    kept = cache.get("m", first)
    assert all(v is not None for v in kept[:10])
    assert all(v is None for v in kept[10:])
    assert (tmp_path / "c.sqlite").stat().st_size < 2 << 20


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.text(max_size=3), st.integers(0, 9)), max_size=30))
def test_it_behaves_as_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, str, int]]
) -> None:
    cache = EmbeddingCache(tmp_path_factory.mktemp("cache") / "c.sqlite")
    model: dict[str, np.ndarray] = {}
    for put, text, seed in steps:
        if put:
            model[text] = vectors(1, 4, seed)[0]
            cache.put("m", [text], model[text][None])
        found = cache.get("m", [text])[0]
        np.testing.assert_array_equal(found, model[text]) if text in model else None
        assert (found is None) == (text not in model)
    assert len(cache) == len(model)
    cache.close()


@pytest.mark.parametrize("damage", ["nonsense", "truncated", "middle"])
def test_a_damaged_file_is_set_aside_and_rebuilt(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "c.sqlite"
    cache = EmbeddingCache(path)
    texts = [str(i) for i in range(500)]
    cache.put("m", texts, vectors(500))
    cache.close()
    content = bytearray(path.read_bytes())
    if damage == "nonsense":
        content = bytearray(os.urandom(len(content)))
    elif damage == "truncated":
        content = content[: len(content) // 3]
    else:
        content[4096 : len(content) // 2] = bytes(len(content) // 2 - 4096)
    path.write_bytes(content)
    cache = EmbeddingCache(path)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = cache.get("m", texts)
            made = vectors(500)
            assert all(v is None or np.array_equal(v, made[i]) for i, v in enumerate(found))
            cache.put("m", texts, made)
    assert "set aside" in caplog.text
    assert len(list(tmp_path.glob("c.sqlite.corrupt-*"))) >= 1
    cache.put("m", texts, made)
    assert all(v is not None for v in cache.get("m", texts))


def test_a_flipped_bit_in_a_vector_is_a_miss(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "c.sqlite")
    cache.put("m", ["a", "b"], vectors(2))
    with sqlite3.connect(tmp_path / "c.sqlite") as other:
        blob = bytearray(other.execute("SELECT vector FROM vectors WHERE id = 1").fetchone()[0])
        blob[7] ^= 1
        other.execute("UPDATE vectors SET vector = ? WHERE id = 1", (bytes(blob),))
    found = cache.get("m", ["a", "b"])
    assert found[0] is None
    assert found[1] is not None


def test_threads_share_it(tmp_path: Path) -> None:
    cache, wrong = EmbeddingCache(tmp_path / "c.sqlite"), []

    def work(number: int) -> None:
        texts = [f"{number % 3}-{i}" for i in range(40)]
        made = vectors(40, seed=number % 3)
        for _ in range(5):
            cache.put("m", texts, made)
            if not all(np.array_equal(f, e) for f, e in zip(cache.get("m", texts), made, strict=True)):  # type: ignore[arg-type]
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert len(cache) == 120


def _fill(path: Path, number: int) -> None:
    cache = EmbeddingCache(path)
    for start in range(0, 200, 20):
        cache.put("m", [f"{number}-{i}" for i in range(start, start + 20)], vectors(20, 32, number))


def test_processes_share_it_and_a_fork_opens_its_own(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    cache = EmbeddingCache(path)
    cache.put("m", ["before"], vectors(1, 32))
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_fill, args=(path, n)) for n in range(3)]
    inherited = context.Process(target=cache.put, args=("m", ["child"], vectors(1, 32)))
    for worker in [*workers, inherited]:
        worker.start()
    for worker in [*workers, inherited]:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(cache) == 602


_KILLED = """
import sys
from pathlib import Path
import numpy as np
from core.serving.embedding_cache import EmbeddingCache
cache = EmbeddingCache(Path(sys.argv[1]))
for n in range(10**6):
    cache.put("m", [f"{n}-{i}" for i in range(50)], np.full((50, 64), n, np.float32))
    print(n, flush=True)
"""


def test_a_killed_writer_leaves_whole_vectors(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 5:
            break
    os.kill(process.pid, signal.SIGKILL)
    done = 5
    for line in process.stdout:
        done = max(done, int(line))
    process.wait(10)
    cache = EmbeddingCache(path)
    for n in range(done + 1):  # what had been reported as written is there, whole
        found = cache.get("m", [f"{n}-{i}" for i in range(50)])
        assert all(v is not None and (v == n).all() and len(v) == 64 for v in found)
    assert not list(tmp_path.glob("*corrupt*"))
    cache.put("m", ["after"], np.ones((1, 64), np.float32))
    assert cache.get("m", ["after"])[0] is not None


def test_a_disk_that_fills_up_costs_only_the_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SQLite's own refusal (SQLITE_FULL), by a limit on pages instead of a full disk."""
    cache = EmbeddingCache(tmp_path / "c.sqlite")
    cache.put("m", ["a"], vectors(1))
    connection = cache._open()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    with caplog.at_level(logging.WARNING):
        cache.put("m", [str(i) for i in range(100)], vectors(100))
    assert "disk is full; going on without it" in caplog.text
    np.testing.assert_array_equal(cache.get("m", ["a"])[0], vectors(1)[0])
    assert cache.get("m", ["0"]) == [None]


def test_a_full_disk_costs_only_the_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small file system needs root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        cache = EmbeddingCache(small / "c.sqlite")
        cache.put("m", ["a"], vectors(1))
        with caplog.at_level(logging.WARNING):
            cache.put("m", [str(i) for i in range(3000)], vectors(3000))
        assert "going on without it" in caplog.text
        np.testing.assert_array_equal(cache.get("m", ["a"])[0], vectors(1)[0])
        cache.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_place_that_cannot_be_written_costs_only_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    cache = EmbeddingCache(tmp_path / "file" / "c.sqlite")
    cache.put("m", ["a"], vectors(1))
    assert cache.get("m", ["a"]) == [None]


def test_a_lock_that_is_held_costs_only_the_cache(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "c.sqlite")
    cache.put("m", ["a"], vectors(1))
    other = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    begun = time.monotonic()
    cache.put("m", ["b"], vectors(1))
    assert time.monotonic() - begun < 30
    other.execute("ROLLBACK")
    assert [v is None for v in cache.get("m", ["a", "b"])] == [False, True]
