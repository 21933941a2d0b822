"""Taste: what a user likes as a vector, from the texts of recent items; works for an item nobody has seen yet."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from core.errors import InputError
from verticals.recommend.candidates import products
from verticals.recommend.histories import Float32, Histories, Ints, Recency

_USERS_AT_ONCE = 128
_TEXTS_FOR_DIRECTIONS = 20_000  # more would not turn them
DIRECTIONS = 128  # of the texts' vectors: each candidate costs reading so many numbers
RECENT = 50  # older items no longer move the vector; a bound keeps the cost of an event constant


@dataclass(frozen=True)
class Attention:
    """How recent items share a user vector.

    An item's share grows with the strength of the event, halves with ``recency`` and grows with its mean cosine to
    the other recent items over ``temperature``: what fits the rest is taste, what stands alone may be chance.
    """

    recency: Recency = Recency(10, "events")
    temperature: float = 0.5
    recent: int = RECENT


def check_vectors(vectors: Float32, n_items: int) -> Float32:
    """Item vectors float32 [n, d] of unit length; raises InputError for another shape or what is no number."""
    made = np.ascontiguousarray(vectors, dtype=np.float32)
    if made.ndim != 2 or len(made) != n_items:
        raise InputError(f"item vectors {made.shape} do not fit {n_items} items; encode the items again.")
    if not np.isfinite(made).all():
        bad = int(np.flatnonzero(~np.isfinite(made).all(axis=1))[0])
        raise InputError(f"the vector of item {bad + 1} holds what is no number; encode the items again.")
    return normalised(made)


def normalised(vectors: Float32) -> Float32:
    """Rows of unit length; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def centred(vectors: Float32, mean: Float32 | None = None) -> Float32:
    """Unit vectors without their mean, which says what all texts share and hides what tells them apart.

    Mu & Viswanath 2018 (All-but-the-Top), first step. ``mean`` is that of the catalogue, for a query.
    """
    return normalised(vectors - (vectors.mean(axis=0, keepdims=True) if mean is None else mean))


def main_directions(vectors: Float32, most: int = DIRECTIONS) -> Float32:
    """The ``most`` orthonormal directions [d, k] that tell texts apart best: principal axes of unit vectors [n, d].

    Few texts do not show which directions matter for those to come: below four times as many as directions, all d are
    kept as they are.
    """
    n, d = vectors.shape
    if d <= most or n < 4 * most:
        return np.eye(d, dtype=np.float32)
    some = vectors[:: max(1, n // _TEXTS_FOR_DIRECTIONS)].astype(np.float64)
    _, axes = np.linalg.eigh(some.T @ some)  # by rising eigenvalue
    return np.ascontiguousarray(axes[:, ::-1][:, :most], dtype=np.float32)


def user_vectors(histories: Histories, vectors: Float32, attention: Attention | None = None) -> Float32:
    """Unit vectors [m, d]; zeros for a user without events."""
    attention = attention or Attention()
    kept = histories.ages < attention.recent
    shape = (len(histories), histories.n_items)
    recent = csr_array((np.ones(int(kept.sum()), np.float32), (histories.rows[kept], histories.items[kept])), shape)
    recent.data[:] = 1.0  # an item counts once
    weights = csr_array(histories.matrix(attention.recency) * recent)
    parts = [
        _mixed(weights[start : start + _USERS_AT_ONCE], vectors, attention.temperature)
        for start in range(0, len(histories), _USERS_AT_ONCE)
    ]
    return normalised(np.concatenate(parts)) if parts else np.zeros((0, vectors.shape[1]), np.float32)


def _mixed(weights: Any, vectors: Float32, temperature: float) -> Float32:
    """The recent items' vectors of each user, shared out by ``Attention`` [m, d]; ``weights`` is sparse [m, n]."""
    lengths = np.diff(weights.indptr)
    there = np.arange(max(1, int(lengths.max(initial=0))))[None] < lengths[:, None]
    items = np.zeros(there.shape, dtype=np.int64)
    items[there] = weights.indices
    shares = np.zeros(there.shape, dtype=np.float32)
    shares[there] = weights.data
    rows = vectors[items] * there[:, :, None]
    alike = (rows @ rows.sum(axis=1)[:, :, None])[:, :, 0] - np.einsum("mhd,mhd->mh", rows, rows)
    alike /= np.maximum(lengths - 1, 1)[:, None]
    shares *= np.where((lengths > 1)[:, None], np.exp(alike / temperature), 1.0).astype(np.float32)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.float32(1e-30))
    return np.asarray((shares[:, None] @ rows)[:, 0], dtype=np.float32)


@dataclass(frozen=True)
class TextTaste:
    """``vectors`` [n, k]: unit item vectors, or what they are along ``directions`` [d, k] (``main_directions``).

    The score is the cosine with the user's vector, as far as the directions show it.
    """

    vectors: Float32
    directions: Float32 | None = None
    attention: Attention = Attention()
    name: str = "text"

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """Cosines, float32 [m, n] or [m, c]."""
        return products(*self.factors(histories), candidates)

    def factors(self, histories: Histories) -> tuple[Float32, Float32]:
        """Vectors of the users and of the items."""
        return user_vectors(histories, self.vectors, self.attention), self.vectors

    def along(self, vectors: Float32) -> Float32:
        """Vectors [m, d] made elsewhere as the items' are kept, unit length [m, k]."""
        return vectors if self.directions is None else normalised(vectors @ self.directions)


@dataclass(frozen=True)
class Running:
    """A user vector kept up to date on each event without the history: an exponential moving sum.

    ``vector`` [d] is not of unit length: its length says how much is known.
    """

    vector: Float32
    half_life: float = 10.0

    def after(self, item_vector: Float32, strength: float = 1.0) -> "Running":
        """The vector once one more event is known; the older ones count less by one event."""
        kept = self.vector * np.float32(0.5 ** (1 / self.half_life))
        return Running(kept + np.float32(strength) * item_vector, self.half_life)

    @property
    def unit(self) -> Float32:
        """Unit length [d], zeros before the first event."""
        return normalised(self.vector[None])[0]
