"""How the weights move: checkpoints kept, rates by depth, unfreezing, accumulation, seeds, class balance."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.data.load import load
from core.tuning import artifact
from core.tuning.encoder import layers_of
from core.tuning.optimiser import GradualUnfreezing, parameter_groups
from core.tuning.recipe import TrainingConfig
from core.tuning.run import Fitted, fit


@pytest.fixture
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Fitted]:
    """Fit a recipe in a new folder."""

    def run(recipe: Any, **more: Any) -> Fitted:
        data = load(recipe.data, recipe.task, recipe.training.seed)
        return fit(recipe, data, tmp_path_factory.mktemp("work"), **more)

    return run


def _state(fitted: Fitted) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in fitted.built.model.state_dict().items()}


def _distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


@pytest.mark.parametrize(
    ("method", "kind", "metric"),
    [
        ("full", "classification", "accuracy"),
        ("lora", "matching", "mrr@10"),
        ("lora", "ranking", "ndcg@10"),
        ("p-tuning", "generation", "validation_loss"),
    ],
)
def test_the_best_checkpoint_is_restored(
    make_recipe: Callable[..., Any],
    train: Callable[..., Fitted],
    predict_test_rows: Callable[..., np.ndarray],
    method: str,
    kind: str,
    metric: str,
) -> None:
    # Rates this large spoil the model sooner or later, so that the best epoch is not the last one.
    changes: dict[str, Any] = {"epochs": 4, "learning_rate": 0.3, "schedule": "constant", "head_start": "random"}
    best, last = (
        train(make_recipe(method, kind, training={**changes, "keep": keep}, data={"validation": 0.3}))
        for keep in ("best", "last")
    )
    values = [row[metric] for row in best.outcome.history]
    assert len(values) == 4
    chosen = int(np.argmin(values) if metric == "validation_loss" else np.argmax(values))
    assert best.outcome.best_epoch == pytest.approx(chosen + 1)
    assert last.outcome.best_epoch is None
    if chosen == len(values) - 1:
        pytest.skip("the last epoch was the best by chance")
    # Stopping right after the chosen epoch is the reference for what must have been restored.
    stopped = train(
        make_recipe(method, kind, training={**changes, "epochs": chosen + 1, "keep": "last"}, data={"validation": 0.3})
    )
    assert _distance(_state(best), _state(stopped)) < 1e-6
    assert _distance(_state(best), _state(last)) > 1e-3


def test_early_stopping_ends_a_run_without_gain(make_recipe: Callable[..., Any], train: Callable[..., Fitted]) -> None:
    spoilt = {"epochs": 12, "patience": 2, "learning_rate": 1.0, "schedule": "constant"}
    history = train(make_recipe("full", training=spoilt)).outcome.history
    assert 3 <= len(history) < 12
    values = [row["accuracy"] for row in history]
    assert max(values[-2:]) <= max(values[:-2])


def test_same_seed_same_result_other_seed_another(
    make_recipe: Callable[..., Any], train: Callable[..., Fitted]
) -> None:
    states = [_state(train(make_recipe("lora", training={"max_steps": 3, "seed": seed}))) for seed in (1, 1, 2)]
    assert _distance(states[0], states[1]) == 0
    assert _distance(states[0], states[2]) > 1e-4


@pytest.mark.parametrize("kind", ["classification", "multi-label", "ranking", "generation"])
def test_accumulation_equals_a_bigger_batch(
    make_recipe: Callable[..., Any], train: Callable[..., Fitted], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With plain gradient descent the weights show the gradient; Adam would blow rounding errors up.
    monkeypatch.setattr(
        "core.tuning.training.torch.optim.AdamW",
        lambda groups, lr, fused: torch.optim.SGD(
            [{k: v for k, v in g.items() if k != "weight_decay"} for g in groups], lr
        ),
    )
    common = {"max_steps": 1, "dropout": 0.0, "learning_rate": 0.5, "keep": "last", "schedule": "constant"}
    common["precision"] = "float32"  # a sum of four is rounded otherwise than one of all where products are bfloat16
    rows = {"train": {"path": make_recipe(kind=kind).data.train[0].path}, "validation": 0.2}
    data = load(make_recipe("full", kind, data=rows).data, make_recipe(kind=kind).task, 7)
    size = len(data.train) // 4
    states = []
    for batch, steps in ((4 * size, 1), (size, 4)):
        recipe = make_recipe("full", kind, data=rows, training={**common, "batch_size": batch, "accumulation": steps})
        limited = data.__class__(**{**data.__dict__, "train": data.train.iloc[: 4 * size]})
        states.append(fit_state(recipe, limited, batch))
    start = {
        k: v for k, v in artifact.build(recipe, _outputs(recipe, data)).model.state_dict().items() if "head" not in k
    }
    assert _distance(start, states[0]) > 1e-3, "nothing moved, so nothing was compared"
    assert _distance(states[0], states[1]) < 1e-4


def _outputs(recipe: Any, data: Any) -> int:
    return {"classification": len(data.labels), "ranking": 1}.get(recipe.task, 0)


def fit_state(recipe: Any, data: Any, name: int) -> dict[str, torch.Tensor]:
    import tempfile

    with tempfile.TemporaryDirectory() as work:
        return _state(fit(recipe, data, Path(work) / str(name)))


# --- loss -----------------------------------------------------------------------------------------------


def test_class_weights_lift_the_rare_class(
    make_recipe: Callable[..., Any], train: Callable[..., Fitted], make_rows: Callable[..., Any], tmp_path: Path
) -> None:
    from core.tuning import predict

    rows = make_rows("classification", 30, 4)
    seen = 0
    kept = []
    for row in rows:
        seen += row["label"] == "money"
        if row["label"] == "sport" or (row["label"] == "money" and seen <= 4):
            kept.append({"text": row["text"].replace("bank", "a").replace("goal", "a"), "label": row["label"]})
    path = tmp_path / "rare.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(kept)
    shares = []
    for balanced in (False, True):
        recipe = make_recipe(
            "head",
            data={"train": {"path": str(path)}, "test": None, "validation": 0.3},
            training={
                "class_weights": balanced, "head_start": "random", "epochs": 6, "dropout": 0.0, "keep": "last",
                "learning_rate": 0.02,
            },
        )  # fmt: skip
        fitted = train(recipe)
        logits = predict.class_logits(fitted.built.model, fitted.built.tokenizer, fitted.built.base, recipe,
                                      [r["text"] for r in rows if r["label"] != "weather"])  # fmt: skip
        shares.append(float(torch.softmax(torch.from_numpy(logits), 1)[:, 0].mean()))  # labels: money, sport
    assert shares[1] > shares[0] + 0.05


def test_loss_is_the_textbook_one(make_recipe: Callable[..., Any]) -> None:
    from core.tuning.classification import _loss

    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    targets = np.array([0, 0, 0, 2])
    labels = torch.from_numpy(targets)
    model = nn.Linear(1, 1)

    def value(**training: Any) -> float:
        return float(_loss(make_recipe("head", training=training), model, targets, 3)({"logits": logits}, labels))

    cross_entropy = nn.functional.cross_entropy
    assert value() == pytest.approx(float(cross_entropy(logits, labels)))
    assert value(label_smoothing=0.2) == pytest.approx(float(cross_entropy(logits, labels, label_smoothing=0.2)))
    weight = torch.tensor([4 / (3 * 3), 4 / 3, 4 / 3])
    assert value(class_weights=True) == pytest.approx(float(cross_entropy(logits, labels, weight=weight)))


# --- which weights, at what rate ------------------------------------------------------------------------


def test_layer_decay_gives_each_depth_its_rate(make_recipe: Callable[..., Any]) -> None:
    model = artifact.build(make_recipe("full"), 3).model
    training = TrainingConfig(learning_rate=1.0, layer_decay=0.5, head_learning_rate=7.0, weight_decay=0.1)
    groups = parameter_groups(model, model.backbone, training)
    settings = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    named = dict(model.named_parameters())
    assert set(settings) == {id(p) for p in named.values()}, "every weight is in exactly one group"
    assert sum(len(g["params"]) for g in groups) == len(named)
    for depth, block in enumerate(reversed(list(layers_of(model.backbone)))):
        for name, parameter in block.named_parameters():
            decayed = parameter.ndim > 1
            assert settings[id(parameter)] == (0.5**depth, 0.1 if decayed else 0.0), name
    words = named["backbone.embeddings.word_embeddings.weight"]
    assert settings[id(words)] == (0.5**3, 0.1)
    # What else lies below the lowest block learns as slowly as the words do.
    assert settings[id(named["backbone.embeddings.position_embeddings.weight"])][0] == 0.5**3
    assert settings[id(named["backbone.embeddings.LayerNorm.weight"])] == (0.5**3, 0.0)
    assert settings[id(named["head.weight"])] == (7.0, 0.1)
    assert settings[id(named["head.bias"])] == (7.0, 0.0)


def test_gradual_unfreezing_opens_one_block_at_a_time(make_recipe: Callable[..., Any]) -> None:
    from types import SimpleNamespace

    model = artifact.build(make_recipe("full"), 3).model
    callback = GradualUnfreezing(model.backbone, every=1.0)
    bottom, middle, top = layers_of(model.backbone)
    below = model.backbone.embeddings
    for epoch, open_parts in [
        (None, [top]), (0.0, [top]), (0.9, [top]), (1.0, [top, middle]), (2.0, [top, middle, bottom]),
        (3.0, [top, middle, bottom, below]), (9.0, [top, middle, bottom, below]),
    ]:  # fmt: skip
        callback.on_step_begin(None, SimpleNamespace(epoch=epoch), None)  # type: ignore[arg-type]
        expected = {id(p) for part in open_parts for p in part.parameters()}
        found = {id(p) for p in model.backbone.parameters() if p.requires_grad}
        assert found == expected, epoch
        assert model.head.weight.requires_grad
        model.zero_grad(set_to_none=True)
        ids = torch.tensor([[2, 10, 11, 3]])
        model(input_ids=ids, attention_mask=torch.ones_like(ids))["logits"].sum().backward()
        closed = [p for p in model.backbone.parameters() if id(p) not in expected]
        assert all(p.grad is None for p in closed)


def test_closed_blocks_stay_as_they_were(make_recipe: Callable[..., Any], train: Callable[..., Fitted]) -> None:
    recipe = make_recipe("full", training={"epochs": 1, "unfreeze_every": 1.0, "keep": "last"})
    before = artifact.build(recipe, 3).model.state_dict()
    after = train(recipe).built.model.state_dict()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert all(name.startswith(("head.", "backbone.encoder.layer.2.")) for name in moved)
    assert any("layer.2" in name for name in moved)


# --- AdaLoRA --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classification", "matching", "ranking", "generation"])
def test_adalora_prunes_to_its_budget(make_recipe: Callable[..., Any], train: Callable[..., Fitted], kind: str) -> None:
    recipe = make_recipe(
        "adalora", kind, options={"rank": 4}, training={"max_steps": 12, "epochs": 12, "batch_size": 16, "keep": "last"}
    )
    state = train(recipe).built.model.state_dict()
    ranks = {name: value for name, value in state.items() if "lora_E" in name}
    assert all(value.numel() == 6 for value in ranks.values())
    kept = sum(int((value != 0).sum()) for value in ranks.values())
    assert kept == 4 * len(ranks), "the average rank is the recipe's"


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_adalora_runs_however_short(make_recipe: Callable[..., Any], train: Callable[..., Fitted], steps: int) -> None:
    assert train(make_recipe("adalora", training={"max_steps": steps})).outcome.history


# --- other kinds of rows --------------------------------------------------------------------------------


def test_multi_label_learns(make_recipe: Callable[..., Any], train: Callable[..., Fitted]) -> None:
    fitted = train(make_recipe("full", "multi-label", training={"epochs": 8, "learning_rate": 3e-3}))
    assert max(row["f1_micro"] for row in fitted.outcome.history) > 0.75


def test_pairs_learn_from_both_texts(make_recipe: Callable[..., Any], train: Callable[..., Fitted]) -> None:
    from core.tuning import predict

    fitted = train(make_recipe("full", "pairs", training={"epochs": 2, "learning_rate": 1e-3}))
    built = fitted.built
    recipe = make_recipe("full", "pairs")
    one, other = (
        predict.class_logits(built.model, built.tokenizer, built.base, recipe, ["rain storm"], [pair])
        for pair in ("snow cloud", "bank loan")
    )
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("template", [False, True])
def test_only_the_reply_carries_loss(tiny_llama: Path, tiny_chat_llama: Path, template: bool) -> None:
    import pandas as pd

    from core.models.sources import load_tokenizer, resolve
    from core.tuning.generation import IGNORED, encode_rows

    tokenizer = load_tokenizer(resolve(str(tiny_chat_llama if template else tiny_llama)))
    rows = pd.DataFrame({"prompt": ["rain and storm", "snow " * 60], "reply": ["it is weather", "cold"]})
    first, cut = encode_rows(tokenizer, rows, 20)
    answer = [token for token in first["labels"] if token != IGNORED]
    assert answer == [*tokenizer("it is weather", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert first["input_ids"][-len(answer) :] == answer
    assert len(cut["input_ids"]) == len(cut["labels"]) == 20
    assert cut["labels"][-1] == tokenizer.eos_token_id
    assert first["input_ids"].count(tokenizer.eos_token_id) == (2 if template else 1)  # the template writes one


# --- starting from another tuned model ------------------------------------------------------------------


def test_a_chain_needs_no_parent_and_keeps_the_head(
    make_recipe: Callable[..., Any],
    train_tiny: Callable[..., Any],
    predict_test_rows: Callable[..., np.ndarray],
) -> None:
    import shutil

    first = train_tiny(make_recipe("lora"))
    grown = make_recipe("bitfit", training={"max_steps": 2, "learning_rate": 1e-6})
    second = train_tiny(grown, parent=first.folder)
    third = train_tiny(make_recipe("lora", "matching", training={"max_steps": 2}), parent=second.folder)
    # With almost no training the child is its parent, head and all.
    np.testing.assert_allclose(second.predictions, first.predictions, atol=1e-3)
    shutil.rmtree(first.folder)
    for child in (second, third):
        loaded = artifact.load(child.folder)
        again = predict_test_rows(loaded.recipe, loaded.model, loaded.tokenizer, loaded.base, child.data)
        np.testing.assert_allclose(again, child.predictions, rtol=0, atol=1e-5)
    shutil.rmtree(second.folder)
    artifact.load(third.folder)


def test_other_labels_get_a_fresh_head(make_recipe: Callable[..., Any], train_tiny: Callable[..., Any]) -> None:
    first = train_tiny(make_recipe("full", training={"max_steps": 2}))
    recipe = make_recipe("head", training={"max_steps": 2})
    same = artifact.build(recipe, 3, first.folder, first.data.labels)
    other = artifact.build(recipe, 3, first.folder, ["a", "b", "c"])
    assert (same.fresh_head, other.fresh_head) == (False, True)
    assert torch.equal(same.model.head.weight, first.fitted.built.model.head.weight)
    assert torch.equal(
        other.model.backbone.embeddings.word_embeddings.weight,
        first.fitted.built.model.backbone.embeddings.word_embeddings.weight,
    )
