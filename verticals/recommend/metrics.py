"""Metrics of ranked lists, one value a user, and of a whole set of lists."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from verticals.recommend.histories import Float32, Floats, Ints


def hits_of(ranked: Ints, relevant: Sequence[Ints], n_items: int) -> NDArray[np.bool_]:
    """Whether each ranked item [m, k] is among its user's relevant ones; -1 marks an empty place."""
    wanted = np.zeros((len(ranked), n_items + 1), dtype=bool)  # the last column takes the empty places
    for row, items in enumerate(relevant):
        wanted[row, items] = True
    return np.asarray(np.take_along_axis(wanted, ranked, axis=1))


def ndcg(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """nDCG@k of binary relevance (Järvelin & Kekäläinen 2002): discount 1 / log2(rank + 1)."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(n_relevant, k)]
    gained = hits[:, :k] @ discounts[: hits[:, :k].shape[1]]
    return np.asarray(gained / np.maximum(ideal, 1e-12))


def recall(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """Share of what can be found in k places that was found: hits / min(k, relevant), as in Liang et al. 2018."""
    return np.asarray(hits[:, :k].sum(axis=1) / np.maximum(np.minimum(n_relevant, k), 1))


def mrr(hits: NDArray[np.bool_], k: int) -> Floats:
    """1 / rank of the first hit, 0 when there is none in k places."""
    top = hits[:, :k]
    first = top.argmax(axis=1) + 1
    return np.where(top.any(axis=1), 1 / first, 0.0)


def average_precision(hits: NDArray[np.bool_], n_relevant: Ints, k: int) -> Floats:
    """Mean of the precision at each hit within k places, over min(k, relevant)."""
    top = hits[:, :k]
    precision = np.cumsum(top, axis=1) / np.arange(1, top.shape[1] + 1)
    return np.asarray((precision * top).sum(axis=1) / np.maximum(np.minimum(n_relevant, k), 1))


def coverage(ranked: Ints, k: int, n_items: int) -> float:
    """Share of the catalogue that stands in at least one user's first k places."""
    shown = ranked[:, :k]
    return len(np.unique(shown[shown >= 0])) / n_items


def novelty(ranked: Ints, popularity: Floats, n_users: int, k: int) -> Floats:
    """Mean surprise -log2(share of users who had the item) of the first k places, in bits (Zhou et al. 2010).

    An item that nobody had counts as had by one.
    """
    surprise = -np.log2(np.maximum(popularity, 1.0) / max(n_users, 1))
    shown = ranked[:, :k]
    return _mean_where(np.append(surprise, 0.0)[shown], shown >= 0)


def diversity(ranked: Ints, vectors: Float32, k: int) -> Floats:
    """Intra-list diversity: mean of 1 - cosine over the pairs of the first k places (Ziegler et al. 2005).

    From unit vectors: with s their sum, the sum of cosines over ordered pairs is |s|^2 - (number of vectors).
    """
    shown = ranked[:, :k]
    out = np.zeros(len(shown))
    for row, items in enumerate(shown):
        items = items[items >= 0]
        if len(items) > 1:
            rows = vectors[items].astype(np.float64)
            total = rows.sum(axis=0)
            pairs = len(items) * (len(items) - 1)
            out[row] = 1 - (total @ total - (rows * rows).sum()) / pairs
    return out


def auc(scores: Sequence[Floats], clicked: Sequence[NDArray[np.bool_]]) -> Floats:
    """Area under ROC of each impression list, ties half; NaN for one without both clicked and not clicked."""
    from scipy.stats import rankdata

    out = np.full(len(scores), np.nan)
    for row, (given, hit) in enumerate(zip(scores, clicked, strict=True)):
        positives, negatives = int(hit.sum()), int((~hit).sum())
        if positives and negatives:
            ranks = rankdata(given)
            out[row] = (ranks[hit].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    return out


def _mean_where(values: Floats, there: NDArray[np.bool_]) -> Floats:
    return np.asarray((values * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1))
