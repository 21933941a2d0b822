"""FAISS indexes by size: which kind, how it is built, and how hard it must look to find what exact search finds."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["flat", "hnsw", "ivf-sq8", "ivf-pq"]

# Rows up to which a kind is chosen, measured with `python -m benchmarks.search` (384 dimensions, one thread).
CHOICES: tuple[tuple[int, Kind], ...] = ((5_000, "flat"), (300_000, "hnsw"))
LARGEST: Kind = "ivf-sq8"
RECALL, NEIGHBOURS = 0.995, 10
# Less looks good enough on a sample near the rows and loses real queries: at 100,000 rows recall@10 of held-out texts
# was .97 with efSearch 64 and .94 with nprobe 4.
_EFFORTS = {"hnsw": (128, 192, 256, 384, 512), "ivf": (24, 32, 48, 64, 96, 128, 192, 256)}
_FURTHEST = 30.0
_REFINE: dict[Kind, int] = {"ivf-sq8": 4, "ivf-pq": 16}
_SAMPLE = 200  # queries by which the effort is chosen
_SEED = 7
_OFF = 0.3


@dataclass(frozen=True)
class Ann:
    """A built FAISS index over rows 0..n-1. ``effort``: efSearch or nprobe, 0 for exact search."""

    index: Any
    kind: Kind
    effort: int = 0

    @property
    def approximate_scores(self) -> bool:
        """Whether stored vectors are compressed, so that hits must be scored again with the true ones."""
        return self.kind in _REFINE

    def candidates(self, k: int) -> int:
        """How many rows to fetch for k hits: compressed scores err, so more are scored again with the true vectors."""
        return k * _REFINE.get(self.kind, 1)

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Scores and row numbers [q, k], -1 where there are fewer; ``allowed`` is a bool mask over rows."""
        import faiss

        selector, effort = None, self.effort
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
            # Rows that are not allowed are walked over all the same; look as much further as there are fewer others.
            effort = int(effort * min(len(allowed) / max(int(allowed.sum()), 1), _FURTHEST))
        if self.kind == "hnsw":
            parameters = faiss.SearchParametersHNSW(efSearch=max(effort, k), sel=selector)
        elif self.kind == "flat":
            parameters = faiss.SearchParameters(sel=selector)
        else:
            parameters = faiss.SearchParametersIVF(nprobe=effort, sel=selector)
        return self.index.search(queries, k, params=parameters)


def kind_for(rows: int) -> Kind:
    """The kind for so many rows."""
    return next((kind for limit, kind in CHOICES if rows <= limit), LARGEST)


def build(vectors: np.ndarray, kind: Kind | None = None, recall: float = RECALL) -> Ann:
    """Index float32 [n, d] unit vectors for inner product.

    HNSW: Malkov & Yashunin 2018; inverted lists and product quantisation: Jégou et al. 2011. The effort is the
    smallest whose recall@10 on a sample of the rows, against exact search, reaches ``recall``.
    """
    import faiss

    rows, dimension = vectors.shape
    kind = kind or kind_for(rows)
    metric = faiss.METRIC_INNER_PRODUCT
    if kind == "flat" or rows < 1000:  # too few rows to train anything on
        index = faiss.IndexFlatIP(dimension)
        index.add(vectors)
        return Ann(index, "flat")
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(dimension, 32, metric)
        index.hnsw.efConstruction = 128
    else:
        lists = int(2 ** np.round(np.log2(4 * np.sqrt(rows))))
        lists = min(lists, rows // 39)  # what k-means wants at least for each centre
        code = "SQ8" if kind == "ivf-sq8" else f"PQ{_sub_quantisers(dimension)}x4fs"
        index = faiss.index_factory(dimension, f"IVF{lists},{code}", metric)
        chosen = np.random.default_rng(_SEED).choice(rows, min(rows, max(lists * 64, 50_000)), replace=False)
        index.train(vectors[np.sort(chosen)])
    index.add(vectors)
    return Ann(index, kind, _effort(index, kind, vectors, recall))


def _sub_quantisers(dimension: int) -> int:
    """4 bits for every two dimensions, or as near to that as divides them (fast scan: André et al. 2017)."""
    return next(m for m in range(max(dimension // 2, 1), 0, -1) if dimension % m == 0)


def _effort(index: Any, kind: Kind, vectors: np.ndarray, recall: float) -> int:
    """The smallest effort that is good enough, or the largest there is."""
    random = np.random.default_rng(_SEED)
    chosen = random.choice(len(vectors), min(_SAMPLE, len(vectors)), replace=False)
    # A query is near a row and somewhat off it; rows themselves are too easy, and mixtures of two rows in equal parts
    # far too hard for a graph. What the sample still gets wrong, the least efforts above make good.
    queries = vectors[chosen] + _OFF * vectors[random.permutation(chosen)]
    queries = np.ascontiguousarray(queries / np.linalg.norm(queries, axis=1, keepdims=True).clip(1e-9))
    k = min(NEIGHBOURS, len(vectors))
    exact = exact_search(vectors, queries, k)
    efforts = _EFFORTS["hnsw" if kind == "hnsw" else "ivf"]
    for effort in efforts:
        trial = Ann(index, kind, effort)
        _, found = trial.search(queries, min(trial.candidates(k), len(vectors)), None)
        hits = [len(set(a) & set(b)) for a, b in zip(exact, found, strict=True)]
        if sum(hits) / exact.size >= recall:
            return effort
    return efforts[-1]


def exact_search(vectors: np.ndarray, queries: np.ndarray, k: int, block: int = 65_536) -> np.ndarray:
    """Row numbers [q, k] of the largest inner products, without an index."""
    best_scores = np.full((len(queries), 0), -np.inf, dtype=np.float32)
    best_rows = np.zeros((len(queries), 0), dtype=np.int64)
    for start in range(0, len(vectors), block):
        scores = queries @ np.asarray(vectors[start : start + block]).T
        rows = np.broadcast_to(np.arange(start, start + scores.shape[1]), scores.shape)
        scores, rows = np.hstack([best_scores, scores]), np.hstack([best_rows, rows])
        top = np.argpartition(-scores, min(k, scores.shape[1]) - 1, axis=1)[:, :k]
        best_scores, best_rows = np.take_along_axis(scores, top, 1), np.take_along_axis(rows, top, 1)
    return np.take_along_axis(best_rows, np.argsort(-best_scores, axis=1, kind="stable"), 1)
