"""The shadow: it adds up right, drops what is too much, stops nobody, and keeps no text."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.operations.shadow import (
    Challenger,
    Shadow,
    ShadowSettings,
    Summary,
    read_settings,
    registered_challenger,
    summaries,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUICK = {"most_a_second": 1e6, "sample": 1.0}


@dataclass(frozen=True)
class Answer:
    label: str
    probability: float


OLD = Answer("a", 0.9)


@pytest.fixture
def open_shadow(tmp_path: Path) -> Iterator[Callable[..., Shadow]]:
    """``open_shadow(predict, **settings)``: on ``tmp_path``, with version 2 as the challenger; closed at the end."""
    made: list[Shadow] = []

    def make(predict: Callable[[list[str]], Sequence[Any]], **settings: Any) -> Shadow:
        one = Shadow(lambda model, champion: Challenger(2, predict), tmp_path, ShadowSettings(**{**QUICK, **settings}))
        one._clock = lambda: NOW
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def test_agreement_and_confidences_add_up(open_shadow: Callable[..., Shadow], tmp_path: Path) -> None:
    shadow = open_shadow(lambda texts: [Answer("a" if text < "k" else "b", 0.6) for text in texts])
    shadow.offer("m", 1, ["apple", "berry", "melon", "pear"], [OLD] * 4)
    shadow.settle()
    found = summaries(tmp_path)["m"].to_dict()
    assert (found["n"], found["agreement"], found["champion"], found["challenger"]) == (4, 0.5, 1, 2)
    assert found["champion_confidence"] == pytest.approx(0.9)
    assert found["challenger_confidence"] == pytest.approx(0.6)
    assert found["since"] == found["updated"] == NOW.isoformat()
    assert "apple" not in "".join(path.read_text() for path in tmp_path.iterdir())
    shadow.offer("m", 3, ["apple"], [OLD])  # another champion: the sums begin anew
    shadow.settle()
    assert (summaries(tmp_path)["m"].n, summaries(tmp_path)["m"].champion) == (1, 3)


def test_overload_drops_and_never_waits(open_shadow: Callable[..., Shadow], tmp_path: Path) -> None:
    held, begun = threading.Event(), threading.Event()

    def slow(texts: list[str]) -> list[Answer]:
        begun.set()
        held.wait()
        return [OLD for _ in texts]

    shadow = open_shadow(slow, queue=4, batch=1)
    shadow.offer("m", 1, ["first"], [OLD])
    begun.wait()
    shadow.offer("m", 1, [f"text {n}" for n in range(10)], [OLD] * 10)  # 4 find room
    held.set()
    shadow.settle()
    found = summaries(tmp_path)["m"]
    assert (found.n, found.dropped) == (5, 6)


def test_a_challenger_that_fails_or_lacks_is_no_harm(open_shadow: Callable[..., Shadow], tmp_path: Path) -> None:
    def broken(texts: list[str]) -> list[Answer]:
        if texts == ["bad"]:
            raise RuntimeError("broken")
        return [OLD]

    shadow = open_shadow(broken, batch=1)
    shadow.offer("m", 1, ["bad", "good"], [OLD, OLD])
    shadow.settle()
    assert summaries(tmp_path)["m"].n == 1
    shadow._challenger_of = lambda model, champion: None
    shadow.offer("other", 1, ["text"], [OLD])
    shadow.settle()
    assert "other" not in summaries(tmp_path)


def test_nothing_is_scored_unless_asked_for(open_shadow: Callable[..., Shadow]) -> None:
    shadow = open_shadow(lambda texts: [OLD for _ in texts], sample=0.0)
    shadow.offer("m", 1, ["text"], [OLD])
    assert shadow._thread is None


def test_pairs_are_left_out_and_models_are_not_mixed(open_shadow: Callable[..., Shadow], tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def watch(texts: list[str]) -> list[Answer]:
        seen.append(texts)
        return [OLD for _ in texts]

    shadow = open_shadow(watch)
    for model in ("m", "n", "m"):
        shadow.offer(model, 1, [("a", "pair"), f"for {model}"], [OLD, OLD])
    shadow.settle()
    assert {name: one.n for name, one in summaries(tmp_path).items()} == {"m": 2, "n": 1}
    assert all(len(set(texts)) == 1 for texts in seen)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.floats(0, 1)), max_size=30), st.integers(1, 7))
def test_sums_do_not_depend_on_the_batches(rows: list[tuple[bool, float, float]], size: int) -> None:
    pairs = [(Answer("a", old), Answer("a" if same else "b", new)) for same, old, new in rows]
    whole = Summary(1, 2).plus(pairs, 1.0, 0, NOW)
    parts = Summary(1, 2)
    for start in range(0, len(pairs), size):
        parts = parts.plus(pairs[start : start + size], 0.1, 0, NOW)
    assert (parts.n, parts.agreed) == (whole.n, whole.agreed)
    assert parts.champion_confidence_sum == pytest.approx(whole.champion_confidence_sum)


@given(st.floats(0.05, 0.95))
def test_the_sample_is_about_as_large_as_wanted(share: float) -> None:
    shadow = Shadow(lambda model, champion: None, Path("unused"), ShadowSettings(sample=share, queue=2000))
    shadow._start = lambda: None  # type: ignore[method-assign]
    shadow.offer("m", 1, ["text"] * 1000, [OLD] * 1000)
    assert abs(shadow._waiting.qsize() / 1000 - share) < 0.08


def test_the_registered_challenger_is_loaded_and_the_champion_is_none(
    tracked_var: Path, tiny_model: Path, make_recipe: Any
) -> None:
    from core.serving.registry import Registry
    from core.settings import get_settings

    find = registered_challenger(get_settings())
    registry, recipe = Registry(get_settings()), (tiny_model / "recipe.toml").read_text()
    registry.register("m", tiny_model, {}, recipe, "one")
    assert find("m", 1) is None and find("unknown", 1) is None
    registry.register("m", tiny_model, {}, recipe, "two")
    found = find("m", 1)
    assert found is not None and found.version == 2
    assert found.predict(["the rain"])[0].label in ("money", "sport", "weather")
    assert find("m", 2) is None


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_SHADOW_SAMPLE", "2")
    with pytest.raises(InputError, match="HEADWATER_SHADOW_SAMPLE"):
        read_settings()
