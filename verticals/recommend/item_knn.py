"""Item-kNN: items are alike when the same users engaged with them (Sarwar et al. 2001)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from core.errors import InputError
from verticals.recommend.histories import Float32, Histories, Ints, Recency
from verticals.recommend.weights import DenseWeights, dense_where_small


@dataclass(frozen=True)
class ItemKnn:
    """``similarities``: sparse [n, n], row = item of the history, each column its k nearest."""

    similarities: Any
    recency: Recency | None = None
    name: str = "item-knn"

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """Sum of similarities to the history, float32 [m, n] or [m, c]."""
        history = histories.matrix(self.recency)
        if self._dense is not None:
            return self._dense.sums(history, candidates)
        scores = (history @ self.similarities).toarray().astype(np.float32)
        return scores if candidates is None else scores[:, candidates]

    @cached_property
    def _dense(self) -> DenseWeights | None:
        return dense_where_small(self.similarities)


def fit_item_knn(histories: Histories, k: int = 20, shrink: float = 0.0) -> ItemKnn:
    """Cosine of the items' columns of users, divided by ``|a||b| + shrink``; each item keeps its k nearest.

    Ties at the k-th place go to the item that comes first. Raises InputError for k < 1.
    """
    if k < 1:
        raise InputError(f"k = {k}; item-kNN needs at least one neighbour.")
    x = histories.matrix()
    together = (x.T @ x).tocsr()
    norms = np.sqrt(together.diagonal())
    rows: list[Ints] = []
    values: list[Float32] = []
    for item in range(histories.n_items):  # one item a time: the dense matrix of a large catalogue has no room
        part = slice(together.indptr[item], together.indptr[item + 1])
        others = together.indices[part]
        similar = together.data[part] / (norms[item] * norms[others] + shrink)
        keep = others != item
        others, similar = others[keep], similar[keep]
        best = np.lexsort((others, -similar))[:k]
        rows.append(others[best].astype(np.int64))
        values.append(similar[best].astype(np.float32))
    columns = np.repeat(np.arange(histories.n_items), [len(part) for part in rows])
    shape = (histories.n_items, histories.n_items)
    data = np.concatenate(values), (np.concatenate(rows), columns)
    return ItemKnn(csr_array(data, shape=shape, dtype=np.float32))
