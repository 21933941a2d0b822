"""Tune a causal language model on prompt and reply pairs; only the reply's tokens carry loss."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Trainer, TrainingArguments

from core.settings import get_settings
from core.tuning import decoder, frozen
from core.tuning.artifact import Built
from core.tuning.inference import device_of
from core.tuning.optimiser import orthogonality
from core.tuning.recipe import Recipe
from core.tuning.training import Outcome, Report, arguments, optimisers, train, with_light_checkpoints

IGNORED = -100
METRIC = "loss"


def fit(
    built: Built,
    recipe: Recipe,
    train_rows: pd.DataFrame,
    validation_rows: pd.DataFrame,
    work: Path,
    report: Report | None = None,
) -> Outcome:
    """Train ``built.model`` in place; checkpoints go to ``work``."""
    parts = [encode_rows(built.tokenizer, rows, recipe.training.max_length) for rows in (train_rows, validation_rows)]
    started = time.perf_counter()
    model, parts = _skip_frozen(built, parts)
    preparing = time.perf_counter() - started
    trainer = with_light_checkpoints(Trainer)(
        model=model,
        args=arguments(
            TrainingArguments,
            recipe,
            work,
            len(train_rows),
            METRIC,
            prediction_loss_only=True,
            label_names=["labels"],
            train_sampling_strategy="group_by_length",
        ),
        train_dataset=parts[0],
        eval_dataset=parts[1],
        data_collator=lambda items: collate(built.tokenizer, items),
        compute_loss_func=_loss(built, recipe),
        optimizers=optimisers(built.model, built.model, recipe),
    )
    outcome = train(trainer, recipe, built.model, METRIC, report)
    outcome.seconds += preparing
    return outcome


class _Rows(Sequence[dict[str, Any]]):
    """Tokenised rows with the hidden states of the frozen blocks."""

    def __init__(self, encoded: list[dict[str, list[int]]], hidden: frozen.HiddenStates) -> None:
        self.encoded, self.hidden = encoded, hidden

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: Any) -> Any:
        return {**self.encoded[index], "hidden_states": self.hidden[index]}


def _skip_frozen(built: Built, parts: list[Any]) -> tuple[Any, list[Any]]:
    """The model to train and its rows: above the frozen blocks, when there are any, from their cached output."""
    count = decoder.frozen_blocks(built.model)
    if count == 0:
        return built.model, parts
    settings = get_settings()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lower = decoder.lower_blocks(built.model, count).to(device)

    def inputs(items: Sequence[dict[str, list[int]]]) -> dict[str, Tensor]:
        padded = collate(built.tokenizer, items)
        return {name: padded[name] for name in ("input_ids", "attention_mask")}

    found = [
        frozen.compute(lower, rows, inputs, device, memory_mb=settings.cache_memory_mb, folder=settings.cache)
        for rows in parts
    ]
    upper = decoder.UpperBlocks(built.model, count)
    return upper, [_Rows(rows, hidden) for rows, hidden in zip(parts, found, strict=True)]


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """The prompt as the model expects it before a reply: its chat template, or the plain text and a new line."""
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
        )
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return list(tokenizer(prompt + "\n")["input_ids"])


def encode_rows(tokenizer: Any, rows: pd.DataFrame, max_length: int) -> list[dict[str, list[int]]]:
    """Token ids and labels; a prompt too long is cut at its front, so that the reply keeps its place."""
    encoded = []
    for prompt, reply in zip(rows["prompt"], rows["reply"], strict=True):
        answer = tokenizer(reply, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        answer = answer[: max_length - 1]
        question = prompt_ids(tokenizer, prompt)[-(max_length - len(answer)) :]
        encoded.append({"input_ids": question + answer, "labels": [IGNORED] * len(question) + answer})
    return encoded


def collate(tokenizer: Any, items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Pad on the right."""
    longest = max(len(item["input_ids"]) for item in items)
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    def stack(key: str, value: int) -> Tensor:
        return torch.tensor([item[key] + [value] * (longest - len(item[key])) for item in items])

    lengths = torch.tensor([len(item["input_ids"]) for item in items])
    if "hidden_states" in items[0]:
        return {**frozen.pad_hidden([item["hidden_states"] for item in items]), "labels": stack("labels", IGNORED)}
    return {
        "input_ids": stack("input_ids", filler),
        "labels": stack("labels", IGNORED),
        "attention_mask": (torch.arange(longest)[None, :] < lengths[:, None]).long(),
    }


def reply_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Summed cross-entropy of the labelled tokens, each predicted from the position before it."""
    # Prompt methods put virtual tokens in front, which have no label.
    logits = logits[:, logits.shape[1] - labels.shape[1] :]
    flat = logits[:, :-1].reshape(-1, logits.shape[-1]).float()
    return F.cross_entropy(flat, labels[:, 1:].reshape(-1), ignore_index=IGNORED, reduction="sum")


def _loss(built: Built, recipe: Recipe) -> Any:
    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        count = num_items_in_batch if num_items_in_batch is not None else (labels != IGNORED).sum()
        value = reply_loss(outputs["logits"], labels) / count
        if recipe.method == "adalora" and built.model.training:
            value = value + orthogonality(built.model) / recipe.training.accumulation
        return value

    return loss


def log_likelihood(
    built_model: Any, tokenizer: Any, rows: pd.DataFrame, max_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Summed log-likelihood of each reply (nats) and its number of tokens, arrays [n]."""
    encoded = encode_rows(tokenizer, rows, max_length)
    sums, counts = np.zeros(len(encoded)), np.zeros(len(encoded), dtype=np.int64)
    with torch.inference_mode():
        for row, item in enumerate(encoded):
            batch = {k: v.to(device_of(built_model)) for k, v in collate(tokenizer, [item]).items()}
            labels = batch.pop("labels")
            sums[row] = -float(reply_loss(built_model(**batch).logits, labels))
            counts[row] = int((labels != IGNORED).sum())
    return sums, counts


def generate(model: Any, tokenizer: Any, prompts: Sequence[str], max_new_tokens: int = 96) -> list[str]:
    """Greedy replies, one per prompt, in order."""
    replies = []
    with torch.inference_mode():
        for prompt in prompts:
            ids = torch.tensor([prompt_ids(tokenizer, prompt)], device=device_of(model))
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                pad_token_id=tokenizer.eos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
            replies.append(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip())
    return replies
