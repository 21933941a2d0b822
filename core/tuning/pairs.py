"""Tune on pairs of texts: matching (bi-encoder) and ranking (cross-encoder), on sentence-transformers' trainers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.base.modules import InputModule
from torch import Tensor, nn

from core.settings import get_settings
from core.tuning import frozen
from core.tuning.artifact import Built
from core.tuning.encoder import TextEncoder
from core.tuning.inference import device_of, encode, pad, run, tokenise
from core.tuning.matching_loss import KnownPairsLoss, PairTable
from core.tuning.optimiser import orthogonality
from core.tuning.recipe import Recipe
from core.tuning.training import Outcome, Report, arguments, optimisers, train, with_light_checkpoints

Pair = str | tuple[str, ...]


class EncoderModule(InputModule):
    """The shared TextEncoder in the shape sentence-transformers expects of a first module."""

    def __init__(self, built: Built, max_length: int) -> None:
        super().__init__()
        self.encoder: TextEncoder = built.model
        self.tokenizer = built.tokenizer
        self.max_seq_length = max_length
        self.known: dict[Pair, int] = {}
        self.hidden: frozen.HiddenStates | None = None

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Tensor]:
        """Padded ids, and cached hidden states when all of these texts went through the frozen layers before."""
        keys: list[Pair] = [text if isinstance(text, str) else tuple(text) for text in inputs]
        features = pad(self.tokenizer, _tokenise(self.tokenizer, keys, self.max_seq_length, prompt or ""))
        rows = [self.known.get(_key(key, prompt)) for key in keys]
        if self.hidden is not None and None not in rows:
            found = [self.hidden[row] for row in rows if row is not None]
            features["hidden_states"] = frozen.pad_hidden(found)["hidden_states"]
        return features

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Adds ``sentence_embedding`` (unit length) for matching, ``scores`` for ranking."""
        out = self.outputs(features)
        if self.encoder.head is None:
            features["sentence_embedding"] = F.normalize(out, dim=-1)
        else:
            features["scores"] = out
        return features

    def outputs(self, features: dict[str, Any]) -> Tensor:
        """What the encoder makes of preprocessed texts: pooled vectors [b, d], or logits where it has a head."""
        names = ("attention_mask", "token_type_ids", "hidden_states", "input_ids")
        inputs = {name: features[name] for name in names if name in features}
        if "hidden_states" in inputs:
            inputs.pop("input_ids")
        found: Tensor = self.encoder(**inputs)["logits"]
        return found

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write the weights only; a model's folder is written by ``artifact.save``."""
        self.save_torch_weights(output_path)

    def remember_frozen(self, texts: Sequence[Pair], prompt: str = "") -> None:
        """Run the frozen lower layers once over ``texts`` and start above them from then on."""
        unique = list(dict.fromkeys(texts))
        encoded = _tokenise(self.tokenizer, unique, self.max_seq_length, prompt)
        settings = get_settings()
        count = frozen.frozen_blocks(self.encoder)
        self.hidden = frozen.compute(
            self.encoder.lower_layers(count),
            encoded,
            lambda items: pad(self.tokenizer, items),
            device_of(self.encoder),
            memory_mb=settings.cache_memory_mb,
            folder=settings.cache,
        )
        self.known = {_key(text, prompt): row for row, text in enumerate(unique)}
        self.encoder.start_layer = count


def _key(text: Pair, prompt: str | None) -> Pair:
    return (prompt or "") + text if isinstance(text, str) else text


def _tokenise(tokenizer: Any, texts: Sequence[Pair], max_length: int, prefix: str) -> list[dict[str, list[int]]]:
    if isinstance(texts[0], str):
        return tokenise(tokenizer, list(texts), None, max_length, prefix)  # type: ignore[arg-type]
    return tokenise(tokenizer, [pair[0] for pair in texts], [pair[1] for pair in texts], max_length)


def fit_matching(
    built: Built,
    recipe: Recipe,
    train_rows: pd.DataFrame,
    validation_rows: pd.DataFrame,
    work: Path,
    report: Report | None = None,
) -> Outcome:
    """Text and its positive closer than any other positive in the batch (van den Oord et al. 2018 InfoNCE)."""
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.training_args import BatchSamplers

    module = EncoderModule(built, recipe.training.max_length)
    model = SentenceTransformer(modules=[module])
    columns = [name for name in ("text", "positive", "negative") if name in train_rows]
    rows = dataset(train_rows[columns])
    if recipe.training.hard_negatives:
        rows = _mine(rows, model, recipe.training.hard_negatives)
    prompts = dict.fromkeys(rows.column_names, built.base.passage_prefix) | {"text": built.base.query_prefix}
    if frozen.frozen_blocks(built.model) and not any(prompts.values()):
        module.remember_frozen([text for name in rows.column_names for text in rows[name]])
    loss: nn.Module = MultipleNegativesRankingLoss(model, scale=1 / recipe.training.temperature)
    sampler = BatchSamplers.NO_DUPLICATES
    if recipe.training.known_pairs:
        table = PairTable(rows["text"], rows["positive"])
        loss = KnownPairsLoss(model, table, 1 / recipe.training.temperature, recipe.training.popularity_correction)
        rows = rows.add_column("label", list(range(len(rows))))
        # Texts may meet again within a batch: known pairs are told apart by the loss.
        sampler = BatchSamplers.BATCH_SAMPLER
    trainer = with_light_checkpoints(SentenceTransformerTrainer)(
        model=model,
        args=arguments(
            SentenceTransformerTrainingArguments,
            recipe,
            work,
            len(rows),
            MatchingEvaluator.primary,
            batch_sampler=sampler,
            prompts=prompts if any(prompts.values()) else None,
        ),
        train_dataset=rows,
        loss=_Regularised(loss, recipe, built),
        evaluator=MatchingEvaluator(built, recipe, validation_rows),
        optimizers=optimisers(model, built.model.backbone, recipe),
    )
    outcome = train(trainer, recipe, built.model.backbone, MatchingEvaluator.primary, report)
    built.model.start_layer = 0
    return outcome


