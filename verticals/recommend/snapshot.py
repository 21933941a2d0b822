"""Everything one answer is made from, at one version of the data: immutable, so that answers and updates never meet."""

from dataclasses import dataclass, replace

import numpy as np

from core.errors import InputError
from verticals.recommend.behaviour import WEIGHTS, Events
from verticals.recommend.candidates import Source
from verticals.recommend.explanation import Words, words_of
from verticals.recommend.features import Features, make_features
from verticals.recommend.histories import Float32, Histories, histories
from verticals.recommend.hybrid import Hybrid
from verticals.recommend.items import Items
from verticals.recommend.popularity import fit_popular, fit_trending
from verticals.recommend.saved import Saved, grown
from verticals.recommend.taste import TextTaste, centred
from verticals.recommend.vectors import ItemVectors


@dataclass(frozen=True)
class Snapshot:
    """``version`` of the data, its items, users and histories, and the trained hybrid over exactly these items.

    ``vectors`` are centred unit vectors [n, d]; ``mean`` [1, d] is what was taken off, for a query.
    """

    version: int
    model: Saved
    items: Items
    vectors: Float32
    mean: Float32
    words: Words
    users: dict[str, int]
    histories: Histories
    hybrid: Hybrid

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of the weights."""
        return self.hybrid.features.names


def make_snapshot(model: Saved, items: Items, events: Events | None, version: int, vectors: ItemVectors) -> Snapshot:
    """A snapshot from scratch. Raises InputError when the model was trained on other items."""
    users, past = histories_of(events, items, model.told["strongest"])
    return _put_together(model, items, users, past, version, vectors)


def updated(old: Snapshot, items: Items | None, events: Events | None, version: int, vectors: ItemVectors) -> Snapshot:
    """``old`` with newer items and events; nothing is learnt again, only what they change is made anew."""
    catalogue = old.items if items is None else old.items.upsert(items)
    past = replace(old.histories, n_items=len(catalogue))
    users = dict(old.users)
    if events is not None:
        names, new = histories_of(events, catalogue, old.model.told["strongest"])
        past = extended(past, users, names, new)
    if items is None:
        return _with_behaviour(replace(old, version=version, users=users, histories=past), past)
    return _put_together(old.model, catalogue, users, past, version, vectors)


def extended(past: Histories, users: dict[str, int], names: dict[str, int], new: Histories) -> Histories:
    """Both together, each history in order of time; users that are new are added to ``users``."""
    numbers = np.array([users.setdefault(name, len(users)) for name in names], dtype=np.int64)
    rows = np.concatenate([past.rows, numbers[new.rows] if len(new.items) else np.empty(0, dtype=np.int64)])
    times = np.concatenate([past.times, new.times])
    order = np.lexsort((times, rows))
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(users)))]).astype(np.int64)
    items = np.concatenate([past.items, new.items])[order]
    strengths = np.concatenate([past.strengths, new.strengths])[order].astype(np.float32)
    return Histories(starts, items, times[order], strengths, past.n_items)


def sources_of(model: Saved, past: Histories, vectors: Float32) -> list[Source]:
    """The model's sources in its order: learnt ones grown to the catalogue, counts and vectors as of now."""
    along = vectors @ model.directions
    made: dict[str, Source] = {source.name: grown(source, past.n_items, along) for source in model.collaborative}
    made |= {one.name: one for one in (fit_popular(past), fit_trending(past), TextTaste(along, model.directions))}
    return [made[name] for name in model.order]


def histories_of(events: Events | None, items: Items, strongest: float) -> tuple[dict[str, int], Histories]:
    """Users with their numbers, and histories whose strengths are weights over ``strongest``, at most 1.

    One scale for all batches: in a batch of nothing but views, a view must not count as the strongest event. Events
    with an item that does not exist are left out.
    """
    if events is None:
        empty = np.empty(0, dtype=np.int64)
        none = Histories(np.zeros(1, dtype=np.int64), empty, empty.astype(float), empty.astype(np.float32), len(items))
        return {}, none
    known = events.where(events.frame["item"].isin(items.positions))
    names, made = histories(known, items, weights=WEIGHTS)
    scale = np.float32(strongest_of(known) / strongest)
    strengths = np.minimum(made.strengths * scale, np.float32(1.0))
    return {name: number for number, name in enumerate(names)}, replace(made, strengths=strengths)


def strongest_of(events: Events) -> float:
    """The weight of the kind of event that says most, of those that occur."""
    return float(events.frame["event"].map(WEIGHTS).max()) if len(events) else 1.0


def _put_together(
    model: Saved, items: Items, users: dict[str, int], past: Histories, version: int, vectors: ItemVectors
) -> Snapshot:
    if items.ids[: len(model.item_ids)] != model.item_ids:
        raise InputError("The items are not those the recommender was trained on; run: headwater recommend train.")
    raw = vectors.of(items.texts)
    # The mean of the items at training stays what it was: a new item moves no other item's vector.
    mean = raw[: len(model.item_ids)].mean(axis=0, keepdims=True)
    unit = centred(raw, mean)
    features = _features(model, items, past, unit)
    hybrid = Hybrid(features, model.blend, model.ranker, model.shortlist)
    return Snapshot(version, model, items, unit, mean, words_of(items), users, past, hybrid)


def _features(model: Saved, items: Items, past: Histories, vectors: Float32) -> Features:
    absent = [name for name in model.numeric if name not in items.numeric]
    if absent:
        raise InputError(
            f"column {absent[0]!r} held only numbers at training and does not now; mend it or train again."
        )
    return make_features(items, past, sources_of(model, past, vectors), model.numeric)


def _with_behaviour(snapshot: Snapshot, past: Histories) -> Snapshot:
    """Counts as of now; texts, vectors, tags and learnt weights are shared with the snapshot before."""
    features = snapshot.hybrid.features
    popular, trending = fit_popular(past), fit_trending(past)
    new: dict[str, Source] = {popular.name: popular, trending.name: trending}
    sources = tuple(new.get(source.name, source) for source in features.sources)
    changed = replace(features, sources=sources, popularity=popular.counts)
    return replace(snapshot, hybrid=replace(snapshot.hybrid, features=changed))
