"""Seeded splits. Rows that say the same never part, whatever the kind of split by chance.

Chance works on units: rows of the same normalised text (classification: text and its pair; matching: text;
ranking: query, so that a query's candidates stay together; generation: prompt), or of the same group. The
outcome depends on the order of the rows and the seed, never on the index. Frames come back in their old order
with a fresh index.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from core.data.keys import label_counts, normalise, strata
from core.errors import InputError

How = Literal["stratified", "grouped", "temporal"]
_GROUP_TRIES = 16


def split(frame: pd.DataFrame, fraction: float, how: How, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut about ``fraction`` of the rows off: ``(rest, held_out)``.

    stratified: each class gives its share, and keeps at least one unit in ``rest``, so a class with one
    example stays there; grouped: no value of ``group`` is on both sides; temporal: the latest rows by
    ``time`` are held out (equal times by row order). ``held_out`` is empty only when nothing can be spared.
    """
    if not 0 < fraction < 1:
        raise InputError(f"a fraction of {fraction} cannot be held out; give a number between 0 and 1.")
    if how == "temporal":
        order = _by_time(frame)
        n_held = min(max(round(fraction * len(frame)), 1), len(frame) - 1) if len(frame) else 0
        return _parts(frame, order[len(frame) - n_held :])
    units = _units(frame, how)
    if how == "grouped":
        return _parts(frame, _held_groups(frame, units, fraction, seed))
    classes = _unit_classes(frame, units)
    held_units = _held_units(classes, fraction, np.random.default_rng(seed))
    held = np.flatnonzero(np.isin(units, held_units))
    return _parts(frame, _give_back_lost_labels(frame, units, held))