def fit_ranking(
    built: Built,
    recipe: Recipe,
    train_rows: pd.DataFrame,
    validation_rows: pd.DataFrame,
    work: Path,
    report: Report | None = None,
) -> Outcome:
    """One relevance logit per (query, document), binary cross-entropy (Nogueira & Cho 2019)."""
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    built.model.config.num_labels = 1
    module = EncoderModule(built, recipe.training.max_length)
    model = CrossEncoder(modules=[module], activation_fn=nn.Identity())
    rows = dataset(train_rows[["query", "document", "label"]])
    if frozen.frozen_blocks(built.model):
        module.remember_frozen(list(zip(rows["query"], rows["document"], strict=True)))
    trainer = with_light_checkpoints(CrossEncoderTrainer)(
        model=model,
        args=arguments(CrossEncoderTrainingArguments, recipe, work, len(rows), RankingEvaluator.primary),
        train_dataset=rows,
        loss=_Regularised(BinaryCrossEntropyLoss(model), recipe, built),
        evaluator=RankingEvaluator(built, recipe, validation_rows),
        optimizers=optimisers(model, built.model.backbone, recipe),
    )
    outcome = train(trainer, recipe, built.model.backbone, RankingEvaluator.primary, report)
    built.model.start_layer = 0
    return outcome


class _Regularised(nn.Module):
    """A loss of the library, plus AdaLoRA's orthogonality term when that is the method."""

    def __init__(self, loss: nn.Module, recipe: Recipe, built: Built) -> None:
        super().__init__()
        self.loss = loss
        self.model = loss.model
        self.backbone = built.model.backbone if recipe.method == "adalora" else None

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        value = self.loss(*args, **kwargs)
        return value if self.backbone is None else value + orthogonality(self.backbone)


class MatchingEvaluator(BaseEvaluator):
    """MRR@10 of each validation text among all validation positives."""

    primary = "mrr@10"

    def __init__(self, built: Built, recipe: Recipe, rows: pd.DataFrame) -> None:
        super().__init__()
        self.primary_metric = self.primary
        self.built, self.recipe, self.rows = built, recipe, rows

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Mean reciprocal rank; equal positives count as one document."""
        built, training = self.built, self.recipe.training
        was_training = built.model.training
        built.model.eval()
        documents = list(dict.fromkeys(self.rows["positive"]))
        place = {text: row for row, text in enumerate(documents)}
        queries = encode(
            built.model,
            built.tokenizer,
            list(self.rows["text"]),
            training.max_length,
            prefix=built.base.query_prefix,
        )
        vectors = encode(built.model, built.tokenizer, documents, training.max_length, prefix=built.base.passage_prefix)
        built.model.train(was_training)
        scores = queries @ vectors.T
        wanted = scores[np.arange(len(queries)), [place[text] for text in self.rows["positive"]]]
        ranks = (scores > wanted[:, None]).sum(1) + 1
        return {
            "mrr@10": float(np.where(ranks <= 10, 1 / ranks, 0).mean()),
            "recall@1": float((ranks == 1).mean()),
        }


class RankingEvaluator(BaseEvaluator):
    """nDCG@10 over the candidates that validation lists for each query."""

    primary = "ndcg@10"

    def __init__(self, built: Built, recipe: Recipe, rows: pd.DataFrame) -> None:
        super().__init__()
        self.primary_metric = self.primary
        self.built, self.recipe, self.rows = built, recipe, rows

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Linear gain; a query whose candidates are all equally relevant says nothing and is left out."""
        from sklearn.metrics import ndcg_score

        built = self.built
        was_training = built.model.training
        built.model.eval()
        rows = self.rows
        scores = run(
            built.model,
            built.tokenizer,
            list(rows["query"]),
            list(rows["document"]),
            self.recipe.training.max_length,
        )[:, 0]
        built.model.train(was_training)
        values = [
            ndcg_score([rows["label"].to_numpy()[index]], [scores[index]], k=10)
            for index in rows.reset_index(drop=True).groupby("query").indices.values()
            if rows["label"].to_numpy()[index].max() > rows["label"].to_numpy()[index].min()
        ]
        truth = rows["label"].to_numpy() > 0.5
        return {
            "ndcg@10": float(np.mean(values)) if values else 0.0,
            "accuracy": float(((scores > 0) == truth).mean()),
        }


def dataset(frame: pd.DataFrame) -> Any:
    """The columns in the form that the trainers read."""
    from datasets import Dataset

    return Dataset.from_dict({name: frame[name].tolist() for name in frame.columns})


def _mine(rows: Any, model: Any, count: int) -> Any:
    from sentence_transformers.util import mine_hard_negatives

    with torch.inference_mode():
        return mine_hard_negatives(
            rows,
            model,
            anchor_column_name="text",
            positive_column_name="positive",
            num_negatives=count,
            range_max=max(20, 4 * count),
            relative_margin=0.05,
            output_format="n-tuple",
            verbose=False,
        )
