"""Business rules on a ranked list: pin, boost, bury, exclude, quota, cap; what they conflict in and what they cost."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import InputError
from verticals.recommend.histories import Floats, Ints
from verticals.recommend.items import Items

Kind = Literal["pin", "boost", "bury", "exclude", "quota", "cap"]


class Rule(BaseModel):
    """One rule and the items it is for: those with one of ``ids``, ``category``, ``tag``, or a number in a column.

    All given conditions must hold; none at all means every item (for ``cap``). ``pin`` puts one item at ``position``
    (from 1). ``boost`` and ``bury`` add to and take from the score, which lies between 0 and 1 in the list, by
    ``by``. ``quota`` holds at least and ``cap`` at most ``count`` places of the first ``top``; a cap ``each_category``
    counts every category on its own.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    name: str = ""
    ids: tuple[str, ...] = ()
    category: str | None = None
    tag: str | None = None
    column: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    position: int | None = Field(default=None, ge=1)
    by: float = Field(default=0.2, gt=0, le=10, allow_inf_nan=False)
    count: int | None = Field(default=None, ge=0)
    top: int = Field(default=10, ge=1)
    each_category: bool = False

    @model_validator(mode="after")
    def _complete(self) -> "Rule":
        if self.kind == "pin" and (len(self.ids) != 1 or self.position is None):
            raise ValueError("a pin needs exactly one id and a position")
        if self.kind in ("quota", "cap") and self.count is None:
            raise ValueError(f"a {self.kind} needs a count")
        if self.kind == "quota" and (self.count or 0) > self.top:
            raise ValueError(f"a quota of {self.count} cannot fit in the first {self.top}")
        chosen = self.ids or self.category or self.tag or self.column
        if not chosen and self.kind != "cap":
            raise ValueError(f"a {self.kind} needs ids, a category, a tag or a column")
        if self.column and self.at_least is None and self.at_most is None:
            raise ValueError("a column needs at_least or at_most")
        if self.each_category and self.kind != "cap":
            raise ValueError("each_category belongs to a cap")
        return self

    @property
    def label(self) -> str:
        """The name, or what the rule does."""
        what = self.category or self.tag or self.column or ", ".join(self.ids[:3])
        return self.name or f"{self.kind} {what}".strip()


