"""A registry in a folder of its own on a copy of MLflow's empty database, and something to register."""

import shutil
from pathlib import Path

import pytest

from core.serving.registry import Registry
from core.settings import get_settings

RECIPE = 'name = "intents"\ntask = "classification"\nmethod = "lora"\n'


@pytest.fixture
def registry(empty_tracking_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty registry, which ``get_settings()`` names, too."""
    var = tmp_path / "var"
    var.mkdir(exist_ok=True)
    shutil.copy(empty_tracking_database, var / "mlflow.db")
    monkeypatch.setenv("HEADWATER_VAR", str(var))
    monkeypatch.delenv("HEADWATER_TRACKING_URI", raising=False)
    return Registry(get_settings())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of a tuned model, as far as a registry looks at them."""
    made = tmp_path / "tuned"
    (made / "adapter").mkdir(parents=True)
    (made / "adapter" / "weights.bin").write_bytes(bytes(range(256)) * 50)
    (made / "README.md").write_text("# Card")
    (made / "labels.json").write_text('["a", "b"]')
    return made


def register(registry: Registry, folder: Path, name: str = "intents", **metrics: object) -> int:
    """The number of the version that is made of the folder."""
    return registry.register(name, folder, metrics, RECIPE, "f1")
