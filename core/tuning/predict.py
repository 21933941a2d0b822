"""What a tuned model says about rows of text, by task; the same code judges it and serves it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from core.tuning import inference
from core.tuning.artifact import Base
from core.tuning.recipe import Recipe


def class_logits(
    model: Any,
    tokenizer: Any,
    base: Base,
    recipe: Recipe,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
) -> np.ndarray:
    """Uncalibrated logits [n, classes] of a classification model."""
    training = recipe.training
    return inference.run(
        model, tokenizer, texts, pairs, training.max_length, training.eval_batch_size, base.query_prefix
    )


def relevance(
    model: Any, tokenizer: Any, recipe: Recipe, queries: Sequence[str], documents: Sequence[str]
) -> np.ndarray:
    """Relevance logits [n] of a ranking model, one per (query, document)."""
    training = recipe.training
    return inference.run(model, tokenizer, queries, documents, training.max_length, training.eval_batch_size)[:, 0]


def vectors(
    model: Any, tokenizer: Any, base: Base, recipe: Recipe, texts: Sequence[str], passages: bool = False
) -> np.ndarray:
    """Unit-length vectors [n, d] of a matching model; ``passages`` says which prefix the backbone wants."""
    prefix = base.passage_prefix if passages else base.query_prefix
    training = recipe.training
    return inference.encode(model, tokenizer, texts, training.max_length, training.eval_batch_size, prefix)


def rows_logits(model: Any, tokenizer: Any, base: Base, recipe: Recipe, rows: pd.DataFrame) -> np.ndarray:
    """``class_logits`` of rows with ``text`` and, for pair tasks, ``text_pair``."""
    pairs = list(rows["text_pair"]) if "text_pair" in rows else None
    return class_logits(model, tokenizer, base, recipe, list(rows["text"]), pairs)
