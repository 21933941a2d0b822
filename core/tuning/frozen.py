"""Frozen lower layers are run once: their output is cached and training starts above them.

The cache is one array of token vectors, texts one after another without padding. It stays in memory up to
``HEADWATER_CACHE_MEMORY_MB`` and is a memory-mapped temporary file beyond that. The frozen blocks run
without dropout, which is the only difference to running them in every step.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.tuning.encoder import TextEncoder, can_start_from_hidden_states, layers_of, untrained_from_below


def frozen_blocks(model: TextEncoder) -> int:
    """How many blocks from the bottom (embeddings included) no trained weight touches; 0 means no cache."""
    if not can_start_from_hidden_states(model.backbone):
        return 0
    blocks = layers_of(model.backbone)
    below = {id(p) for block in blocks for p in block.parameters()}
    if any(p.requires_grad for p in model.backbone.parameters() if id(p) not in below):
        return 0
    return untrained_from_below(blocks)


@dataclass
class HiddenStates:
    """Token vectors of many texts; item i is an array [t_i, d]."""

    values: np.ndarray
    starts: np.ndarray
    file: Any = None  # keeps a temporary memory-mapped file alive

    def __getitem__(self, index: int) -> np.ndarray:
        return self.values[self.starts[index] : self.starts[index + 1]]


def compute(
    lower: Any,
    encoded: Sequence[dict[str, list[int]]],
    pad: Any,
    device: torch.device,
    batch_tokens: int = 8192,
    memory_mb: int = 1024,
    folder: Path | None = None,
) -> HiddenStates:
    """Run the frozen blocks once over tokenised texts, in length order so that little is padded."""
    lengths = np.array([len(e["input_ids"]) for e in encoded])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    shape = (int(starts[-1]), lower.config.hidden_size)
    file: Any = None
    if shape[0] * shape[1] * 4 > memory_mb * 2**20:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        # Unlinked at once, so that a killed run leaves nothing behind; the cache that holds it closes it.
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        values: np.ndarray = np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
    else:
        values = np.empty(shape, dtype=np.float32)
    training = lower.training
    lower.eval()
    order = np.argsort(lengths, kind="stable")
    with torch.inference_mode():
        for batch in _by_tokens(order, lengths, batch_tokens):
            inputs = {k: v.to(device) for k, v in pad([encoded[i] for i in batch]).items()}
            hidden = lower(**inputs).last_hidden_state.float().cpu().numpy()
            for row, index in enumerate(batch):
                values[starts[index] : starts[index + 1]] = hidden[row, : lengths[index]]
    lower.train(training)
    return HiddenStates(values, starts, file)


def _by_tokens(order: np.ndarray, lengths: np.ndarray, most: int) -> list[list[int]]:
    batches: list[list[int]] = [[]]
    for index in order:
        if batches[-1] and (len(batches[-1]) + 1) * lengths[index] > most:
            batches.append([])
        batches[-1].append(int(index))
    return batches


def pad_hidden(items: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """Arrays [t_i, d] to ``hidden_states`` [b, t, d] and ``attention_mask`` [b, t], padded on the right."""
    longest = max(len(item) for item in items)
    hidden = torch.zeros(len(items), longest, items[0].shape[1])
    mask = torch.zeros(len(items), longest, dtype=torch.long)
    for row, item in enumerate(items):
        hidden[row, : len(item)] = torch.from_numpy(np.asarray(item))
        mask[row, : len(item)] = 1
    return {"hidden_states": hidden, "attention_mask": mask}
