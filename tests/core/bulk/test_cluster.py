"""What somebody is told whose Ray cluster cannot be reached; what a real one gives is in ``test_run.py``."""

import importlib.machinery
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from core.bulk.cluster import run_ray
from core.errors import InputError


def test_a_cluster_that_does_not_answer_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**given: Any) -> None:
        raise ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379.")

    ray, data = types.ModuleType("ray"), types.ModuleType("ray.data")
    ray.__spec__ = importlib.machinery.ModuleSpec("ray", None)
    ray.__dict__.update(data=data, is_initialized=lambda: False, init=refuse, shutdown=lambda: None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", data)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(InputError, match="RAY_ADDRESS=10.0.0.1:6379 .*RAY_AUTH_MODE=token"):
        list(run_ray(tmp_path, [0], 1))