def folds(frame: pd.DataFrame, k: int, how: How, seed: int) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """``k`` pairs ``(train, held_out)`` for cross-validation.

    stratified and grouped: each row is held out once (a class with one example never); temporal: the training
    rows are always earlier than the held-out ones and grow (scikit-learn's TimeSeriesSplit).
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

    if k < 2:
        raise InputError(f"{k} folds cannot be made; give at least 2.")
    if how == "temporal":
        order = _by_time(frame)
        if len(frame) <= k:
            raise InputError(f"{k} temporal folds need more than {k} rows; there are {len(frame)}.")
        return [
            (_take(frame, order[train]), _take(frame, order[held]))
            for train, held in TimeSeriesSplit(n_splits=k).split(order)
        ]
    units = _units(frame, how)
    n_units = int(units.max()) + 1 if len(units) else 0
    if n_units < k:
        kind = "groups" if how == "grouped" else "distinct texts"
        raise InputError(f"{k} folds need at least {k} {kind}; there are {n_units}.")
    if how == "grouped":
        splitter = GroupKFold(n_splits=k, shuffle=True, random_state=seed)
        return [_parts(frame, held) for _, held in splitter.split(np.zeros(len(frame)), groups=units)]
    classes = _unit_classes(frame, units)
    sizes = np.bincount(classes)
    movable = np.flatnonzero(sizes[classes] > 1)
    if len(movable) < k:
        raise InputError(f"{k} folds need at least {k} rows in classes with two examples; there are {len(movable)}.")
    chosen: KFold | StratifiedKFold
    if sizes.max() >= k:
        chosen = StratifiedKFold(n_splits=k, shuffle=True, random_state=seed)
    else:
        # No class can be in every fold: scikit-learn refuses to stratify, and chance does as well.
        chosen = KFold(n_splits=k, shuffle=True, random_state=seed)
    return [
        _parts(frame, _give_back_lost_labels(frame, units, np.flatnonzero(np.isin(units, movable[held]))))
        for held in _quiet_split(chosen, movable, classes[movable])
    ]


def limit_per_class(frame: pd.DataFrame, limit: int, seed: int) -> pd.DataFrame:
    """At most ``limit`` rows of each class (with several labels: of the rarest), drawn with the seed."""
    classes = strata(frame["label"], _is_multi_label(frame)).to_numpy()
    drawn = np.random.default_rng(seed).permutation(len(frame))
    rank = pd.Series(classes[drawn]).groupby(classes[drawn], sort=False).cumcount().to_numpy()
    return _take(frame, np.sort(drawn[rank < limit]))


def _take(frame: pd.DataFrame, positions: np.ndarray) -> pd.DataFrame:
    return frame.iloc[positions].reset_index(drop=True)


def _parts(frame: pd.DataFrame, held: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    chosen = np.zeros(len(frame), dtype=bool)
    chosen[held] = True
    return _take(frame, np.flatnonzero(~chosen)), _take(frame, np.flatnonzero(chosen))


def _by_time(frame: pd.DataFrame) -> np.ndarray:
    if "time" not in frame.columns:
        raise InputError('a temporal split needs a time column; name it with time = "…" under [data].')
    return np.argsort(frame["time"].to_numpy(), kind="stable")


def _units(frame: pd.DataFrame, how: How) -> np.ndarray:
    """A number per row, equal for rows that must stay together, in order of first appearance."""
    if how == "grouped":
        if "group" not in frame.columns:
            raise InputError('a grouped split needs a group column; name it with group = "…" under [data].')
        return np.asarray(pd.factorize(frame["group"])[0])
    names: Sequence[str] = [name for name in ("query", "prompt", "text") if name in frame.columns][:1]
    if "text_pair" in frame.columns:
        names = ("text", "text_pair")
    texts = [[normalise(text) for text in frame[name].tolist()] for name in names]
    return np.asarray(pd.factorize(pd.Series(list(zip(*texts, strict=True)), dtype=object))[0])


def _is_multi_label(frame: pd.DataFrame) -> bool:
    return len(frame) > 0 and isinstance(frame["label"].iloc[0], list | tuple)


def _has_classes(frame: pd.DataFrame) -> bool:
    return "text" in frame.columns and "label" in frame.columns


def _unit_classes(frame: pd.DataFrame, units: np.ndarray) -> np.ndarray:
    """The class number of each unit (that of its first row); one class for tasks without labels."""
    _, first = np.unique(units, return_index=True)
    if not _has_classes(frame):
        return np.zeros(len(first), dtype=int)
    classes = strata(frame["label"], _is_multi_label(frame)).to_numpy()
    return np.asarray(pd.factorize(classes[first])[0])


def _held_units(classes: np.ndarray, fraction: float, random: np.random.Generator) -> np.ndarray:
    """Units to hold out: every class's share by largest remainder, ties by chance, one of each class left.

    scikit-learn's StratifiedShuffleSplit refuses classes with one member and held-out parts smaller than the
    number of classes; small labelled sets have both.
    """
    sizes = np.bincount(classes)
    spare = sizes - 1
    wanted = min(max(round(fraction * len(classes)), 1), int(spare.sum()))
    share = sizes * (wanted / max(len(classes), 1))
    taken = np.minimum(np.floor(share).astype(int), spare)
    while taken.sum() < wanted:
        remainder = np.where(taken < spare, share - taken, -math.inf)
        best = np.flatnonzero(remainder == remainder.max())
        taken[random.choice(best)] += 1
    held = [random.permutation(np.flatnonzero(classes == c))[: taken[c]] for c in range(len(sizes)) if taken[c]]
    return np.concatenate(held) if held else np.array([], dtype=int)


def _held_groups(frame: pd.DataFrame, units: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Of several seeded draws, the one whose rest keeps most classes, then closest in size."""
    from sklearn.model_selection import GroupShuffleSplit

    if len(np.unique(units)) < 2:
        raise InputError("a grouped split needs at least two groups; check the group column.")
    n_groups = len(np.unique(units))
    n_held = min(max(round(fraction * n_groups), 1), n_groups - 1)
    splitter = GroupShuffleSplit(n_splits=_GROUP_TRIES, test_size=n_held, random_state=seed)
    codes = np.zeros(len(frame), dtype=int)
    if _has_classes(frame):
        codes = pd.factorize(strata(frame["label"], _is_multi_label(frame)))[0]

    def loss(held: np.ndarray) -> tuple[int, float]:
        kept = len(np.unique(np.delete(codes, held)))
        return -kept, abs(len(held) - fraction * len(frame))

    return np.asarray(min((held for _, held in splitter.split(codes, groups=units)), key=loss))


def _give_back_lost_labels(frame: pd.DataFrame, units: np.ndarray, held: np.ndarray) -> np.ndarray:
    """With several labels per row, return units to the rest until it has every label again."""
    if not (_has_classes(frame) and _is_multi_label(frame)):
        return held
    labels = frame["label"].tolist()
    out = set(held.tolist())
    kept = label_counts((labels[i] for i in range(len(labels)) if i not in out), multi_label=True)
    for position in held:
        if position in out and any(name not in kept for name in labels[position]):
            together = np.flatnonzero(units == units[position]).tolist()
            out.difference_update(together)
            for other in together:
                kept.update(dict.fromkeys(labels[other], 1))
    return np.array(sorted(out), dtype=int)


def _quiet_split(splitter: object, units: np.ndarray, classes: np.ndarray) -> list[np.ndarray]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes smaller than k are spread over some of the folds
        return [held for _, held in splitter.split(units, classes)]  # type: ignore[attr-defined]
