"""Apply checked rules to the scores of one list and measure what they cost."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from verticals.recommend.diversity import unit_scores
from verticals.recommend.histories import Floats, Ints
from verticals.recommend.items import Items
from verticals.recommend.rules import Rule, Ruled, check_rules, matching


def apply_rules(scores: Floats, candidates: Ints, items: Items, rules: Sequence[Rule], k: int) -> Ruled:
    """The first k places under the rules: exclusions, then boosts, then pins, quotas and caps place by place.

    ``scores`` [c] of the item numbers ``candidates`` [c]; -inf leaves an item out. Each place takes the best item
    that breaks no cap and leaves enough places for the quotas. Raises InputError for contradictory rules and for
    candidates listed twice.
    """
    candidates = np.asarray(candidates, dtype=np.int64)
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != candidates.shape or np.isnan(values).any():
        raise InputError(f"rules: {len(candidates)} candidates need {len(candidates)} scores that are numbers.")
    if len(np.unique(candidates)) != len(candidates):
        raise InputError("rules: a candidate is listed twice; list each item once.")
    check_rules(rules, items)
    members = [matching(rule, items)[candidates] for rule in rules]
    plain = unit_scores(values)
    allowed = np.isfinite(values)
    changed = plain.copy()
    names: list[list[str]] = [[] for _ in candidates]
    for rule, member in zip(rules, members, strict=True):
        if rule.kind == "exclude":
            allowed &= ~member
        elif rule.kind in ("boost", "bury"):
            changed[member] += rule.by if rule.kind == "boost" else -rule.by
            for place in np.flatnonzero(member):
                names[place].append(rule.label)
    picker = _Picker(rules, members, changed, allowed, items.categories[1][candidates], candidates, items)
    order = picker.fill(min(k, int(allowed.sum())))
    for chosen, label in picker.reasons:
        if label not in names[chosen]:
            names[chosen].append(label)
    before = np.argsort(-np.where(np.isfinite(values), plain, -np.inf), kind="stable")[: len(order)]
    ndcg, loss = _cost(plain, before, order)
    applied = tuple(tuple(names[place]) for place in order)
    return Ruled(order, changed[order], applied, ndcg, loss, tuple(picker.unmet(order)))


class _Picker:
    """Fills the places of one list from the top."""

    def __init__(
        self,
        rules: Sequence[Rule],
        members: Sequence[NDArray[np.bool_]],
        scores: Floats,
        allowed: NDArray[np.bool_],
        categories: Ints,
        candidates: Ints,
        items: Items,
    ) -> None:
        paired = list(zip(rules, members, strict=True))
        self.quotas = [pair for pair in paired if pair[0].kind == "quota"]
        self.caps = [pair for pair in paired if pair[0].kind == "cap"]
        self.pins: dict[int, tuple[int, str]] = {}
        self.absent: list[str] = []
        for rule, member in paired:
            if rule.kind == "pin" and rule.position is not None:
                at = np.flatnonzero(member & allowed)
                if at.size:
                    self.pins[rule.position - 1] = (int(at[0]), rule.label)
                else:
                    self.absent.append(f"{rule.label}: item {rule.ids[0]} is not among the candidates")
        self.scores, self.allowed, self.categories = scores, allowed.copy(), categories
        for place, _ in self.pins.values():
            self.allowed[place] = False  # a pinned item waits for its place
        self.chosen: list[int] = []
        self.reasons: list[tuple[int, str]] = []

    def fill(self, k: int) -> Ints:
        while len(self.chosen) < k:
            pinned = self.pins.pop(len(self.chosen), None)
            if pinned is not None:
                self._take(pinned[0], pinned[1])
                continue
            free = self.allowed & ~self._capped()
            forced = self._forced(free)
            if forced is not None:
                rule, member = forced
                best_free = self._best(free)
                free = free & member
                place = self._best(free)
                self._take(place, rule.label if place != best_free else None)
            elif free.any():
                first = self._best(self.allowed)
                place = self._best(free)
                self._take(place, None)
                if place != first:
                    self.reasons += [(place, rule.label) for rule, _ in self.caps if self._full(rule, first)]
            elif self.pins:
                # Nothing else may stand here: the next pinned item moves up.
                at = min(self.pins)
                self._take(*self.pins.pop(at))
            else:
                break
        return np.array(self.chosen, dtype=np.int64)

    def unmet(self, order: Ints) -> list[str]:
        told = list(self.absent)
        for rule, member in self.quotas:
            there = int(member[order[: rule.top]].sum())
            if there < min(rule.count or 0, len(order)):
                told.append(f"{rule.label}: {there} of {rule.count} places filled")
        for rule, _ in self.caps:
            if any(
                self._count(rule, place, order[: rule.top].tolist()) > (rule.count or 0) for place in order[: rule.top]
            ):
                told.append(f"{rule.label}: pins break the cap")
        return told

    def _take(self, place: int, label: str | None) -> None:
        self.chosen.append(place)
        self.allowed[place] = False
        if label is not None:
            self.reasons.append((place, label))

    def _best(self, free: NDArray[np.bool_]) -> int:
        return int(np.argmax(np.where(free, self.scores, -np.inf)))

    def _members(self, rule: Rule, place: int) -> NDArray[np.bool_]:
        member = next(m for r, m in self.caps if r is rule)
        return member & (self.categories == self.categories[place]) if rule.each_category else member

    def _count(self, rule: Rule, place: int, chosen: Sequence[int]) -> int:
        member = self._members(rule, place)
        return int(member[list(chosen)].sum()) if member[place] else 0

    def _full(self, rule: Rule, place: int) -> bool:
        """Whether a cap forbids this item now; items pinned below it count already."""
        if len(self.chosen) >= rule.top:
            return False
        waiting = [item for at, (item, _) in self.pins.items() if at < rule.top]
        member = self._members(rule, place)
        return bool(member[place]) and int(member[[*self.chosen, *waiting]].sum()) >= (rule.count or 0)

    def _capped(self) -> NDArray[np.bool_]:
        blocked = np.zeros(len(self.scores), dtype=bool)
        for rule, member in self.caps:
            groups = np.unique(self.categories[member]) if rule.each_category else [None]
            for group in groups:
                inside = member if group is None else member & (self.categories == group)
                if inside.any() and self._full(rule, int(np.argmax(inside))):
                    blocked |= inside
        return blocked

    def _forced(self, free: NDArray[np.bool_]) -> tuple[Rule, NDArray[np.bool_]] | None:
        """The quota that must be served now, because the places left are just enough."""
        for rule, member in sorted(self.quotas, key=lambda pair: pair[0].top):
            here = len(self.chosen)
            if here >= rule.top:
                continue
            waiting = [(at, item) for at, (item, _) in self.pins.items() if at < rule.top]
            have = int(member[self.chosen].sum()) + sum(bool(member[item]) for _, item in waiting)
            others = self._other_needs(rule, member)
            places = rule.top - here - len(waiting) - others
            missing = (rule.count or 0) - have
            if missing > 0 and places <= missing and (free & member).any():
                return rule, member
        return None

    def _other_needs(self, rule: Rule, member: NDArray[np.bool_]) -> int:
        """Places that quotas over other items still need within the reach of this one."""
        needed = 0
        for other, theirs in self.quotas:
            if other is not rule and other.top <= rule.top and not (theirs & member).any():
                waiting = [item for at, (item, _) in self.pins.items() if at < other.top]
                have = int(theirs[[*self.chosen, *waiting]].sum()) if (self.chosen or waiting) else 0
                needed += max(0, (other.count or 0) - have)
        return needed


def _cost(plain: Floats, before: Ints, after: Ints) -> tuple[float, float]:
    gains = np.maximum(plain, 0.0)
    discounts = 1 / np.log2(np.arange(2, len(after) + 2))
    best = float((gains[before] * discounts).sum())
    if best <= 0:
        return 1.0, 0.0
    total = float(gains[before].sum())
    return float((gains[after] * discounts).sum()) / best, 1 - float(gains[after].sum()) / total
