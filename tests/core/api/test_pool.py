"""Models in memory: what a promotion replaced leaves it, and leaves nothing behind."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from core.api.catalogue import Catalogue
from core.api.config import ApiSettings
from core.api.served import Served
from core.settings import get_settings

MakeClient = Callable[..., TestClient]
Versions = Callable[[int], Any]


@pytest.fixture
def catalogue(models_folder: Path) -> Catalogue:
    return Catalogue(get_settings(), models_folder)


@pytest.fixture
def versions(models_folder: Path, tracked_var: Path) -> Versions:
    """``versions(n)``: a registry with n versions of ``topics``, the first of them in use."""

    def make(n: int) -> Any:
        from core.serving.registry import Registry

        registry, recipe = Registry(get_settings()), (models_folder / "topics" / "recipe.toml").read_text()
        for number in range(n):
            registry.register("topics", models_folder / "topics", {}, recipe, str(number))
        return registry

    return make


def test_a_replaced_version_leaves_the_memory(make_client: MakeClient, versions: Versions) -> None:
    registry = versions(3)
    client = make_client(fresh_s=0, replaced_s=0)

    def loaded_after(*names: str) -> list[str]:
        for name in names:
            assert client.post("/v1/predict", json={"model": name, "texts": ["rain"]}).status_code == 200
        return sorted(client.get("/readyz").json()["models"])

    assert loaded_after("topics") == ["topics:1"]
    registry.promote("topics", 2)
    assert loaded_after("topics") == ["topics:2"]
    registry.promote("topics", 3)
    assert loaded_after("topics:2", "topics") == ["topics:2", "topics:3"], "one that is asked for by number stays"
    registry.rollback("topics")
    assert loaded_after("topics") == ["topics:2"]


def test_a_model_that_is_let_go_leaves_nothing_behind(catalogue: Catalogue) -> None:
    served = Served(catalogue.find("topics"), ApiSettings())
    model = weakref.ref(served.model)
    gc.disable()  # it comes by itself when much is made, which a server that only answers does not do
    try:
        served.close()
        assert model() is None
    finally:
        gc.enable()


def test_a_replaced_version_stays_while_somebody_may_wait_for_it(make_client: MakeClient, versions: Versions) -> None:
    registry = versions(2)
    client = make_client(fresh_s=0)
    for version in (1, 2):
        registry.promote("topics", version)
        answer = client.post("/v1/predict", json={"model": "topics", "texts": ["rain"]})
        assert answer.json()["model"]["version"] == version
    assert sorted(client.get("/readyz").json()["models"]) == ["topics:1", "topics:2"]
