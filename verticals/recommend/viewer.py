"""Who a list is for: a known user, a history made by hand, an interest in words, all of them, or nobody known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.errors import InputError
from verticals.recommend.candidates import products
from verticals.recommend.histories import Float32, Histories, Ints, history_of
from verticals.recommend.hybrid import Hybrid
from verticals.recommend.snapshot import Snapshot
from verticals.recommend.taste import TextTaste, normalised, user_vectors


@dataclass(frozen=True)
class Viewer:
    """``past`` holds one history; ``hybrid`` scores it. ``curves`` names the probabilities that belong to it."""

    user: str | None
    past: Histories
    hybrid: Hybrid
    basis: str
    newcomer: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Declared:
    """The text source with an interest put in words: its vector counts as much as the whole history."""

    text: TextTaste
    interest: Float32
    name: str = "text"

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """Cosines with the interest, or with the middle of interest and history, float32 [m, n] or [m, c]."""
        return products(*self.factors(histories), candidates)

    def factors(self, histories: Histories) -> tuple[Float32, Float32]:
        """The interest, or the middle of interest and history, and the items' vectors."""
        own = user_vectors(histories, self.text.vectors, self.text.attention)
        mixed = own + self.text.along(self.interest[None])
        return normalised(mixed), self.text.vectors


def viewer(
    snapshot: Snapshot, user: str | None, history: Sequence[str] | None, interest: Float32 | None, warm_from: int
) -> Viewer:
    """Put together what is known; a user nobody knows is noted and served as a newcomer.

    Raises InputError when both a user and a history are given.
    """
    notes: tuple[str, ...] = ()
    if user is not None and history is not None:
        raise InputError("Give a user or a history, not both: a user's history is known.")
    n = len(snapshot.items)
    if history is not None:
        past = history_of(snapshot.items.numbers_of(history, "history"), n, now=_now(snapshot))
    elif user is not None and user in snapshot.users:
        past = snapshot.histories.take(np.array([snapshot.users[user]]))
    else:
        past = history_of([], n)
        if user is not None:
            notes = (f"user {user!r} has no events yet and is served as a newcomer.",)
    length = int(past.lengths[0])
    newcomer = length < warm_from
    hybrid = replace(snapshot.hybrid, blend=snapshot.model.cold, ranker=None) if newcomer else snapshot.hybrid
    if interest is not None:
        sources = tuple(
            Declared(one, interest) if isinstance(one, TextTaste) else one for one in hybrid.features.sources
        )
        # The trees never saw an interest in words: the blend weighs it openly.
        hybrid = replace(hybrid, features=replace(hybrid.features, sources=sources), ranker=None)
    known = [name for name, there in (("history", length > 0), ("interest", interest is not None)) if there]
    return Viewer(user, past, hybrid, " and ".join(known) or "popular", newcomer, notes)


def _now(snapshot: Snapshot) -> float:
    times = snapshot.histories.times
    return float(times.max()) if times.size else 0.0
