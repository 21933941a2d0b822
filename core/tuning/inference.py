"""Run a tuned model over texts: length-sorted batches, results in input order."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from core.tuning.encoder import TextEncoder


def tokenise(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int, prefix: str = ""
) -> list[dict[str, list[int]]]:
    """Token ids without padding, one dict per text (or text pair)."""
    if not texts:
        return []
    first = [prefix + text for text in texts] if prefix else list(texts)
    encoded = tokenizer(first, list(pairs) if pairs is not None else None, truncation=True, max_length=max_length)
    keys = [key for key in encoded if key != "attention_mask" or "input_ids" not in encoded]
    return [{key: encoded[key][row] for key in keys} for row in range(len(first))]


def pad(tokenizer: Any, items: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Stack tokenised texts, padded to the longest of them on the right."""
    longest = max(len(item["input_ids"]) for item in items)
    batch: dict[str, torch.Tensor] = {}
    for key in items[0]:
        filler = tokenizer.pad_token_id if key == "input_ids" else 0
        batch[key] = torch.tensor([item[key] + [filler] * (longest - len(item[key])) for item in items])
    lengths = torch.tensor([len(item["input_ids"]) for item in items])
    batch["attention_mask"] = (torch.arange(longest)[None, :] < lengths[:, None]).long()
    return batch


def run(
    model: TextEncoder,
    tokenizer: Any,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    max_length: int = 128,
    batch_size: int = 64,
    prefix: str = "",
) -> np.ndarray:
    """Logits [n, outputs], or pooled vectors [n, d] of a model without head; float32, in input order."""
    encoded = tokenise(tokenizer, texts, pairs, max_length, prefix)
    width = int(model.head.out_features if model.head is not None else model.config.hidden_size)
    results = np.empty((len(encoded), width), dtype=np.float32)
    device = device_of(model)
    with torch.inference_mode():
        for rows in by_length(encoded, batch_size):
            batch = {k: v.to(device) for k, v in pad(tokenizer, [encoded[i] for i in rows]).items()}
            results[rows] = model(**batch)["logits"].float().cpu().numpy()
    return results


def encode(
    model: TextEncoder,
    tokenizer: Any,
    texts: Sequence[str],
    max_length: int = 128,
    batch_size: int = 64,
    prefix: str = "",
) -> np.ndarray:
    """Unit-length vectors [n, d], float32, in input order."""
    vectors = run(model, tokenizer, texts, None, max_length, batch_size, prefix)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(norms, 1e-12)


def device_of(model: torch.nn.Module) -> torch.device:
    """Where the model's weights are."""
    return next(model.parameters()).device


def by_length(encoded: Sequence[dict[str, list[int]]], size: int) -> Iterator[list[int]]:
    """Row numbers in batches of similar length, longest first."""
    order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i]["input_ids"]))
    for start in range(0, len(order), size):
        yield order[start : start + size]
