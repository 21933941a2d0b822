"""Processes that change a registry are killed at any point, and work at once: every version is whole or absent."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.serving import folders
from core.serving.mlflow_client import connect
from core.serving.registry import Registry
from tests.apart import Server
from tests.core.serving.registry.conftest import register

_STEPS = [
    (folders, "copy_in"),
    (folders, "put_in_place"),
    (folders, "remove"),
]
_CLIENT_STEPS = [
    "create_registered_model",
    "create_model_version",
    "set_registered_model_tag",
    "set_model_version_tag",
    "set_registered_model_alias",
]


class Killed(BaseException):
    """Stands for kill -9: nothing in the product catches it."""


@contextlib.contextmanager
def killed_after(registry: Registry, step: int) -> Iterator[list[str]]:
    """Let ``step`` changes happen and stop the next one; afterwards no further change goes through."""
    done: list[str] = []

    def counted(name: str, original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if len(done) >= step:
                raise Killed
            done.append(name)
            return original(*args, **kwargs)

        return call

    client = registry._ledger().client
    with pytest.MonkeyPatch.context() as patch:
        for module, name in _STEPS:
            patch.setattr(module, name, counted(name, getattr(module, name)))
        for name in _CLIENT_STEPS:
            patch.setattr(client, name, counted(name, getattr(client, name)))
        yield done


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_registration_stopped_at_any_step_is_whole_or_absent(registry: Registry, folder: Path, earlier: int) -> None:
    """Every step in turn; readers agree at each point and the next registration tidies up."""
    name, outcomes = "intents", []
    for step in range(30):
        name = f"intents-{step}"
        for _ in range(earlier):
            register(registry, folder, name)
        with killed_after(registry, step) as done:
            try:
                register(registry, folder, name)
                finished = True
            except Killed:
                finished = False
        seen = {info.name: info for info in Registry(registry.settings).list()}
        info = seen.get(name)
        numbers = [v.version for v in info.versions] if info else []
        outcomes.append(len(numbers) - earlier)
        assert outcomes[-1] in (0, 1), done
        if info is not None:
            alias = "challenger" if earlier else "production"
            assert all(v.path is not None and (v.path / "labels.json").is_file() for v in info.versions)
            assert info.aliases.get(alias, 0) == (numbers[0] if len(numbers) > earlier or not earlier else 0)
        assert register(registry, folder, name) > max(numbers, default=0)
        on_disk = {p.name for p in (registry.settings.models / name).iterdir()}
        assert on_disk == {str(v.version) for v in registry.model(name).versions}, done
        if finished:
            break
    assert finished and outcomes[0] == 0 and outcomes[-1] == 1
    assert outcomes == sorted(outcomes), "once visible, a version must stay visible"


def test_a_promotion_stopped_at_any_step_happened_or_did_not(registry: Registry, folder: Path) -> None:
    for _ in range(2):
        register(registry, folder)
    before, after = {"production": 1, "challenger": 2}, {"production": 2, "previous": 1, "challenger": 2}
    for step in range(10):
        registry.promote("intents", 1)
        connect(registry.settings).set_registered_model_tag("intents", "headwater.moves", "[]")
        with contextlib.suppress(Exception):
            connect(registry.settings).delete_registered_model_alias("intents", "previous")
        with killed_after(registry, step) as done:
            try:
                registry.promote("intents", 2)
                finished = True
            except Killed:
                finished = False
        assert Registry(registry.settings).model("intents").aliases == (before if step == 0 else after), done
        if finished:
            break
        registry.rollback("intents") if step else None  # completes the move first, then undoes it
    assert finished and len(done) == 4


_KILLED_CHILD = """
import os, sys, time
from core.serving.registry import Registry
from core.settings import get_settings
registry = Registry(get_settings())
registry.list()
print("ready", flush=True)
while True:
    registry.register("intents", sys.argv[1], {"accuracy": 0.9}, 'task = "classification"', "f")
"""


def test_kill_9_during_registrations_leaves_only_whole_versions(
    registry: Registry, folder: Path, apart: Server
) -> None:
    child = apart.start(str(folder), code=_KILLED_CHILD)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    time.sleep(0.7)
    child.kill()
    child.communicate()
    infos = registry.list()
    for version in infos[0].versions if infos else ():
        assert version.path is not None
        assert (version.path / "adapter" / "weights.bin").read_bytes() == bytes(range(256)) * 50
    started = time.monotonic()
    newest = register(registry, folder)
    assert time.monotonic() - started < 10, "a killed process must not hold its lock"
    on_disk = {p.name for p in (registry.settings.models / "intents").iterdir()}
    info = registry.model("intents")
    assert info.latest == newest and on_disk == {str(v.version) for v in info.versions}


_HAMMER = """
import random, sys, time
from core.serving.ledger import Ledger
from core.serving.registry import Registry
from core.settings import get_settings
def dawdle(read):  # between reading and writing, where a missing lock would do its damage
    def call(*arguments):
        found = read(*arguments)
        time.sleep(dice.random() * 0.06)
        return found
    return call
Ledger.versions = dawdle(Ledger.versions)
made, move = [], Ledger.move
def counted(*arguments):
    move(*arguments)
    made.append(arguments)
Ledger.move = counted
registry, dice = Registry(get_settings()), random.Random(int(sys.argv[1]))
registry.list()
print("ready", flush=True)
sys.stdin.readline()  # both start at once
for _ in range(8):  # with the four before them, no more moves than a history keeps
    if dice.random() < 0.3:
        registry.rollback("intents")
    else:
        registry.promote("intents", dice.randint(1, 3))
print(len(made))
"""


def test_processes_that_promote_and_roll_back_at_once_keep_every_promise(
    registry: Registry, folder: Path, apart: Server
) -> None:
    for _ in range(3):
        register(registry, folder)
    registry.promote("intents", 2)
    children = [apart.start(str(seed), code=_HAMMER) for seed in range(2)]
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    reads = 0
    while any(child.poll() is None for child in children):
        info = registry.model("intents")  # a reader among the writers
        reads += 1
        time.sleep(0.05)
        assert {info.aliases["production"], info.aliases["previous"]} <= {1, 2, 3}
        assert info.aliases["production"] != info.aliases["previous"]
    printed = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0] and reads > 3
    info = registry.model("intents")
    # Without a lock one process writes its history over the other's, and what is left still reads as consistent.
    assert len(info.history) == 4 + sum(map(int, printed)), "a move was lost"
    history = [move for move in info.history if "previous" in move.aliases]
    assert len(history) > 5 and all(move.applied for move in history)
    for old, new in zip(history, history[1:], strict=False):
        assert new.aliases["previous"] == old.aliases["production"], "a move was lost between two others"
        if new.action == "rollback":
            assert new.aliases["production"] == old.aliases["previous"]
    assert info.aliases == history[-1].aliases
    stored = connect(registry.settings).get_registered_model("intents").aliases
    assert {alias: int(number) for alias, number in stored.items()} == info.aliases
