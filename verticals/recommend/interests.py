"""The interest model: the core's matching task on behaviour, so that items engaged with one after another lie close.

A row pairs the text of a past item with that of a later one of the same user; rows are drawn by event weight and
recency, so that a purchase teaches more than a view. The loss takes every known pair of a batch for a positive and
corrects for popularity (``training.known_pairs``, ``training.popularity_correction``); items that were shown beside the
later one and left alone come in as true negatives. A user's vector is then attention over the vectors of recent items
(``verticals.recommend.taste``): it follows each event, and a new item needs nothing but its text.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.errors import InputError
from core.settings import PROJECT_ROOT, Settings, get_settings
from verticals.recommend.behaviour import Events
from verticals.recommend.histories import Floats, Histories, Ints
from verticals.recommend.items import Items

if TYPE_CHECKING:
    from core.model_folder import TunedModel
    from core.tuning.recipe import Recipe

RECIPE = PROJECT_ROOT / "data" / "recommend" / "interest.toml"


@dataclass(frozen=True)
class PairDraw:
    """``rows`` pairs are drawn from up to ``window`` events apart; the weight of a pair halves every ``half_life``."""

    rows: int = 20_000
    window: int = 10
    half_life: float = 5.0
    held_out: int = 400
    seed: int = 0


@dataclass(frozen=True)
class Pairs:
    """Tables with the columns text, positive and, where impressions are logged, negative."""

    train: pd.DataFrame
    validation: pd.DataFrame


def draw_pairs(
    items: Items,
    past: Histories,
    events: Events | None = None,
    users: dict[str, int] | None = None,
    draw: PairDraw | None = None,
) -> Pairs:
    """Pairs of texts from the histories; the last event of up to ``held_out`` users makes the validation rows.

    ``events`` with impressions and the ``users`` of the histories add negatives. Raises InputError when no user has
    two events.
    """
    draw = draw or PairDraw()
    random = np.random.default_rng(draw.seed)
    source, target, weight, user, last = _candidates(past, draw)
    if not len(source):
        raise InputError("No user has two events, so there is nothing to learn what follows what; load more behaviour.")
    ending = np.flatnonzero(last)
    kept_out = random.choice(ending, min(draw.held_out, len(ending) // 2), replace=False)
    # All pairs that lead to a held-out event go with it.
    out = np.isin(user, user[kept_out]) & _is_last_target(past, user, target)
    rest = np.flatnonzero(~out)
    if not rest.size:
        rest, kept_out = np.arange(len(source)), ending[:1]
    chosen = random.choice(rest, draw.rows, p=weight[rest] / weight[rest].sum())
    texts = np.array(items.texts, dtype=object)
    train = pd.DataFrame({"text": texts[source[chosen]], "positive": texts[target[chosen]]})
    left = _left_alone(items, events, users)
    if left:
        negatives = _negatives(random, left, user[chosen], target[chosen], source[chosen], len(items))
        train["negative"] = texts[negatives]
    validation = pd.DataFrame({"text": texts[source[kept_out]], "positive": texts[target[kept_out]]})
    if left:
        some = _negatives(random, left, user[kept_out], target[kept_out], source[kept_out], len(items))
        validation["negative"] = texts[some]
    return Pairs(train, validation)


def interest_recipe(pairs: Pairs, folder: Path, path: Path = RECIPE, overrides: dict[str, Any] | None = None) -> Any:
    """The recipe of ``path`` on these pairs, which are written to ``folder``; ``overrides`` are ``{"a.b": value}``."""
    import tomllib

    from core.tuning.recipe import Recipe

    folder.mkdir(parents=True, exist_ok=True)
    values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    names = {"train": pairs.train, "validation": pairs.validation}
    for name, table in names.items():
        waiting = folder / f".{name}.new"
        table.to_parquet(waiting, index=False)
        waiting.replace(folder / f"{name}.parquet")
    data = {"checks": {"duplicates": "keep", "leakage": "report"}, **values.get("data", {})}
    data |= {name: {"path": str(folder / f"{name}.parquet")} for name in names}
    data.pop("test", None)
    if "negative" in pairs.train:
        data["negative"] = "negative"
    values["data"] = data
    for key, value in (overrides or {}).items():
        *parents, last = key.split(".")
        place = values
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = value
    return Recipe.parse(values, str(path))


def tune_interests(recipe: "Recipe", register: bool = True, settings: Settings | None = None) -> "TunedModel":
    """Tune by the core; a killed run goes on from its last checkpoint when called again with the same data."""
    from core.workflow import tune

    made = tune(recipe, register=register, reuse=True, settings=settings or get_settings())
    if made is None:
        raise InputError("The interest model is tuned by another process of this run; use its version.")
    return made


def _candidates(past: Histories, draw: PairDraw) -> tuple[Ints, Ints, Floats, Ints, Any]:
    """All pairs up to the window apart: source, target, weight, user, and whether the target is the user's last."""
    rows, count = past.rows, len(past.items)
    ages = past.ages
    parts: list[tuple[Any, ...]] = []
    for gap in range(1, min(draw.window, max(count - 1, 0)) + 1):
        same = (rows[gap:] == rows[:-gap]) & (past.items[gap:] != past.items[:-gap])
        first, then = np.flatnonzero(same), np.flatnonzero(same) + gap
        weight = past.strengths[then] * past.strengths[first] * 0.5 ** ((gap - 1) / draw.half_life)
        last = (ages[then] == 0) & (gap == 1)
        parts.append((past.items[first], past.items[then], weight.astype(np.float64), rows[then], last))
    if not parts:
        empty = np.empty(0, dtype=np.int64)
        return empty, empty, empty.astype(np.float64), empty, empty.astype(bool)
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))  # type: ignore[return-value]


def _is_last_target(past: Histories, user: Ints, target: Ints) -> Any:
    final = np.where(past.lengths > 0, past.items[np.maximum(past.starts[1:] - 1, 0)], -1)
    return target == final[user]


def _left_alone(items: Items, events: Events | None, users: dict[str, int] | None) -> dict[tuple[int, int], list[int]]:
    """(user, item engaged with) -> items shown in the same list and never touched by that user."""
    if events is None or users is None or events.shown.empty:
        return {}
    shown = events.shown[events.shown["user"].isin(users) & events.shown["item"].isin(items.positions)]
    touched = set(zip(events.frame["user"], events.frame["item"], strict=True))
    found: dict[tuple[int, int], list[int]] = {}
    for _, part in shown.groupby("impression", sort=False):
        user = part["user"].iloc[0]
        names, clicked = part["item"].tolist(), part["clicked"].astype(bool).tolist()
        rest = [
            items.positions[name]
            for name, hit in zip(names, clicked, strict=True)
            if not hit and (user, name) not in touched
        ]
        if rest:
            for name, hit in zip(names, clicked, strict=True):
                if hit:
                    found.setdefault((users[user], items.positions[name]), []).extend(rest)
    return found


def _negatives(
    random: np.random.Generator,
    left: dict[tuple[int, int], list[int]],
    users: Ints,
    targets: Ints,
    sources: Ints,
    n: int,
) -> Ints:
    """One true negative a row; where none was logged, any other item but the two of the row."""
    found = np.empty(len(targets), dtype=np.int64)
    for row, (user, target, source) in enumerate(zip(users.tolist(), targets.tolist(), sources.tolist(), strict=True)):
        choices = left.get((user, target))
        if choices:
            found[row] = choices[int(random.integers(len(choices)))]
            continue
        pick = int(random.integers(n))
        while pick in (target, source) and n > 2:
            pick = int(random.integers(n))
        found[row] = pick
    return found