def read_rules(path: str | Path) -> list[Rule]:
    """A JSON list of rules, or TOML with ``[[rules]]``; raises InputError naming the rule and the field."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".toml":
            import tomllib

            given = tomllib.loads(text).get("rules")
        else:
            given = json.loads(text)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as rules ({error}); give a JSON list or TOML with [[rules]]."
        ) from None
    if not isinstance(given, list):
        raise InputError(f"{path} holds no list of rules; give a JSON list or TOML with [[rules]].")
    return parse_rules(given, str(path))


def parse_rules(given: Sequence[Mapping[str, Any]], where: str = "rules") -> list[Rule]:
    """Rules from plain values; raises InputError naming the rule (from 1) and the field."""
    made = []
    for number, values in enumerate(given, start=1):
        try:
            made.append(Rule.model_validate(values))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            said = first["msg"].removeprefix("Value error, ")
            raise InputError(f"{where}, rule {number}{', field ' + field if field else ''}: {said}.") from None
    return made


def matching(rule: Rule, items: Items) -> NDArray[np.bool_]:
    """The items a rule is for, bool [n]; raises InputError for an unknown id or a column that holds no numbers."""
    found = np.ones(len(items), dtype=bool)
    if rule.ids:
        found &= np.isin(np.arange(len(items)), items.numbers_of(rule.ids, f"rule {rule.label!r}"))
    if rule.category is not None:
        found &= (items.frame["category"].str.casefold() == rule.category.casefold()).to_numpy(dtype=bool)
    if rule.tag is not None:
        tag = rule.tag.casefold()
        found &= np.array([any(word.casefold() == tag for word in tags) for tags in items.frame["tags"]], dtype=bool)
    if rule.column is not None:
        if rule.column not in items.numeric:
            known = ", ".join(items.numeric) or "none"
            raise InputError(f"rule {rule.label!r}: column {rule.column!r} holds no numbers; those that do: {known}.")
        values = items.numeric[rule.column]
        low, high = (
            end if end is not None else sign * np.inf for end, sign in ((rule.at_least, -1), (rule.at_most, 1))
        )
        found &= np.nan_to_num((values >= low) & (values <= high)).astype(bool)
    return found


def check_rules(rules: Sequence[Rule], items: Items) -> None:
    """Raise InputError for rules that cannot hold together: pins, quotas and caps against each other."""
    members = [matching(rule, items) for rule in rules]
    pins = [rule for rule in rules if rule.kind == "pin"]
    for what, counts in (
        ("position", Counter(str(rule.position) for rule in pins)),
        ("item", Counter(rule.ids[0] for rule in pins)),
    ):
        for value, count in counts.items():
            if count > 1:
                raise InputError(f"rules: {count} pins are for {what} {value}; keep one of them.")
    for a, rule in enumerate(rules):
        for b, other in enumerate(rules):
            both = members[a] & members[b]
            names = f"rules {rule.label!r} and {other.label!r}"
            if rule.kind == "pin" and other.kind == "exclude" and both.any():
                raise InputError(f"{names}: item {rule.ids[0]} is pinned and excluded; remove one of the two.")
            if rule.kind == "boost" and other.kind == "bury" and both.any():
                raise InputError(f"{names}: item {items.ids[int(np.argmax(both))]} is boosted and buried; narrow one.")
            if rule.kind == "quota" and other.kind == "cap" and not other.each_category:
                inside = bool((members[a] & ~members[b]).sum() == 0)
                if inside and (rule.count or 0) > (other.count or 0) and other.top >= rule.top:
                    raise InputError(f"{names}: at least {rule.count} and at most {other.count}; change one of them.")
    excluded = np.any([m for m, rule in zip(members, rules, strict=True) if rule.kind == "exclude"], axis=0)
    for number, rule in enumerate(rules):
        available = int((members[number] & ~excluded).sum())
        if rule.kind == "quota" and available < (rule.count or 0):
            raise InputError(f"rule {rule.label!r}: {rule.count} places, but only {available} items can fill them.")
    for top in {rule.top for rule in rules if rule.kind == "quota"}:
        _check_room(rules, members, top, len(items))


def _check_room(rules: Sequence[Rule], members: Sequence[NDArray[np.bool_]], top: int, n: int) -> None:
    """Quotas over items that do not overlap, and pins outside them, must fit in the first places together."""
    quotas = [(rule, member) for rule, member in zip(rules, members, strict=True) if rule.kind == "quota"]
    quotas = [(rule, member) for rule, member in quotas if rule.top <= top]
    taken, needed = np.zeros(n, dtype=bool), 0
    for rule, member in quotas:
        if not (taken & member).any():
            taken, needed = taken | member, needed + (rule.count or 0)
    pinned = [(rule, member) for rule, member in zip(rules, members, strict=True) if rule.kind == "pin"]
    needed += sum(1 for rule, member in pinned if (rule.position or 0) <= top and not (taken & member).any())
    if needed > top:
        raise InputError(f"rules: quotas and pins ask for {needed} of the first {top} places; lower a quota.")


@dataclass(frozen=True)
class Ruled:
    """A list under rules: ``order`` are positions in the given list, ``applied`` names the rules of each place.

    ``ndcg`` compares with the order without rules, gains being the 0–1 scores; ``score_loss`` is the share of the
    first places' score that the rules cost; ``unmet`` tells of rules that this list of candidates could not meet.
    """

    order: Ints
    scores: Floats
    applied: tuple[tuple[str, ...], ...]
    ndcg: float
    score_loss: float
    unmet: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """``{"ndcg", "score_loss", "unmet", "applied"}``; plain values for JSON."""
        applied = [list(names) for names in self.applied]
        return {"ndcg": self.ndcg, "score_loss": self.score_loss, "unmet": list(self.unmet), "applied": applied}
