"""Tune an encoder with a classification head: single-label, multi-label, one text or a pair."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset
from transformers import EvalPrediction, Trainer, TrainingArguments

from core.settings import get_settings
from core.tuning import frozen
from core.tuning.artifact import Built
from core.tuning.inference import by_length, device_of, pad, tokenise
from core.tuning.optimiser import orthogonality
from core.tuning.probe import fit_head
from core.tuning.recipe import Recipe
from core.tuning.training import Outcome, Report, arguments, optimisers, train, with_light_checkpoints


class _Rows(Dataset[dict[str, Any]]):
    """Tokenised rows; with cached hidden states those go to the model instead of the ids."""

    def __init__(
        self,
        encoded: list[dict[str, list[int]]],
        targets: np.ndarray,
        hidden: frozen.HiddenStates | None = None,
    ) -> None:
        self.encoded, self.targets, self.hidden = encoded, targets, hidden

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = {**self.encoded[index], "labels": self.targets[index]}
        if self.hidden is not None:
            row["hidden_states"] = self.hidden[index]
        return row


def targets_of(frame: pd.DataFrame, labels: list[str], multi_label: bool) -> np.ndarray:
    """Class indices [n] (int64), or 0/1 indicators [n, c] (float32) for multi-label rows."""
    index = {label: i for i, label in enumerate(labels)}
    if not multi_label:
        return frame["label"].map(index).to_numpy(dtype=np.int64)
    indicators = np.zeros((len(frame), len(labels)), dtype=np.float32)
    for row, names in enumerate(frame["label"]):
        indicators[row, [index[name] for name in names]] = 1
    return indicators


def fit(
    built: Built,
    recipe: Recipe,
    train_rows: pd.DataFrame,
    validation_rows: pd.DataFrame,
    labels: list[str],
    work: Path,
    report: Report | None = None,
) -> Outcome:
    """Train ``built.model`` in place; checkpoints go to ``work``."""
    model, training, multi = built.model, recipe.training, recipe.data.multi_label
    metric = "f1_micro" if multi else "accuracy"
    parts = []
    for rows in (train_rows, validation_rows):
        pairs = list(rows["text_pair"]) if "text_pair" in rows else None
        encoded = tokenise(built.tokenizer, list(rows["text"]), pairs, training.max_length, built.base.query_prefix)
        parts.append((encoded, targets_of(rows, labels, multi)))
    # Validation order does not matter to the metrics, and sorted texts need little padding.
    order = sorted(range(len(parts[1][0])), key=lambda i: len(parts[1][0][i]["input_ids"]))
    parts[1] = ([parts[1][0][i] for i in order], parts[1][1][order])
    started = time.perf_counter()
    hidden = _cache_frozen(built, [encoded for encoded, _ in parts])
    if training.head_start == "probe" and built.fresh_head:
        _start_head(built, parts[0][0], parts[0][1], hidden[0])
    preparing = time.perf_counter() - started

    def collate(items: list[dict[str, Any]]) -> dict[str, Tensor]:
        labels_of = torch.from_numpy(np.stack([item["labels"] for item in items]))
        if "hidden_states" in items[0]:
            return {**frozen.pad_hidden([item["hidden_states"] for item in items]), "labels": labels_of}
        texts = [{k: v for k, v in item.items() if k != "labels"} for item in items]
        return {**pad(built.tokenizer, texts), "labels": labels_of}

    trainer = with_light_checkpoints(Trainer)(
        model=model,
        args=arguments(
            TrainingArguments,
            recipe,
            work,
            len(train_rows),
            metric,
            train_sampling_strategy="group_by_length",
            label_names=["labels"],
        ),
        train_dataset=_Rows(*parts[0], hidden[0]),
        eval_dataset=_Rows(*parts[1], hidden[1]),
        data_collator=collate,
        compute_loss_func=_loss(recipe, model, parts[0][1], len(labels)),
        compute_metrics=_multi_label_metrics if multi else _single_label_metrics,
        optimizers=optimisers(model, model.backbone, recipe),
    )
    outcome = train(trainer, recipe, model.backbone, metric, report)
    outcome.seconds += preparing
    model.start_layer = 0
    return outcome


def _cache_frozen(built: Built, parts: list[list[dict[str, list[int]]]]) -> list[frozen.HiddenStates | None]:
    model = built.model
    count = frozen.frozen_blocks(model)
    if count == 0:
        return [None] * len(parts)
    settings = get_settings()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lower = model.lower_layers(count).to(device)
    caches = [
        frozen.compute(
            lower,
            encoded,
            lambda items: pad(built.tokenizer, items),
            device,
            memory_mb=settings.cache_memory_mb,
            folder=settings.cache,
        )
        for encoded in parts
    ]
    model.start_layer = count
    return list(caches)


def _start_head(
    built: Built, encoded: list[dict[str, list[int]]], targets: np.ndarray, hidden: frozen.HiddenStates | None
) -> None:
    features = np.empty((len(encoded), built.model.config.hidden_size), dtype=np.float32)
    model = built.model.eval()
    with torch.inference_mode():
        for rows in by_length(encoded, 64):
            if hidden is not None:
                batch = frozen.pad_hidden([hidden[i] for i in rows])
            else:
                batch = pad(built.tokenizer, [encoded[i] for i in rows])
            features[rows] = model.embed(**{k: v.to(device_of(model)) for k, v in batch.items()}).float().cpu().numpy()
    fit_head(model.head.cpu(), torch.from_numpy(features), torch.tensor(targets))
    model.head.to(device_of(model))
    model.train()


def _loss(recipe: Recipe, model: Any, targets: np.ndarray, classes: int) -> Any:
    training = recipe.training
    weight = _class_weights(targets, classes) if training.class_weights else None

    def loss(outputs: dict[str, Tensor], labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        logits = outputs["logits"].float()
        balance = weight.to(logits.device) if weight is not None else None
        if recipe.data.multi_label:
            value = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=balance, reduction="sum")
            count: Any = labels.numel()
        else:
            value = F.cross_entropy(
                logits, labels, weight=balance, label_smoothing=training.label_smoothing, reduction="sum"
            )
            count = len(labels) if balance is None else balance[labels].sum()
        # With accumulation the trainer sums micro-batches, so each divides by the rows of the whole step.
        value = value / (num_items_in_batch if num_items_in_batch is not None else count)
        if recipe.method == "adalora" and model.training:
            value = value + orthogonality(model.backbone) / training.accumulation
        return value

    return loss


def _class_weights(targets: np.ndarray, classes: int) -> Tensor:
    """Balanced weights n / (c * n_class); for indicators the ratio of negatives to positives."""
    if targets.ndim == 2:
        positive = targets.sum(0)
        return torch.tensor((len(targets) - positive) / np.maximum(positive, 1), dtype=torch.float32)
    counts = np.bincount(targets, minlength=classes)
    return torch.tensor(len(targets) / (classes * np.maximum(counts, 1)), dtype=torch.float32)


def _single_label_metrics(prediction: EvalPrediction) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score

    guessed = np.asarray(prediction.predictions).argmax(-1)
    truth = prediction.label_ids
    return {
        "accuracy": float(accuracy_score(truth, guessed)),
        "f1_macro": float(f1_score(truth, guessed, average="macro", zero_division=0)),
    }


def _multi_label_metrics(prediction: EvalPrediction) -> dict[str, float]:
    from sklearn.metrics import f1_score

    guessed = np.asarray(prediction.predictions) > 0
    truth = np.asarray(prediction.label_ids) > 0.5
    return {
        average: float(f1_score(truth, guessed, average=average.removeprefix("f1_"), zero_division=0))
        for average in ("f1_micro", "f1_macro")
    }
