"""Work that outlives the page: a comparison, a tuning that registers, one stopped, one killed."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import InputError
from core.settings import Settings
from core.studio import uploads, work
from core.tuning.recipe import Recipe


@pytest.fixture
def settings(tracked_var: Path) -> Settings:
    return Settings(var=tracked_var)


@pytest.fixture
def recipe(settings: Settings, tiny_bert: Path) -> Recipe:
    rows = "".join(f"{'my card' if i % 2 else 'a loan'} number {i},{'card' if i % 2 else 'loan'}\n" for i in range(60))
    made = uploads.recipe("mine", uploads.keep("rows.csv", f"text,label\n{rows}".encode(), settings), "text", "label")
    training = made.training.model_copy(update={"max_length": 32})
    return made.model_copy(update={"backbone": str(tiny_bert), "training": training})


def until(settings: Settings, found: Callable[[work.Work], bool], seconds: float = 120) -> work.Work:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        latest = work.all_work(settings)[0]
        if found(latest):
            return latest
        time.sleep(0.2)
    raise AssertionError(f"{latest.state}: {(latest.folder / 'progress.log').read_text()[-2000:]}")


def test_a_comparison_then_a_tuning(settings: Settings, recipe: Recipe) -> None:
    from core.serving.registry import Registry

    begun = work.start_comparison(recipe, ("tf-idf",), 5, settings)
    assert begun.state == "running"
    with pytest.raises(InputError, match="is at work"):
        work.start_tuning(recipe, "head", settings)
    compared = until(settings, lambda one: one.state != "running")
    assert compared.state == "done" and compared.result is not None
    assert {row["method"] for row in compared.result["rows"]} == {"tf-idf"}
    work.start_tuning(recipe, "head", settings)
    tuned = until(settings, lambda one: one.kind == "tune" and one.state != "running")
    assert tuned.state == "done" and tuned.result is not None, (tuned.folder / "progress.log").read_text()
    assert Registry(settings).show("mine@production").version == tuned.result["version"] == 1


def test_what_is_stopped_and_what_is_killed_is_told_apart(settings: Settings, recipe: Recipe) -> None:
    work.start_comparison(recipe, ("head",), 5, settings)
    work.stop(work.all_work(settings)[0])
    assert until(settings, lambda one: one.state != "running").state == "stopped"
    begun = work.start_comparison(recipe, ("head",), 5, settings)
    runner = until(settings, lambda one: (one.folder / work.LOCK).exists())
    found = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _command(entry)[1:4] == ["-m", "core.studio.run", str(runner.folder)]
    ]
    os.kill(found[0], signal.SIGKILL)
    killed = until(settings, lambda one: one.state != "running")
    assert killed.id == begun.id and killed.state == "failed" and killed.result is None


def _command(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []
