"""An API on tiny models, in process."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from core.api.app import create_app
from core.api.catalogue import Catalogue
from core.api.config import ApiSettings
from core.api.keys import Keys
from core.settings import Settings, get_settings
from core.vertical import Vertical

MakeClient = Callable[..., TestClient]


@pytest.fixture(scope="session")
def models_folder(tiny_model: Path, make_recipe: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as data/adapters: ``topics`` labels single texts, ``relevance`` scores pairs, ``near`` gives vectors."""
    from core.workflow import tune

    folder = tmp_path_factory.mktemp("shipped")
    shutil.copytree(tiny_model, folder / "topics")
    for name, kind in (("near", "matching"), ("relevance", "ranking")):
        settings = Settings(var=tmp_path_factory.mktemp(f"var-{name}"))
        made = tune(make_recipe("lora", kind, training={"max_steps": 2}), register=False, settings=settings)
        assert made is not None
        shutil.copytree(made.path, folder / name)
    return folder


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """No models but backbones; test files that need some say so (they take seconds to tune)."""
    return Catalogue(get_settings(), tmp_path / "none")


@pytest.fixture
def keys() -> Keys:
    return Keys.open(get_settings())


@pytest.fixture
def make_client(catalogue: Catalogue) -> Iterator[MakeClient]:
    """``make_client(*verticals, **config)``: a client of an API with these verticals and settings."""
    with contextlib.ExitStack() as stack:

        def make(*verticals: Vertical, **config: Any) -> TestClient:
            app = create_app(get_settings(), verticals, ApiSettings(**config), catalogue)
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield make


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    return make_client()
