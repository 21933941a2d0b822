"""The loop: a bad model is replaced by a better one, a poisoned batch changes nothing, and a killed turn goes on."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from core.errors import InputError
from core.operations import flywheel, judging, wheels
from core.operations.feedback import Correction, record
from core.operations.flywheel import is_held_out
from core.operations.judging import FlywheelConfig
from core.operations.turns import Turn, Turns
from core.serving.registry import Registry
from core.settings import get_settings
from core.vertical import Vertical, Wheel
from core.workflow import tune

# Speed on a busy machine proves nothing here; the gate's own test covers it.
GATE = FlywheelConfig(minimum_rows=30, latency_ratio=1000, calibration_loss=1, hardships=("capitals",))
NAME = "tiny-classification"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TURNED = {"money": "sport", "sport": "weather", "weather": "money"}


@pytest.fixture
def correct(sqlite: Engine, make_rows: Callable[..., Any]) -> Callable[..., None]:
    """Record corrections of made-up texts; ``twist`` changes their labels."""

    def say(twist: Callable[[str], str] = str, count: int = 40, seed: int = 11) -> None:
        for n, row in enumerate(make_rows("classification", count, seed=seed)):
            values = {"text": row["text"], "label": twist(row["label"]), "actor": "mei", "source": f"act-{seed}-{n}"}
            record(sqlite, Correction(vertical="shop", task="topic", time=NOW, **values))

    return say


@pytest.fixture
def recipe(tracked_var: Path, tmp_path: Path, make_recipe: Any, make_rows: Any, write_csv: Any) -> Callable[..., Any]:
    """A recipe with a frozen test of its own; ``wrong``: it learns another topic's name for each, and is bad at all.

    A model that hardly learnt would not do: it says the same of every text, which is always right for one label.
    """
    test = write_csv(tmp_path / "test.csv", make_rows("classification", 30, seed=5))
    rows = make_rows("classification", 10, seed=1)
    right = write_csv(tmp_path / "right.csv", rows)
    twisted = write_csv(tmp_path / "wrong.csv", [{**row, "label": TURNED[row["label"]]} for row in rows])

    def make(epochs: float, wrong: bool = False) -> Any:
        data = {"train": {"path": str(twisted if wrong else right)}, "test": {"path": str(test)}}
        return make_recipe("head", data=data, training={"epochs": epochs, "learning_rate": 3e-2})

    return make


@pytest.fixture
def wheel(recipe: Callable[..., Any], tmp_path: Path) -> Wheel:
    """A wheel whose challenger is tuned well."""
    path = tmp_path / "wheel.toml"
    path.write_text(recipe(30).to_toml(), encoding="utf-8")
    return Wheel("topic", "topic", NAME, path)


def turn(wheel: Wheel, engine: Engine) -> Turn:
    return flywheel.turn(wheel, engine, "shop", GATE, clock=lambda: NOW)


def production() -> int:
    return Registry(get_settings()).model(NAME).aliases["production"]


def versions() -> int:
    return len(Registry(get_settings()).model(NAME).versions)


def test_a_bad_model_is_replaced_by_a_better_one_and_a_rollback_restores_it(
    recipe: Callable[..., Any], wheel: Wheel, sqlite: Engine, correct: Callable[..., None]
) -> None:
    tune(recipe(10, wrong=True))
    correct()
    found = turn(wheel, sqlite)
    assert found.outcome == "promoted", (found.reasons, found.figures)
    assert (found.champion, found.challenger, production()) == (1, 2, 2)
    assert found.held_out > 0 and found.trained_on + found.held_out == found.corrections <= 120
    assert {"all", "frozen", "recent", "slices", "calibration_error", "seconds_per_text", "robustness"} <= set(
        found.figures
    )
    rows = [json.loads(line) for line in next(Turns(get_settings(), "shop.topic").home.glob("rows-*")).open()]
    assert {row["from"] for row in rows if "actor" in row} < set(found.seen)
    assert sum("actor" in row for row in rows) == found.trained_on
    again = turn(wheel, sqlite)
    assert again.outcome == "skipped" and "0 new corrections" in again.reasons[0] and versions() == 2
    assert [one.number for one in Turns(get_settings(), "shop.topic").all()] == [1]
    Registry(get_settings()).rollback(NAME)
    assert production() == 1


def test_a_poisoned_batch_is_refused(
    recipe: Callable[..., Any], wheel: Wheel, sqlite: Engine, correct: Callable[..., None]
) -> None:
    tune(recipe(30))
    correct(lambda label: TURNED.get(label, label))
    found = turn(wheel, sqlite)
    assert found.outcome == "refused" and production() == 1
    assert any("frozen test" in reason for reason in found.reasons), (found.reasons, found.figures)
    assert Turns(get_settings(), "shop.topic").last() == found


def test_a_turn_that_is_killed_leaves_the_champion_and_goes_on(
    recipe: Callable[..., Any],
    wheel: Wheel,
    sqlite: Engine,
    correct: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tune(recipe(10, wrong=True))
    correct()

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:  # after the tuning
        patched.setattr(judging, "judge", killed)
        with pytest.raises(KeyboardInterrupt):
            turn(wheel, sqlite)
    assert (production(), versions()) == (1, 2)
    with monkeypatch.context() as patched:  # after the gate
        patched.setattr(Registry, "promote", killed)
        with pytest.raises(KeyboardInterrupt):
            turn(wheel, sqlite)
    assert (production(), versions()) == (1, 2)
    found = turn(wheel, sqlite)
    assert (found.outcome, found.challenger, production(), versions()) == ("promoted", 2, 2, 2)


def test_what_people_promoted_meanwhile_stays(
    recipe: Callable[..., Any],
    wheel: Wheel,
    sqlite: Engine,
    correct: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tune(recipe(10, wrong=True))
    tune(recipe(11, wrong=True))
    correct()
    judge = judging.judge

    def slow(*args: Any) -> Any:
        Registry(get_settings()).promote(NAME, 2)
        return judge(*args)

    monkeypatch.setattr(judging, "judge", slow)
    found = turn(wheel, sqlite)
    assert found.outcome == "refused" and "took the champion's place" in found.reasons[-1]
    assert production() == 2


def test_few_corrections_tune_nothing(recipe: Callable[..., Any], wheel: Wheel, sqlite: Engine) -> None:
    found = turn(wheel, sqlite)
    assert found.outcome == "skipped" and "too few" in found.reasons[0]
    assert Turns(get_settings(), "shop.topic").all() == []


def test_a_missing_frozen_test_is_told(
    recipe: Callable[..., Any], wheel: Wheel, sqlite: Engine, correct: Callable[..., None], tmp_path: Path
) -> None:
    correct()
    (tmp_path / "test.csv").unlink()
    found = wheels.readiness(sqlite, "shop", wheel, get_settings())
    assert not found.ready and "the frozen test" in found.reason and "test.csv is missing" in found.reason
    assert (found.known, found.new) == (120, 120)
    assert turn(wheel, sqlite).reasons == (found.reason,)
    many = replace(wheel, new=1000)
    assert "missing" not in wheels.readiness(sqlite, "shop", many, get_settings()).reason
    everything = wheels.readiness(sqlite, "shop", many, get_settings(), thorough=True).reason
    assert "too few" in everything and "missing" in everything


def test_a_second_turn_at_once_is_refused(wheel: Wheel, sqlite: Engine) -> None:
    home = Turns(get_settings(), "shop.topic").home
    home.mkdir(parents=True)
    with FileLock(home / ".lock", is_singleton=False), pytest.raises(InputError, match="another process"):
        turn(wheel, sqlite)


def test_the_shipped_model_is_the_champion_where_nothing_was_promoted(
    tracked_var: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "small").symlink_to(tiny_model)
    monkeypatch.setattr(flywheel, "SHIPPED", tmp_path / "shipped")
    registry = Registry(get_settings())
    assert flywheel.ensure_champion("small", registry).version == 1
    assert flywheel.ensure_champion("small", registry).version == 1
    with pytest.raises(InputError, match="no registered model"):
        flywheel.ensure_champion("unknown", registry)


def test_each_wheel_is_a_job_of_the_worker_that_looks_before_it_turns(
    sqlite: Engine, monkeypatch: pytest.MonkeyPatch, wheel: Wheel, correct: Callable[..., None], clock: Any
) -> None:
    from core.operations.worker import installed_jobs

    refused = Wheel("taste", "taste", "none", refusal="it ranks.")
    shop = Vertical("shop", "sells", wheels=lambda: [wheel, refused])
    assert list(installed_jobs({"shop": lambda: shop})[0]) == [("shop", "flywheel-topic")]
    turned: list[str] = []
    monkeypatch.setattr(wheels, "_turn_apart", turned.append)
    (job,) = wheels.wheel_jobs("shop", [wheel, refused], clock)
    job.run()
    assert turned == []
    correct()
    job.run()
    assert turned == ["shop.topic"]
    Turns(get_settings(), "shop.topic").keep(Turn("shop.topic", NAME, 1, "refused", clock()))
    clock.pass_(wheel.seconds - 1)
    job.run()
    assert turned == ["shop.topic"]  # a day has not gone by
    clock.pass_(1)
    with FileLock(get_settings().var / "flywheel" / ".lock", is_singleton=False):
        job.run()
    assert turned == ["shop.topic"]  # another one is turning
    job.run()
    assert turned == ["shop.topic"] * 2


def test_a_new_label_waits_until_a_few_texts_show_it(recipe: Callable[..., Any], tmp_path: Path) -> None:
    def act(n: int, label: str) -> Correction:
        values = {"vertical": "shop", "task": "topic", "actor": "mei", "time": NOW}
        return Correction(text=f"the rain {label} {n}", label=label, source=f"{label}-{n}", **values)

    known = [act(0, "money"), *(act(n, "food") for n in range(5))]
    path, taught = flywheel._write_rows(recipe(1), [*known, *(act(n, "art") for n in range(4))], 2, tmp_path)
    rows = [json.loads(line) for line in path.open()]
    assert [row["from"] for row in rows if "actor" in row] == [one.source for one in known]
    assert taught == 6 and len(rows) == 3 * 2 + 6


def test_a_turn_apart_says_why_it_failed(private_var: Path) -> None:
    with pytest.raises(InputError, match=r"no wheel 'shop\.none'"):
        wheels._turn_apart("shop.none")


@given(st.text(max_size=40))
def test_what_is_held_out_stays_so_however_it_is_written(text: str) -> None:
    assert is_held_out(text) == is_held_out(f"  {text} ") == is_held_out(text.casefold())


def test_about_one_in_five_is_held_out() -> None:
    assert 150 < sum(is_held_out(f"text {n}") for n in range(1000)) < 250
