"""Exports on disk: made once, whole or not at all, mended when damaged."""

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.serving import engine_store
from core.serving.encoder import load_encoder
from core.serving.network import Network, backbone_network
from tests.apart import Server


@pytest.fixture
def network(tiny_bert: Path) -> Network:
    return backbone_network(str(tiny_bert))


def writer(calls: list[str], text: str = "graph") -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        calls.append(folder.name)
        (folder / "model.onnx").write_text(text)
        return {"pad_id": 0}

    return write


def test_it_is_made_once_and_found_again(network: Network) -> None:
    calls: list[str] = []
    assert engine_store.find(network, "onnx") is None
    folder = engine_store.build_once(network, "onnx", writer(calls))
    assert engine_store.build_once(network, "onnx", writer(calls)) == folder
    assert len(calls) == 1
    assert engine_store.find(network, "onnx") == folder == engine_store.location(network, "onnx")
    assert engine_store.receipt(folder)["width"] == 32
    assert engine_store.find(network, "onnx-int8") is None
    assert engine_store.find(replace(network, fingerprint="0" * 32), "onnx") is None
    assert not [p for p in folder.parent.iterdir() if "tmp" in p.name]


@pytest.mark.parametrize("damage", ["flip", "cut", "no model", "no receipt", "bad receipt", "older revision"])
def test_what_is_damaged_is_made_again(network: Network, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = engine_store.build_once(network, "onnx", writer([]))
    model, receipt = folder / "model.onnx", folder / engine_store.RECEIPT
    if damage == "flip":
        model.write_text("grapj")
        os.utime(model, (1, 1))
    elif damage == "cut":
        model.write_text("gra")
    elif damage == "no model":
        model.unlink()
    elif damage == "no receipt":
        receipt.unlink()
    elif damage == "bad receipt":
        receipt.write_text('{"revision"')
    else:
        monkeypatch.setattr(engine_store, "REVISION", engine_store.REVISION + 1)
    assert engine_store.find(network, "onnx") is None
    calls: list[str] = []
    engine_store.build_once(network, "onnx", writer(calls))
    assert calls
    assert engine_store.find(network, "onnx") == folder
    assert model.read_text() == "graph"


def test_a_failed_build_leaves_nothing(network: Network) -> None:
    def refuse(folder: Path) -> dict[str, Any]:
        (folder / "half").write_text("x")
        raise InputError("refused")

    with pytest.raises(InputError, match="refused"):
        engine_store.build_once(network, "onnx", refuse)
    assert engine_store.find(network, "onnx") is None
    assert [p for p in engine_store.location(network, "onnx").parent.iterdir() if p.suffix != ".lock"] == []


def test_a_disk_that_fills_up_midway_is_one_sentence(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk, without one: the system refuses the bytes."""

    def full(folder: Path) -> dict[str, Any]:
        (folder / "model.onnx").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(InputError, match="No space left.*free some disk space"):
        engine_store.build_once(network, "onnx", full)
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(InputError, match="No space left.*free some disk space"):  # delayed allocation fails this late
        engine_store.build_once(network, "onnx", writer([]))
    assert engine_store.find(network, "onnx") is None
    assert [p for p in engine_store.location(network, "onnx").parent.iterdir() if p.suffix != ".lock"] == []
    monkeypatch.setattr(os, "fsync", real)
    assert engine_store.build_once(network, "onnx", writer([])) == engine_store.find(network, "onnx")


def test_a_full_disk_is_one_sentence(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small file system needs root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        monkeypatch.setenv("HEADWATER_VAR", str(small / "var"))
        with pytest.raises(InputError, match="No space left.*free some disk space"):
            engine_store.build_once(network, "onnx", writer([], "x" * 10**6))
        assert engine_store.find(network, "onnx") is None
    finally:
        subprocess.run(["umount", str(small)], check=True)


_STOPPED = """
import os, sys, time
from pathlib import Path
from core.serving import engine_store
from core.serving.network import backbone_network

real, stop_at = os.rename, sys.argv[2]

def rename(source, target):
    if stop_at == "before the rename":
        print("stopped", flush=True)
        time.sleep(600)
    real(source, target)
    print("stopped", flush=True)
    time.sleep(600)

def write(folder):
    (folder / "model.onnx").write_text("half")
    if stop_at == "half written":
        print("stopped", flush=True)
        time.sleep(600)
    (folder / "model.onnx").write_text("graph")
    return {"pad_id": 0}

os.rename = rename
engine_store.build_once(backbone_network(sys.argv[1]), "onnx", write)
"""


@pytest.mark.parametrize("point", ["half written", "before the rename", "after the rename"])
def test_a_killed_build_leaves_nothing_that_is_taken_for_whole(
    network: Network, tiny_bert: Path, apart: Server, point: str
) -> None:
    process = apart.start(str(tiny_bert), point, code=_STOPPED)
    assert process.stdout is not None
    assert process.stdout.readline() == "stopped\n"
    process.kill()
    assert process.wait() == -signal.SIGKILL
    found = engine_store.find(network, "onnx")
    assert (found is not None) == (point == "after the rename")
    calls: list[str] = []
    folder = engine_store.build_once(network, "onnx", writer(calls))
    assert len(calls) == (0 if found else 1)
    assert (folder / "model.onnx").read_text() == "graph"
    if calls:  # what the killed process left is swept by the next build
        assert not [p for p in folder.parent.iterdir() if "tmp" in p.name]


_RACING = """
import sys
from pathlib import Path
from core.serving import engine_store
from core.serving.network import backbone_network

def write(folder):
    import time
    with Path(sys.argv[2]).open("a") as file:
        file.write("x")
    time.sleep(0.5)
    (folder / "model.onnx").write_text("graph")
    return {"pad_id": 0}

print("ready", flush=True)
sys.stdin.readline()
print(engine_store.build_once(backbone_network(sys.argv[1]), "onnx", write))
"""


def test_processes_that_start_together_build_once(
    network: Network, tiny_bert: Path, tmp_path: Path, apart: Server
) -> None:
    count = tmp_path / "count"
    processes = [apart.start(str(tiny_bert), str(count), code=_RACING) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    answers = {process.communicate("go\n", timeout=120)[0].strip() for process in processes}
    assert count.read_text() == "x"
    assert len(answers) == 1
    assert Path(answers.pop()).name == engine_store.location(network, "onnx").name


def test_a_graph_cut_short_on_disk_is_exported_again(tiny_bert: Path, network: Network) -> None:
    expected = load_encoder(tiny_bert, engine="onnx").encode(["rain"])
    model = engine_store.location(network, "onnx") / "model.onnx"
    model.write_bytes(model.read_bytes()[:1000])
    assert load_encoder(tiny_bert).engine == "torch"  # damaged is as good as absent
    assert (load_encoder(tiny_bert, engine="onnx").encode(["rain"]) == expected).all()
