"""The search: what ranges mean, that a stopped study goes on, that hopeless trials are cut short."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.tuning.recipe import Recipe
from core.tuning.sweep import default_space, parse_range, show_report, sweep

SPACE = ["training.learning_rate=1e-3..1e-1", "options.rank=2,4"]
numbers = st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6, allow_nan=False))


@given(numbers, numbers)
def test_two_bounds_are_read_back(one: float, other: float) -> None:
    low, high = sorted((one, other))
    text = f"training.x={low!r}..{high!r}"
    if low == high:
        with pytest.raises(InputError, match="the smaller"):
            parse_range(text)
        return
    found = parse_range(text)
    assert (found.field, found.low, found.high, found.choices) == ("training.x", low, high, ())
    assert found.whole == (isinstance(low, int) and isinstance(high, int))
    assert found.log == (low > 0 and high / low >= 10)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    value = found.suggest(study.ask())
    assert low <= value <= high
    assert isinstance(value, int) == found.whole


@given(st.lists(st.one_of(st.integers(), st.booleans(), st.sampled_from(["cosine", "linear"])), min_size=1, max_size=5))
def test_choices_are_read_back(values: list[Any]) -> None:
    written = [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
    assert parse_range("a.b=" + ",".join(written)).choices == tuple(values)


@given(st.text(max_size=30))
def test_any_text_is_a_range_or_a_clear_refusal(text: str) -> None:
    try:
        found = parse_range(text)
    except InputError as error:
        assert "--space" in str(error)
    else:
        assert found.field
        assert found.choices or (math.isfinite(found.low) and math.isfinite(found.high) and found.low < found.high)


@pytest.mark.parametrize(
    "text", ["", "=", "a=", "=1..2", "a=1..x", "a=x..2", "a=nan..1", "a=1..inf", "a=2..1", "a=..", "a"]
)
def test_refused(text: str) -> None:
    with pytest.raises(InputError, match="--space"):
        parse_range(text)


@pytest.mark.parametrize("method", ["full", "lora", "adapter", "prompt", "head"])
@pytest.mark.parametrize("kind", ["classification", "matching"])
def test_the_default_space_makes_valid_recipes(make_recipe: Callable[..., Any], method: str, kind: str) -> None:
    recipe = make_recipe(method, kind)
    for one in default_space(recipe):
        for value in one.choices or (one.low, one.high):
            section, name = one.field.split(".")
            values = recipe.model_dump(mode="json", exclude_none=True)
            assert name in values[section]
            values[section][name] = value
            Recipe.parse(values)


def test_a_stopped_search_goes_on(make_recipe: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = make_recipe("lora", training={"epochs": 1, "max_steps": 2})
    first = sweep(recipe, 2, SPACE)
    assert [t["state"] for t in first.trials] == ["complete", "complete"]
    assert first.importance is None
    # A killed process leaves its trial running in the study.
    study = optuna.load_study(study_name=recipe.name, storage=f"sqlite:///{first.study}")
    study.ask()
    second = sweep(recipe, 4, SPACE)
    assert [t["state"] for t in second.trials] == ["complete", "complete", "fail", "complete", "complete"]
    assert second.trials[:2] == first.trials
    assert second.study == first.study
    assert set(second.best) == {"training.learning_rate", "options.rank"}
    assert second.best_value == max(t["value"] for t in second.trials if t["value"] is not None)
    assert second.importance is not None
    assert set(second.importance) == set(second.best)
    assert sum(second.importance.values()) == pytest.approx(1)
    best = Recipe.load(second.recipe)
    assert best.training.learning_rate == second.best["training.learning_rate"]
    assert best.options.rank == second.best["options.rank"]
    text = show_report(second.to_dict())
    assert f"{second.best_value:.4f}" in text and "importance" in text and "fail" in text
    assert {p.name for p in Path(second.study).parent.iterdir()} == {"study.db", "best.toml", "report.json"}

    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("a finished search must not train again")

    monkeypatch.setattr("core.tuning.run.fit", forbidden)
    assert sweep(recipe, 4, SPACE).trials == second.trials


def test_hopeless_trials_are_pruned_and_lower_loss_is_better(
    make_recipe: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    losses = iter([1.0, 1.1, 0.9, 1.2, 50.0, 0.5])
    epochs_run: list[int] = []

    def fake(recipe: Any, data: Any, work: Path, report: Any) -> Any:
        work.mkdir(parents=True)
        loss = next(losses)
        epochs_run.append(0)
        for epoch in range(3):
            epochs_run[-1] += 1
            report({"loss": 0.1}, epoch)
            report({"eval_loss": loss}, epoch)
        return SimpleNamespace(outcome=SimpleNamespace(history=[{"validation_loss": loss}]))

    monkeypatch.setattr("core.tuning.run.fit", fake)
    report = sweep(make_recipe("lora", "generation"), 6, SPACE)
    assert [t["state"] for t in report.trials] == ["complete"] * 4 + ["pruned", "complete"]
    assert epochs_run[4] == 1
    assert (report.metric, report.best_value) == ("loss", 0.5)
    assert "trial   5" in show_report(report.to_dict()).splitlines()[3]


@pytest.mark.parametrize("space", ["training.speed=1..2", "training.batch_size=0..4", "task=poetry,prose"])
def test_a_space_the_recipe_cannot_have(make_recipe: Callable[..., Any], space: str) -> None:
    with pytest.raises(InputError, match=space.split("=")[0]):
        sweep(make_recipe(), 1, [space])
