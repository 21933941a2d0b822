"""Tune the encoder so that texts of one label lie together, then put a linear head on it: for few labels.

Supervised contrastive loss (Khosla et al. 2020, https://arxiv.org/abs/2004.11362) over every pair of a batch, the
idea of SetFit (Tunstall et al. 2022, https://arxiv.org/abs/2209.11055) without writing the pairs down: a batch of b
texts costs b passes and holds b(b-1)/2 pairs. Where the labels' names fit the rows, they are examples too, and the head
starts from them.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sentence_transformers.base.evaluation import BaseEvaluator
from torch import Tensor, nn

from core.errors import InputError
from core.tuning import frozen
from core.tuning.artifact import Built
from core.tuning.inference import device_of, encode
from core.tuning.label_names import MOST_ROWS, Names, strength
from core.tuning.optimiser import orthogonality
from core.tuning.pairs import EncoderModule, dataset
from core.tuning.probe import fit_head
from core.tuning.recipe import Recipe
from core.tuning.training import Outcome, Report, arguments, optimisers, train, with_light_checkpoints

SHORT = 100  # steps


def fit(
    built: Built,
    recipe: Recipe,
    train_rows: pd.DataFrame,
    validation_rows: pd.DataFrame,
    labels: Sequence[str],
    work: Path,
    report: Report | None = None,
) -> Outcome:
    """Train ``built.model`` in place: the encoder by contrast, then its head as a probe on the tuned features.

    Raises InputError when fewer than two labels have two examples, and for pairs or several labels a row.
    """
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.training_args import BatchSamplers

    check(recipe, train_rows, labels)
    index = {label: number for number, label in enumerate(labels)}
    rows = train_rows.assign(label=train_rows["label"].map(index))[["text", "label"]]
    targets = np.array(rows["label"], dtype=np.int64)
    prefix = built.base.query_prefix
    head, built.model.head = built.model.head, None
    started = time.perf_counter()
    try:
        module = EncoderModule(built, recipe.training.max_length)
        model = SentenceTransformer(modules=[module])
        names = Names.of(labels, recipe.data.descriptions)
        drawn = _drawn(built, recipe, list(rows["text"]), targets, names)
        if drawn:
            said = pd.DataFrame({"text": names.words, "label": range(len(labels))})
            rows = pd.concat([rows, said[~said["text"].isin(rows["text"])]], ignore_index=True)
        if frozen.frozen_blocks(built.model):
            module.remember_frozen([*rows["text"], *validation_rows["text"]], prefix)
        judge = NearestMean(module, prefix, train_rows, validation_rows)
        preparing = time.perf_counter() - started
        trainer = with_light_checkpoints(SentenceTransformerTrainer)(
            model=model,
            args=arguments(
                SentenceTransformerTrainingArguments,
                recipe,
                work,
                len(rows),
                judge.primary,
                checkpoints_from=SHORT,
                batch_sampler=BatchSamplers.GROUP_BY_LABEL,
                prompts={"text": prefix} if prefix else None,
            ),
            train_dataset=dataset(rows),
            loss=_SupervisedContrast(model, recipe, built),
            evaluator=judge,
            optimizers=optimisers(model, built.model.backbone, recipe),
        )
        outcome = train(trainer, recipe, built.model.backbone, judge.primary, report)
        started = time.perf_counter()
        built.model.eval()
        features = torch.from_numpy(pooled(module, list(train_rows["text"]), prefix))
        prior = torch.from_numpy(names.prior(built, recipe) * drawn) if drawn else None
    finally:
        built.model.start_layer = 0
        built.model.head = head
    fit_head(head.cpu(), features, torch.from_numpy(targets), prior=prior)
    head.to(built.model.backbone.device)
    outcome.seconds += preparing + time.perf_counter() - started
    return outcome


def check(recipe: Recipe, rows: pd.DataFrame, labels: Sequence[str] = ()) -> None:
    """Raises InputError for data that cannot be contrasted."""
    if labels and (unknown := sorted(set(recipe.data.descriptions) - set(labels))):
        raise InputError(f"data.descriptions: {unknown[0]!r} is none of the labels; remove it or mend its name.")
    if recipe.data.multi_label or "text_pair" in rows:
        raise InputError(
            "training.objective = 'contrastive' is for one text with one label; use 'cross-entropy' for this data."
        )
    if int((rows["label"].value_counts() >= 2).sum()) < 2:
        raise InputError(
            "training.objective = 'contrastive' needs two examples each of at least two labels;"
            " add labelled rows, or use 'cross-entropy'."
        )
    if recipe.method == "head":
        raise InputError("training.objective = 'contrastive' moves the encoder; choose another method than 'head'.")
    if recipe.training.batch_size < 4 or recipe.training.batch_size % 2:
        raise InputError("training.batch_size must be even and at least 4 for the contrastive objective.")


class _SupervisedContrast(nn.Module):
    """Each text against its batch: the mean log-probability of those with its label, similarities as logits."""

    def __init__(self, model: nn.Module, recipe: Recipe, built: Built) -> None:
        super().__init__()
        self.model = model
        self.scale = 1 / recipe.training.temperature
        self.backbone = built.model.backbone if recipe.method == "adalora" else None

    def forward(self, features: Sequence[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """``features`` of one column; ``labels`` [b] class numbers."""
        vectors = self.model(features[0])["sentence_embedding"]
        value = supervised_contrast(vectors, labels, self.scale)
        return value if self.backbone is None else value + orthogonality(self.backbone)


def supervised_contrast(vectors: Tensor, labels: Tensor, scale: float) -> Tensor:
    """The loss of unit-length ``vectors`` [b, d] with ``labels`` [b]; a text alone with its label does not count."""
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    likeness = (vectors @ vectors.T * scale).masked_fill(itself, float("-inf"))
    log_shares = F.log_softmax(likeness, dim=1).masked_fill(itself, 0.0)
    same = (labels[:, None] == labels[None, :]) & ~itself
    company = same.sum(1)
    there = company > 0
    return -((log_shares * same).sum(1)[there] / company[there]).mean()


class NearestMean(BaseEvaluator):
    """Validation accuracy by the nearest class mean of the training vectors: cheap, and no head is needed yet."""

    primary = "accuracy"

    def __init__(self, module: EncoderModule, prefix: str, train_rows: pd.DataFrame, rows: pd.DataFrame) -> None:
        super().__init__()
        self.primary_metric = self.primary
        self.module, self.prefix, self.train_rows, self.rows = module, prefix, train_rows, rows

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Share of validation rows whose nearest mean is their own label's."""
        encoder = self.module.encoder
        was_training = encoder.training
        encoder.eval()
        known, asked = (
            _unit(pooled(self.module, list(rows["text"]), self.prefix)) for rows in (self.train_rows, self.rows)
        )
        encoder.train(was_training)
        names = sorted(set(self.train_rows["label"]))
        truth = self.train_rows["label"].to_numpy()
        means = _unit(np.stack([known[truth == name].mean(0) for name in names]))
        guessed = np.array(names)[(asked @ means.T).argmax(1)]
        return {"accuracy": float((guessed == self.rows["label"].to_numpy()).mean())}


def pooled(module: EncoderModule, texts: Sequence[str], prefix: str, batch_size: int = 64) -> np.ndarray:
    """Pooled vectors [n, d] in input order, from the cached lower layers where the module remembers the texts."""
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    found = np.empty((len(texts), int(module.encoder.config.hidden_size)), dtype=np.float32)
    device = device_of(module.encoder)
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            features = module.preprocess([texts[i] for i in rows], prompt=prefix or None)
            features = {name: value.to(device) for name, value in features.items()}
            found[rows] = module.outputs(features).float().cpu().numpy()
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _drawn(built: Built, recipe: Recipe, texts: Sequence[str], targets: np.ndarray, names: Names) -> float:
    """How strongly the labels' names count; 0 when they do not fit or the recipe does not want them."""
    if not recipe.training.label_names or len(texts) > MOST_ROWS:
        return 0.0
    training = built.model.training
    built.model.eval()
    features = encode(built.model, built.tokenizer, texts, recipe.training.max_length, prefix=built.base.query_prefix)
    found = strength(features, targets, names.prior(built, recipe), recipe.training.seed)
    built.model.train(training)
    return found
