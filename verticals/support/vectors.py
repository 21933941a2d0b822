"""Nearest rows of a database table by a stored vector, kept in memory and read again when the table has changed."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine, Table, func, select


def packed(vector: np.ndarray) -> bytes:
    """float16, half the space of float32; cosines keep three digits."""
    return np.asarray(vector, dtype=np.float16).tobytes()


@dataclass(frozen=True)
class _State:
    stamp: tuple[Any, ...]
    rows: tuple[Any, ...]
    vectors: np.ndarray


class StoredVectors:
    """``find`` gives rows with their cosines. One short query tells whether anything has changed."""

    def __init__(self, engine: Engine, table: Table, keep: Callable[[Any], bool] = lambda row: True) -> None:
        """``table`` has the columns ``vector`` and ``changed``; ``keep`` leaves rows out."""
        self._engine, self._table, self._keep = engine, table, keep
        self._state: _State | None = None
        self._lock = threading.Lock()

    def find(
        self, vector: np.ndarray, k: int = 1, allowed: Callable[[Any], bool] = lambda row: True
    ) -> list[tuple[Any, float]]:
        """Up to k rows that are ``allowed``, nearest first. Rows of another length (another encoder) are not seen."""
        state = self._current(vector.shape[-1])
        if not state.rows:
            return []
        scores = state.vectors @ np.asarray(vector, dtype=np.float32)
        found: list[tuple[Any, float]] = []
        for place in np.argsort(-scores, kind="stable"):
            if allowed(state.rows[place]):
                found.append((state.rows[place], float(np.clip(scores[place], -1.0, 1.0))))
                if len(found) == k:
                    break
        return found

    def _current(self, dimension: int) -> _State:
        table = self._table
        with self._engine.connect() as connection:
            counted = connection.execute(select(func.count(), func.max(table.c.changed))).one()
            stamp = (*counted, dimension)
            state = self._state
            if state is not None and state.stamp == stamp:
                return state
            with self._lock:
                rows: Sequence[Any] = [
                    row
                    for row in connection.execute(select(table))
                    if len(row.vector) == 2 * dimension and self._keep(row)
                ]
        vectors = [np.frombuffer(row.vector, dtype=np.float16).astype(np.float32) for row in rows]
        lengths = [max(float(np.linalg.norm(one)), 1e-9) for one in vectors]
        unit = np.stack([one / n for one, n in zip(vectors, lengths, strict=True)]) if vectors else np.empty((0, 1))
        self._state = _State(stamp, tuple(rows), unit.astype(np.float32))
        return self._state
