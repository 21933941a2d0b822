"""A model in use follows what is promoted, and stays when the new one cannot be opened."""

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.operations.following import Followed, follow


class Model:
    def __init__(self, at: str) -> None:
        if at == "broken":
            raise OSError(at)
        self.name = at


def test_it_follows_looks_seldom_and_keeps_what_works(clock: Any) -> None:
    at, looks = ["one"], [0]

    def place() -> str:
        looks[0] += 1
        return at[0]

    model = Followed(place, Model, 30, clock.monotonic)

    def later(seconds: float) -> str:
        clock.ran += seconds
        model.current  # noqa: B018 – lets it look
        model.settle()
        return model.name

    assert model.name == "one"
    at[0] = "two"
    assert later(29) == "one" and looks[0] == 1
    assert later(1) == "two"
    at[0] = "broken"
    assert later(30) == "two"
    at[0] = "three"
    assert later(30) == "three"
    with pytest.raises(AttributeError):
        model.unknown  # noqa: B018


class Ring(Model):
    """Refers to itself, as a predictor does."""

    def __init__(self, at: str) -> None:
        super().__init__(at)
        self.network = lambda: self.name


def test_what_is_replaced_leaves_the_memory_at_the_next_look(clock: Any) -> None:
    at = ["one"]
    model = Followed(lambda: at[0], Ring, 30, clock.monotonic)
    first = weakref.ref(model.current)

    def look() -> None:
        clock.ran += 30
        model.current  # noqa: B018 – lets it look
        model.settle()

    gc.disable()  # it comes by itself when much is made, which a server that only answers does not do
    try:
        at[0] = "two"
        look()
        assert model.name == "two"
        look()
        assert first() is None
    finally:
        gc.enable()


def test_a_promoted_version_is_used_and_a_rollback_too(tracked_var: Path, tiny_model: Path) -> None:
    from core.serving.registry import Registry
    from core.settings import get_settings

    registry, recipe = Registry(get_settings()), (tiny_model / "recipe.toml").read_text()
    registry.register("m", tiny_model, {}, recipe, "one")
    model = follow("m", "torch")
    model._seconds = 0

    def version() -> int:
        model.current  # noqa: B018
        model.settle()
        return int(model._at.name)

    assert version() == 1
    registry.register("m", tiny_model, {}, recipe, "two")
    assert version() == 1
    registry.promote("m", 2)
    assert version() == 2 and model.predict(["the rain"])
    registry.rollback("m")
    assert version() == 1


def test_a_folder_stays_and_a_name_must_be_known(tiny_model: Path, private_var: Path) -> None:
    assert not isinstance(follow(tiny_model), Followed)
    with pytest.raises(InputError):
        follow("no-such-model")
