"""Run a network over any number of texts: batches of like length, results in input order, bounded memory."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from core.serving.engines import Engine
from core.serving.tokens import LongTexts, Pieces, Tokeniser, batches, pad

CHUNK = 4096  # texts sorted together: enough that batches are of nearly equal length

Item = str | tuple[str, str]


@dataclass(frozen=True)
class Outputs:
    """Results [n, width] in input order, and which texts were cut."""

    values: np.ndarray
    truncated: np.ndarray


class Runner:
    """An engine with its tokenizer."""

    def __init__(
        self, engine: Engine, tokeniser: Tokeniser, width: int, unit_length: bool, long_texts: LongTexts = "head"
    ) -> None:
        """``unit_length``: results of several windows are scaled back to length one after averaging."""
        self.engine, self.tokeniser, self.width = engine, tokeniser, width
        self.unit_length, self.long_texts = unit_length, long_texts

    def run(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        prefix: str = "",
        batch_tokens: int | None = None,
    ) -> Outputs:
        """All results at once. ``pairs`` go with ``texts``; ``prefix`` is put before each text."""
        items: Iterable[Item] = texts if pairs is None else zip(texts, pairs, strict=True)
        values, truncated = np.empty((len(texts), self.width), np.float32), np.zeros(len(texts), bool)
        done = 0
        for part in self.stream(items, prefix, batch_tokens):
            values[done : done + len(part.values)] = part.values
            truncated[done : done + len(part.values)] = part.truncated
            done += len(part.values)
        return Outputs(values, truncated)

    def stream(
        self, items: Iterable[Item], prefix: str = "", batch_tokens: int | None = None, chunk: int = CHUNK
    ) -> Iterator[Outputs]:
        """Results of ``chunk`` texts at a time; while one chunk is computed, the next is tokenised."""
        coming = iter(items)
        first = list(islice(coming, chunk))
        if not first:
            return
        pieces: Pieces | None = self._pieces(first, prefix)
        with ThreadPoolExecutor(1, thread_name_prefix="tokeniser") as ahead:
            while pieces is not None:
                # Taken here and not in the other thread: a generator belongs to the thread of its caller.
                following = list(islice(coming, chunk))
                future = ahead.submit(self._pieces, following, prefix) if following else None
                yield self._compute(pieces, batch_tokens or self.engine.batch_tokens)
                pieces = None if future is None else future.result()

    def _pieces(self, items: list[Item], prefix: str) -> Pieces:
        if isinstance(items[0], str):
            texts = [f"{prefix}{item}" for item in items] if prefix else items
            return self.tokeniser.pieces(texts, None, self.long_texts)  # type: ignore[arg-type]
        firsts, seconds = [prefix + item[0] for item in items], [item[1] for item in items]
        return self.tokeniser.pieces(firsts, seconds, self.long_texts)

    def _compute(self, pieces: Pieces, batch_tokens: int) -> Outputs:
        values = np.empty((len(pieces.ids), self.width), np.float32)
        for rows in batches([len(one) for one in pieces.ids], max(1, batch_tokens)):
            ids, types = [pieces.ids[i] for i in rows], [pieces.types[i] for i in rows]
            values[rows] = self.engine.run(*pad(ids, types, self.tokeniser.pad_id))
        if len(pieces.ids) > len(pieces.truncated):
            values = self._pool_windows(values, pieces)
        return Outputs(values, pieces.truncated)

    def _pool_windows(self, values: np.ndarray, pieces: Pieces) -> np.ndarray:
        """The mean of a text's windows, each weighted by the tokens that only it and later windows have."""
        starts = np.searchsorted(pieces.row, np.arange(len(pieces.truncated)))
        weight = pieces.weight[:, None]
        pooled = np.add.reduceat(values * weight, starts, axis=0) / np.add.reduceat(weight, starts, axis=0)
        single = np.diff(np.append(starts, len(values))) == 1
        pooled[single] = values[starts[single]]  # exactly what it is without windows
        if self.unit_length:
            pooled[~single] /= np.maximum(np.linalg.norm(pooled[~single], axis=1, keepdims=True), 1e-12)
        return np.asarray(pooled, dtype=np.float32)
