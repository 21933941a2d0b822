"""The recommender: scores a caller's candidates, recommends, finds similar items, and takes in what is new."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Literal

import numpy as np

from core.errors import InputError
from verticals.recommend import saved
from verticals.recommend.behaviour import Events
from verticals.recommend.candidates import top_k
from verticals.recommend.items import Items
from verticals.recommend.listing import Method, arrange, listed
from verticals.recommend.rules import Rule
from verticals.recommend.scored import ScoredList
from verticals.recommend.settings import RecommendSettings, recommend_settings
from verticals.recommend.snapshot import Snapshot, make_snapshot, updated
from verticals.recommend.store import Change, Store
from verticals.recommend.vectors import ItemVectors
from verticals.recommend.viewer import Viewer, viewer

Report = Callable[[str], None]


class Recommender:
    """One trained version over the data as it is now. Safe for several threads; made by ``open``.

    An answer is made from one snapshot. Changes by this or another process are taken in before the next answer;
    while one thread takes them in, others go on with the snapshot before.
    """

    def __init__(self, settings: RecommendSettings, store: Store, snapshot: Snapshot, vectors: ItemVectors) -> None:
        self.settings, self.store, self.vectors = settings, store, vectors
        self._snapshot, self._lock = snapshot, Lock()

    @classmethod
    def open(cls, settings: RecommendSettings | None = None) -> "Recommender":
        """The version in use; raises InputError before the first training."""
        settings = settings or recommend_settings()
        folder = saved.current(settings.folder)
        if folder is None:
            raise InputError("The recommender was never trained here; run: headwater recommend train.")
        model = saved.load(folder)
        store = Store.open(settings.core)
        vectors = ItemVectors(model.encoder, model.fingerprint, (model.hashes, model.vectors))
        return cls(settings, store, _fresh(model, store, vectors), vectors)

    @property
    def snapshot(self) -> Snapshot:
        """What answers are made from, brought up to date first."""
        self.refresh(wait=False)
        return self._snapshot

    def refresh(self, wait: bool = True) -> None:
        """Take in what changed in the store, and a newly trained version."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            old = self._snapshot
            folder = saved.current(self.settings.folder)
            if folder is not None and int(folder.name) != old.model.version:
                model = saved.load(folder)
                self.vectors = ItemVectors(model.encoder, model.fingerprint, (model.hashes, model.vectors))
                self._snapshot = _fresh(model, self.store, self.vectors)
                return
            version = self.store.version()
            if version != old.version and self.store.cleared_after(old.version):
                self._snapshot = _fresh(old.model, self.store, self.vectors)
            elif version != old.version:
                items = self.store.items(old.version, version)
                events = self.store.events(old.version, version)
                self._snapshot = updated(old, items, events, version, self.vectors)
        finally:
            self._lock.release()

    def score(
        self,
        candidates: Sequence[str],
        user: str | None = None,
        *,
        history: Sequence[str] | None = None,
        interest: str | None = None,
        weights: Mapping[str, float] | None = None,
        variety: float = 0.0,
        method: Method = "mmr",
        rules: Sequence[Rule] = (),
        explain: int = 20,
    ) -> ScoredList:
        """Rank the caller's ``candidates`` for a user, an ad-hoc ``history`` of item ids or an ``interest`` in words.

        Nothing about the user need be known. ``weights`` set by hand turn the trees off. ``variety`` goes from 0 (the
        ranker's order) to 1 (variety alone); the first ``explain`` rows get reasons. An item listed twice counts once
        and is noted. Raises InputError for an unknown item, an empty list and more than ``max_candidates``.
        """
        started = time.perf_counter()
        if not len(candidates):
            raise InputError("The list of candidates is empty; give at least one item id.")
        if len(candidates) > self.settings.max_candidates:
            raise InputError(
                f"{len(candidates)} candidates in one request; at most {self.settings.max_candidates} are taken "
                "(HEADWATER_RECOMMEND_MAX_CANDIDATES), so send them in parts."
            )
        snapshot = self.snapshot
        once = list(dict.fromkeys(candidates))
        notes = [] if len(once) == len(candidates) else [_repeated(candidates, len(candidates) - len(once))]
        numbers = snapshot.items.numbers_of(once)
        who = self._viewer(snapshot, user, history, interest)
        marked = arrange(snapshot, who, numbers, weights, variety, method, rules, self.settings.variety_depth)
        return listed(snapshot, who, marked, explain, [*notes, *who.notes], started)

    def recommend(
        self,
        user: str | None = None,
        k: int = 10,
        *,
        history: Sequence[str] | None = None,
        interest: str | None = None,
        weights: Mapping[str, float] | None = None,
        variety: float = 0.0,
        method: Method = "mmr",
        rules: Sequence[Rule] = (),
        explain: int = 20,
    ) -> ScoredList:
        """The k best items that the user has not had, from the whole catalogue; otherwise as ``score``."""
        started = time.perf_counter()
        if k < 1:
            raise InputError(f"k = {k}; ask for at least one item.")
        snapshot = self.snapshot
        who = self._viewer(snapshot, user, history, interest)
        free = np.setdiff1d(np.arange(len(snapshot.items)), who.past.items)
        if not free.size:
            raise InputError("The user has had every item; there is nothing left to recommend.")
        depth = max(self.settings.variety_depth, k)
        marked = arrange(snapshot, who, free, weights, variety, method, rules, depth, top=k)
        return listed(snapshot, who, marked, explain, who.notes, started)

    def similar(self, item: str, k: int = 10, basis: Literal["text", "behaviour"] = "text") -> list[dict[str, Any]]:
        """The k items nearest to one by text, or by who engaged with both: ``[{"item", "title", "score"}]``."""
        snapshot = self.snapshot
        number = int(snapshot.items.numbers_of([item], "item")[0])
        if basis == "text":
            scores = snapshot.vectors @ snapshot.vectors[number]
        else:
            knn = next((s for s in snapshot.hybrid.features.sources if s.name == "item-knn"), None)
            if knn is None:
                raise InputError("This version has no item-kNN; ask for neighbours by text.")
            scores = np.asarray(knn.similarities[[number]].toarray())[0]  # type: ignore[attr-defined]
        return self._best(snapshot, np.asarray(scores, dtype=np.float32), k, exclude=number)

    def search(self, query: str, k: int = 10) -> list[dict[str, Any]]:
        """Items whose text means what the query says."""
        if not query.strip():
            raise InputError("The query is blank; say what you are looking for.")
        snapshot = self.snapshot
        return self._best(snapshot, snapshot.vectors @ self._interest(snapshot, query), k)

    def upsert_items(self, items: Items, note: str = "") -> Change:
        """Add or replace items; they can be scored when this returns."""
        change = self.store.upsert_items(items, note)
        self.refresh()
        return change

    def append_events(self, events: Events, note: str = "") -> Change:
        """Add events of known items; users' vectors and counts follow at once, nothing is learnt again.

        Raises InputError for an unknown item and for more than ``max_events``.
        """
        if len(events) > self.settings.max_events:
            raise InputError(
                f"{len(events)} events in one request; at most {self.settings.max_events} are taken "
                "(HEADWATER_RECOMMEND_MAX_EVENTS), so send them in parts."
            )
        self.snapshot.items.numbers_of(events.frame["item"].tolist(), "events")
        change = self.store.append_events(events, note)
        self.refresh()
        return change

    def profile(self, user: str, recent: int = 20) -> dict[str, Any]:
        """``{"user", "known", "events", "recent": [{"item", "title", "strength", "time"}]}``, the newest first."""
        snapshot = self.snapshot
        number = snapshot.users.get(user)
        if number is None:
            return {"user": user, "known": False, "events": 0, "recent": []}
        items, times, strengths = snapshot.histories.of(number)
        titles = snapshot.items.frame["title"]
        rows = [
            {
                "item": snapshot.items.ids[item],
                "title": titles.iloc[item],
                "strength": round(float(strength), 3),
                "time": datetime.fromtimestamp(moment, UTC).isoformat(),
            }
            for item, moment, strength in zip(
                items[::-1][:recent].tolist(), times[::-1][:recent].tolist(), strengths[::-1][:recent], strict=True
            )
        ]
        return {"user": user, "known": True, "events": len(items), "recent": rows}

    def status(self) -> dict[str, Any]:
        """What is loaded and trained, for pages and probes."""
        snapshot = self.snapshot
        told = {name: snapshot.model.told[name] for name in ("time", "items", "events", "users", "encoder", "ranker")}
        return {
            "model": snapshot.model.version,
            "data": snapshot.version,
            "items": len(snapshot.items),
            "users": len(snapshot.users),
            "events": int(len(snapshot.histories.items)),
            "trained": told,
            "features": list(snapshot.names),
        }

    def _viewer(
        self, snapshot: Snapshot, user: str | None, history: Sequence[str] | None, interest: str | None
    ) -> Viewer:
        vector = None if interest is None else self._interest(snapshot, interest)
        return viewer(snapshot, user, history, vector, self.settings.warm_from)

    def _interest(self, snapshot: Snapshot, text: str) -> Any:
        if not text.strip():
            raise InputError("The interest is blank; describe it in a few words or leave it out.")
        from verticals.recommend.taste import centred

        return centred(self.vectors.query([text]), snapshot.mean)[0]

    def _best(self, snapshot: Snapshot, scores: Any, k: int, exclude: int | None = None) -> list[dict[str, Any]]:
        if k < 1:
            raise InputError(f"k = {k}; ask for at least one item.")
        out = np.zeros((1, len(scores)), dtype=bool)
        if exclude is not None:
            out[0, exclude] = True
        numbers, values = top_k(scores[None], k, out)
        titles = snapshot.items.frame["title"]
        return [
            {"item": snapshot.items.ids[n], "title": titles.iloc[n], "score": round(float(value), 4)}
            for n, value in zip(numbers[0].tolist(), values[0].tolist(), strict=True)
            if np.isfinite(value)
        ]


def _fresh(model: saved.Saved, store: Store, vectors: ItemVectors) -> Snapshot:
    version = store.version()
    items = store.items(until=version)
    if items is None:
        raise InputError("There are no items yet; load some: headwater recommend load --items FILE --events FILE.")
    return make_snapshot(model, items, store.events(until=version), version, vectors)


def _repeated(candidates: Sequence[str], count: int) -> str:
    seen: set[str] = set()
    first = next(name for name in candidates if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return f"{count} candidates were listed more than once ({first!r} first) and count once."
