"""What somebody is told whose Ray cluster cannot be reached; what a real one gives is in ``test_run.py``."""

import importlib.machinery
import socket
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from core.bulk.cluster import run_ray
from core.errors import InputError


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A Ray that is there and is let into no cluster."""

    def refuse(**given: Any) -> None:
        raise ConnectionError("Failed to connect to Ray cluster.")

    ray, data = types.ModuleType("ray"), types.ModuleType("ray.data")
    ray.__spec__ = importlib.machinery.ModuleSpec("ray", None)
    ray.__dict__.update(data=data, is_initialized=lambda: False, init=refuse, shutdown=lambda: None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", data)
    return ray


def test_a_cluster_that_lets_nobody_in_is_a_sentence(
    ray: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(InputError, match=f"RAY_ADDRESS={address} .*RAY_AUTH_MODE=token"):
            list(run_ray(tmp_path, [0], 1))


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "127.0.0.1:no{}"])
def test_where_nothing_listens_ray_is_not_asked(
    ray: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = form.format(server.getsockname()[1])
    asked: list[Any] = []
    monkeypatch.setattr(ray, "init", lambda **given: asked.append(given))  # it would try again for minutes
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match="RAY_ADDRESS"):
        list(run_ray(tmp_path, [0], 1))
    assert asked == []
