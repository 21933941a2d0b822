"""In-batch softmax that knows which pairs of the training rows belong together and how often each positive comes.

Two things the plain loss gets wrong where texts and positives repeat, as in behaviour: a positive of another row that
also belongs to this text counts as a negative, and frequent positives are pushed down because they are drawn as
negatives more often (logQ correction: Yi et al. 2019, Sampling-bias-corrected neural modeling).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn


class PairTable:
    """Which text and positive each training row has, how often each pair occurs, and log shares of the positives."""

    def __init__(self, texts: Sequence[str], positives: Sequence[str]) -> None:
        self.text, self.positive = _numbers(texts), _numbers(positives)
        shape = (int(self.text.max()) + 1, int(self.positive.max()) + 1)
        self.counts: Any = csr_array((np.ones(len(self.text)), (self.text, self.positive)), shape=shape)
        frequency = np.bincount(self.positive)
        self.log_share = np.log(frequency / frequency.sum())

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For rows of one batch: how often text i has positive j [b, b], and the log share of each positive [b]."""
        columns = self.positive[rows]
        return self.counts[self.text[rows]][:, columns].toarray(), self.log_share[columns]


class KnownPairsLoss(nn.Module):
    """Softmax over the batch's positives (and negatives, if given) with all known pairs as targets.

    ``model`` gives unit vectors as ``sentence_embedding``; the labels of the trainer are row numbers of ``table``.
    ``correction`` from 0 to 1 is how much of log(share of the positive) is taken off its logit.
    """

    def __init__(self, model: nn.Module, table: PairTable, scale: float, correction: float) -> None:
        super().__init__()
        self.model, self.table, self.scale, self.correction = model, table, scale, correction

    def forward(self, features: Sequence[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """``features``: text, positive and any number of negatives; a scalar."""
        texts, positives, *negatives = (self.model(part)["sentence_embedding"] for part in features)
        counts, log_share = self.table.batch(labels.cpu().numpy())
        offset = torch.as_tensor(self.correction * log_share, dtype=texts.dtype, device=texts.device)
        target = torch.as_tensor(counts, dtype=texts.dtype, device=texts.device) * torch.exp(-offset)[None]
        target = target / target.sum(1, keepdim=True)
        logits = texts @ positives.T * self.scale - offset[None]
        for negative in negatives:
            own = (texts * negative).sum(1, keepdim=True) * self.scale
            # A mined negative stands for itself alone: it is drawn for this text, not by its share.
            logits = torch.cat([logits, own - offset.mean()], dim=1)
        log_shares = torch.log_softmax(logits, dim=1)[:, : target.shape[1]]
        return -(target * log_shares).sum(1).mean()


def _numbers(texts: Sequence[str]) -> np.ndarray:
    known: dict[str, int] = {}
    return np.array([known.setdefault(text, len(known)) for text in texts], dtype=np.int64)
