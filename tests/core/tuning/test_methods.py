"""Every method on every task: the intended weights move, and a new process predicts the same."""

import itertools
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from core.data.load import load
from core.errors import InputError
from core.settings import PROJECT_ROOT
from core.tuning import artifact
from core.tuning.methods import METHODS
from core.tuning.recipe import Method, Task
from core.tuning.run import fit
from core.tuning.training import total_steps
from tests.apart import Server

TASKS: tuple[Task, ...] = get_args(Task)
REFUSED = {
    ("head", "matching"): "without a task head there is nothing left to train",
    ("head", "generation"): "without a task head there is nothing left to train",
    ("bitfit", "generation"): "it has no bias terms to tune",  # the Llama family has none
}
COMBINATIONS = [pair for pair in itertools.product(METHODS, TASKS) if pair not in REFUSED]
_HEAD = r"head\.(weight|bias)"
_TOP_BLOCK = {"generation": r"model\.layers\.1\.", "": r"backbone\.encoder\.layer\.2\."}
MOVES = {
    "full": r".*",
    "head": r"^$",
    "bitfit": r".*\.bias",
    "lora": r".*\.lora_[AB]\.default\.weight",
    "adalora": r".*\.lora_[ABE]\.default",
    "ia3": r".*\.ia3_l\.default",
    "adapter": r".*\.adapter\.(down|up)\.(weight|bias)",
    "prefix": r".*prompt_encoder\.default\..*",
    "prompt": r".*prompt_encoder\.default\..*",
    "p-tuning": r".*prompt_encoder\.default\..*",
}


@dataclass(frozen=True)
class Outcome:
    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]
    trained: list[str]
    history: list[dict[str, float]]
    predictions: np.ndarray
    folder: Path
    trainable: int


@pytest.fixture(scope="module")
def tuned(
    make_recipe: Callable[..., Any],
    weights_of: Callable[..., dict[str, np.ndarray]],
    predict_test_rows: Callable[..., np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, str], Outcome]:
    """Train a combination once for the whole module."""
    root = tmp_path_factory.mktemp("every-method")
    done: dict[tuple[str, str], Outcome] = {}

    def train(method: str, task: str) -> Outcome:
        if (method, task) in done:
            return done[method, task]
        options = {"layers": 1} if method == "top-layers" else {}
        recipe = make_recipe(method, task, training={"max_steps": 3, "head_start": "random"}, options=options)
        data = load(recipe.data, recipe.task, recipe.training.seed)
        outputs = {"classification": len(data.labels), "ranking": 1}.get(task, 0)
        before = weights_of(artifact.build(recipe, outputs, steps=total_steps(recipe, len(data.train))))
        folder = root / f"{method}-{task}"
        fitted = fit(recipe, data, root / f"{method}-{task}.work")
        built = fitted.built
        predictions = predict_test_rows(recipe, built.model, built.tokenizer, built.base, data)
        after = weights_of(built)
        artifact.save(folder, built, recipe, data.labels)
        done[method, task] = Outcome(
            before, after, built.trained, fitted.outcome.history, predictions, folder, built.trainable_parameters
        )
        return done[method, task]

    return train


def test_the_table_names_every_method_of_the_recipe() -> None:
    assert set(METHODS) == set(get_args(Method))


