"""Nearest vectors by id, with metadata filters, changes while others search, and reading from disk."""

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.search import ann
from core.search.filters import Metadata, Where

_SETTINGS, _INDEX, _VECTORS, _ROWS = "vector.json", "index.faiss", "vectors.npy", "rows.jsonl"
_FEW_ALLOWED = 5_000  # so few rows are scored one by one: a graph search would get lost among the others
_REBUILD_SHARE = 0.1


@dataclass(frozen=True)
class _State:
    """What searchers see; never changed, only replaced as a whole.

    Rows are the indexed ones followed by the fresh ones. A removed row stays, marked dead, until a rebuild.
    """

    built: ann.Ann | None
    vectors: np.ndarray  # [n, d] of the indexed rows, possibly memory-mapped
    fresh: np.ndarray  # [m, d]
    ids: tuple[str, ...]
    metadata: tuple[Mapping[str, Any], ...]
    alive: np.ndarray  # bool [n + m]
    numbers: Mapping[str, int] = field(repr=False)

    @cached_property
    def filters(self) -> Metadata:
        return Metadata(self.metadata)

    @cached_property
    def all_alive(self) -> bool:
        return bool(self.alive.all())


class VectorIndex:
    """Inner-product search over unit vectors with string ids.

    Searches take no lock: they work on the state they find, while ``upsert`` and ``remove`` prepare the next one.
    """

    def __init__(self, state: _State, kind: ann.Kind | None = None) -> None:
        """Use ``build`` or ``open``."""
        self._state = state
        self._kind = kind
        self._writing = threading.Lock()

    @classmethod
    def build(
        cls,
        ids: Sequence[str],
        vectors: np.ndarray,
        metadata: Sequence[Mapping[str, Any]] | None = None,
        kind: ann.Kind | None = None,
    ) -> "VectorIndex":
        """Index float32 [n, d]; the kind follows the size unless given. Raises InputError for unusable vectors."""
        rows = tuple(metadata) if metadata is not None else ({},) * len(ids)
        vectors = checked(ids, vectors, rows)
        numbers = {name: i for i, name in enumerate(ids)}
        if len(numbers) != len(ids):
            twice = next(name for i, name in enumerate(ids) if numbers[name] != i)
            raise InputError(f"id {twice!r} is there twice; ids must be unique.")
        built = ann.build(vectors, kind) if len(ids) else None
        none = np.empty((0, vectors.shape[1]), dtype=np.float32)
        alive = np.ones(len(ids), dtype=bool)
        return cls(_State(built, vectors, none, tuple(ids), rows, alive, numbers), kind)

    def __len__(self) -> int:
        """How many rows can be found."""
        return int(self._state.alive.sum())

    def __contains__(self, name: str) -> bool:
        """Whether there is a row of that id."""
        return name in self._state.numbers

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return int(self._state.vectors.shape[1])

    @property
    def kind(self) -> str:
        """The FAISS index in use; "flat" while there is none."""
        return self._state.built.kind if self._state.built else "flat"

    def search(self, queries: np.ndarray, k: int = 10, where: Where | None = None) -> list[list[tuple[str, float]]]:
        """For each of the queries [q, d] (or one [d]) up to k (id, cosine), best first. All k rows match ``where``."""
        state = self._state
        queries = np.ascontiguousarray(np.atleast_2d(queries), dtype=np.float32)
        if queries.shape[1] != self.dimension:
            raise InputError(f"queries have {queries.shape[1]} dimensions, the index {self.dimension}.")
        if k < 1:
            raise InputError(f"k is {k}; ask for at least one hit.")
        mask = state.filters.mask(where)
        allowed = state.alive if mask is None else state.alive & mask
        unfiltered = mask is None and state.all_alive
        scores, rows = _search_indexed(state, queries, k, allowed, unfiltered)
        if len(state.fresh):
            scores, rows = _with_fresh(state, queries, allowed, scores, rows)
        return [
            [(state.ids[row], float(score)) for score, row in _best(line, numbers, k)]
            for line, numbers in zip(scores, rows, strict=True)
        ]

    def allowed(self, where: Where | None) -> np.ndarray | None:
        """bool mask over rows in the order of ``build``, for an index that was not changed since; None allows all."""
        return self._state.filters.mask(where)

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """float32 [n, d] of these ids. Raises KeyError for one that is not there."""
        state = self._state
        return _rows(state, np.array([state.numbers[name] for name in ids], dtype=np.int64))

    def metadata(self, name: str) -> Mapping[str, Any]:
        """The row's metadata. Raises KeyError."""
        return self._state.metadata[self._state.numbers[name]]

    def upsert(
        self, ids: Sequence[str], vectors: np.ndarray, metadata: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        """Add rows, replacing those whose id is there. Searches under way see all of it or nothing."""
        rows = tuple(metadata) if metadata is not None else ({},) * len(ids)
        vectors = checked(ids, vectors, rows)
        if len(set(ids)) != len(ids):
            raise InputError("an id is there twice in one update; ids must be unique.")
        with self._writing:
            state = self._state
            if vectors.shape[1] != self.dimension:
                raise InputError(f"vectors have {vectors.shape[1]} dimensions, the index {self.dimension}.")
            alive = np.concatenate([_without(state, ids), np.ones(len(ids), dtype=bool)])
            first = len(state.ids)
            self._state = self._settled(
                replace(
                    state,
                    fresh=np.vstack([state.fresh, vectors]),
                    ids=state.ids + tuple(ids),
                    metadata=state.metadata + rows,
                    alive=alive,
                    numbers={**state.numbers, **{name: first + i for i, name in enumerate(ids)}},
                )
            )

    def remove(self, ids: Iterable[str]) -> int:
        """Remove rows; ids that are not there are passed over. Returns how many went."""
        gone = set(ids)
        with self._writing:
            state = self._state
            there = [name for name in gone if name in state.numbers]
            numbers = {name: i for name, i in state.numbers.items() if name not in gone}
            self._state = self._settled(replace(state, alive=_without(state, there), numbers=numbers))
            return len(there)

    def _settled(self, state: _State) -> _State:
        """Rebuild when much is fresh or dead; otherwise the state as it is."""
        indexed = len(state.vectors)
        loose = len(state.fresh) + int((~state.alive).sum())
        if loose <= max(2000, _REBUILD_SHARE * indexed):
            return state
        rows = np.flatnonzero(state.alive)
        vectors = _rows(state, rows)
        ids = tuple(state.ids[i] for i in rows)
        return _State(
            ann.build(vectors, self._kind) if len(rows) else None,
            vectors,
            np.empty((0, vectors.shape[1]), dtype=np.float32),
            ids,
            tuple(state.metadata[i] for i in rows),
            np.ones(len(rows), dtype=bool),
            {name: i for i, name in enumerate(ids)},
        )

    def save(self, folder: Path) -> None:
        """Write into an existing folder; ``core.search.versions`` makes that atomic."""
        import faiss

        with self._writing:
            state = self._state
        rows = np.flatnonzero(state.alive)
        built, vectors = state.built, state.vectors
        if len(rows) != len(state.vectors) or len(state.fresh):
            vectors = _rows(state, rows)
            built = ann.build(vectors, self._kind) if len(rows) else None
        np.save(folder / _VECTORS, vectors)
        with (folder / _ROWS).open("w", encoding="utf-8") as out:
            for row in rows:
                line = {"id": state.ids[row], "metadata": dict(state.metadata[row])}
                out.write(json.dumps(line, ensure_ascii=False, default=sorted) + "\n")
        settings = {"kind": built.kind if built else None, "effort": built.effort if built else 0, "asked": self._kind}
        # The vectors file serves exact search as well; a second copy of it inside the index would be waste.
        if built is not None and built.kind != "flat":
            faiss.write_index(built.index, str(folder / _INDEX))
        (folder / _SETTINGS).write_text(json.dumps(settings), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> "VectorIndex":
        """Read what ``save`` wrote. Vectors and inverted lists are memory-mapped, not read."""
        import faiss

        settings = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        vectors = np.load(folder / _VECTORS, mmap_mode="r")
        with (folder / _ROWS).open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        ids = tuple(row["id"] for row in rows)
        built = None
        if settings["kind"] == "flat":
            built = ann.build(np.asarray(vectors), "flat")
        elif settings["kind"]:
            index = faiss.read_index(str(folder / _INDEX), faiss.IO_FLAG_MMAP_IFC)
            built = ann.Ann(index, settings["kind"], settings["effort"])
        none = np.empty((0, vectors.shape[1]), dtype=np.float32)
        numbers = {name: i for i, name in enumerate(ids)}
        alive = np.ones(len(ids), dtype=bool)
        metadata = tuple(row["metadata"] for row in rows)
        return cls(_State(built, vectors, none, ids, metadata, alive, numbers), settings["asked"])


def _search_indexed(
    state: _State, queries: np.ndarray, k: int, allowed: np.ndarray, unfiltered: bool
) -> tuple[np.ndarray, np.ndarray]:
    indexed = len(state.vectors)
    if state.built is None:
        return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    if unfiltered:
        return _found(state, queries, k, None)
    here = allowed[:indexed]
    count = int(here.sum())
    if count <= _FEW_ALLOWED and state.built.kind != "flat":
        rows = np.flatnonzero(here)
        scores = queries @ np.asarray(state.vectors[rows]).T
        return scores, np.broadcast_to(rows, scores.shape)
    scores, rows = _found(state, queries, k, here)
    if (np.count_nonzero(rows >= 0, axis=1) < min(k, count)).any():  # the walk ended before it met k allowed rows
        numbers = np.flatnonzero(here)
        scores = queries @ np.asarray(state.vectors[numbers]).T
        rows = np.broadcast_to(numbers, scores.shape)
    return scores, rows


def _found(state: _State, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    built = state.built
    assert built is not None
    wide = min(len(state.vectors), built.candidates(k))
    scores, rows = built.search(queries, wide, allowed)
    if built.approximate_scores:
        true = np.einsum("qd,qkd->qk", queries, state.vectors[np.maximum(rows, 0)])
        scores = np.where(rows >= 0, true, -np.inf).astype(np.float32)
    return scores, rows


def _with_fresh(
    state: _State, queries: np.ndarray, allowed: np.ndarray, scores: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    indexed = len(state.vectors)
    here = np.flatnonzero(allowed[indexed:])
    new = queries @ state.fresh[here].T
    numbers = np.broadcast_to(here + indexed, new.shape)
    return np.hstack([scores, new]), np.hstack([rows, numbers])


def _best(scores: np.ndarray, rows: np.ndarray, k: int) -> list[tuple[float, int]]:
    there = np.flatnonzero(rows >= 0)
    order = there[np.lexsort((rows[there], -scores[there]))][:k]
    return [(scores[i], int(rows[i])) for i in order]


def _rows(state: _State, numbers: np.ndarray) -> np.ndarray:
    indexed = len(state.vectors)
    result = np.empty((len(numbers), state.vectors.shape[1]), dtype=np.float32)
    old = numbers < indexed
    result[old] = state.vectors[numbers[old]]
    result[~old] = state.fresh[numbers[~old] - indexed]
    return result


def _without(state: _State, ids: Sequence[str]) -> np.ndarray:
    alive = state.alive.copy()
    alive[[state.numbers[name] for name in ids if name in state.numbers]] = False
    return alive


def checked(ids: Sequence[str], vectors: np.ndarray, metadata: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The vectors as float32 [n, d]. Raises InputError when counts differ or a vector is not finite."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(ids) or len(metadata) != len(ids):
        raise InputError(f"{len(ids)} ids, vectors of shape {vectors.shape}, {len(metadata)} rows of metadata.")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise InputError(f"the vector of id {ids[bad[0]]!r} is not finite; encode it again.")
    return vectors