@pytest.mark.parametrize(("method", "task"), COMBINATIONS)
def test_trains_exactly_the_intended_weights(tuned: Callable[[str, str], Outcome], method: str, task: str) -> None:
    outcome = tuned(method, task)
    losses = [value for row in outcome.history for key, value in row.items() if "loss" in key]
    assert losses and all(math.isfinite(value) for value in losses)
    moved = {
        name
        for name, value in outcome.after.items()
        if not np.array_equal(value, outcome.before[name]) and not re.search("ranknum", name)
    }
    moved.discard("lm_head.weight")  # the word embeddings under their second name
    assert moved <= set(outcome.trained), "a frozen weight moved"
    still = {name for name in set(outcome.trained) - moved if "lora_E" not in name}  # those may be pruned to 0
    assert any("lora_E" in name for name in moved) == (method == "adalora")
    assert not still, f"weights said to be trained did not move: {sorted(still)}"
    pattern = MOVES.get(method) or _TOP_BLOCK.get(task, _TOP_BLOCK[""]) + ".*"
    wrong = [name for name in moved if not re.fullmatch(f"{_HEAD}|{pattern}", name)]
    assert not wrong, f"{method} moved {wrong}"
    if task in ("classification", "ranking"):
        assert {"head.weight", "head.bias"} <= moved
    if method == "full":
        assert moved >= {name for name in outcome.after if "layer" in name}
    assert outcome.trainable == sum(outcome.after[name].size for name in outcome.trained)


@pytest.fixture(scope="module")
def reloaded(
    tuned: Callable[[str, str], Outcome], tmp_path_factory: pytest.TempPathFactory, apart: Server
) -> dict[str, np.ndarray]:
    """Predictions of every saved model, from one process that never saw the training."""
    folder = tmp_path_factory.mktemp("reloaded")
    jobs = {f"{method}-{task}": str(tuned(method, task).folder) for method, task in COMBINATIONS}
    (folder / "jobs.json").write_text(json.dumps(jobs))
    script = f"""
import json, sys
sys.path[:0] = [{str(PROJECT_ROOT)!r}, {str(Path(__file__).parent)!r}]
import numpy as np
from conftest import answers
from core.data.load import load
from core.tuning import artifact
found = {{}}
for name, folder in json.load(open({str(folder / "jobs.json")!r})).items():
    loaded = artifact.load(folder)
    data = load(loaded.recipe.data, loaded.recipe.task, loaded.recipe.training.seed)
    found[name] = answers(loaded.recipe, loaded.model, loaded.tokenizer, loaded.base, data)
np.savez({str(folder / "answers.npz")!r}, **found)
"""
    done = apart.run(code=script)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "answers.npz"))


@pytest.mark.parametrize(("method", "task"), COMBINATIONS)
def test_a_new_process_predicts_the_same(
    tuned: Callable[[str, str], Outcome], reloaded: dict[str, np.ndarray], method: str, task: str
) -> None:
    expected = tuned(method, task).predictions
    assert np.isfinite(expected).all()
    assert np.ptp(expected) > 0, "a constant model would pass whatever was loaded"
    np.testing.assert_allclose(reloaded[f"{method}-{task}"], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("method", "task"), COMBINATIONS)
def test_the_saved_folder_holds_no_more_than_needed(
    tuned: Callable[[str, str], Outcome], method: str, task: str
) -> None:
    folder = tuned(method, task).folder
    assert {"recipe.toml", "labels.json", "base.json"} <= {p.name for p in folder.iterdir()}
    assert (folder / "model").is_dir() == (method == "full")
    assert (folder / "adapter" / "weights.safetensors").is_file() == (method != "full")


@pytest.mark.parametrize(("method", "task"), REFUSED)
def test_what_cannot_work_is_refused_with_the_reason(
    make_recipe: Callable[..., Any], tmp_path: Path, method: str, task: str
) -> None:
    recipe = make_recipe(method, task)
    data = load(recipe.data, recipe.task, 7)
    with pytest.raises(InputError, match=re.escape(REFUSED[method, task])):
        fit(recipe, data, tmp_path / "work")


def test_more_top_layers_than_there_are_is_refused(make_recipe: Callable[..., Any], tmp_path: Path) -> None:
    recipe = make_recipe("top-layers", options={"layers": 9})
    with pytest.raises(InputError, match=r"options\.layers = 9, but it has 3 layers"):
        fit(recipe, load(recipe.data, recipe.task, 7), tmp_path / "work")
