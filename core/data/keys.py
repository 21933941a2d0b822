"""When two rows say the same: normalised texts, folded labels, and the keys built from them."""

import re
import unicodedata
from collections.abc import Iterable

import pandas as pd

from core.data.table import Task, text_columns

# Columns whose joint text must not sit in two parts. A query may meet new documents in the test part,
# but a matching text or a prompt that was trained on gives its answer away whatever stands beside it.
_IDENTITY: dict[str, tuple[str, ...]] = {"matching": ("text",), "generation": ("prompt",)}

# Folded to a space and not removed, so that "-1" and "1" stay two labels.
_SEPARATORS = re.compile(r"[\s_\-]+")


def normalise(text: str) -> str:
    """NFKC, case folded, white space collapsed: equal results count as the same text."""
    # Folding can undo the composition (and the other way round), hence the second NFKC.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def fold_label(label: str) -> str:
    """The form in which spellings of one label are equal: case, outer space, ``_``, ``-`` and space apart."""
    return _SEPARATORS.sub(" ", normalise(label))


def text_keys(frame: pd.DataFrame, task: Task) -> pd.Series:
    """One key per row: the normalised text that identifies it (pairs and ranking: both texts)."""
    names = _IDENTITY.get(task) or text_columns(task, frame.columns)
    columns = [[normalise(text) for text in frame[name].tolist()] for name in names]
    if len(columns) == 1:
        return pd.Series(columns[0], index=frame.index, dtype=object)
    return pd.Series(list(zip(*columns, strict=True)), index=frame.index, dtype=object)


def label_keys(labels: pd.Series, multi_label: bool) -> pd.Series:
    """One hashable key per label or set of labels."""
    if not multi_label:
        return labels
    return pd.Series([tuple(sorted(set(names))) for names in labels], index=labels.index, dtype=object)


def label_counts(labels: Iterable[str | list[str]], multi_label: bool) -> dict[str, int]:
    """How many rows carry each label, in order of first appearance."""
    counts: dict[str, int] = {}
    for value in labels:
        for name in dict.fromkeys(value) if multi_label else (value,):
            counts[str(name)] = counts.get(str(name), 0) + 1
    return counts


def strata(labels: pd.Series, multi_label: bool) -> pd.Series:
    """The class by which a row is stratified: its label, or of several labels the one rarest in ``labels``.

    Taking the rarest is an approximation of iterative stratification (Sechidis et al., 2011): scarce labels
    are spread exactly, frequent ones on average. A row without any label is a class of its own.
    """
    if not multi_label:
        return labels.astype(object)
    counts = label_counts(labels, multi_label=True)
    rarest = [min(names, key=lambda name: (counts[name], name)) if len(names) else "" for names in labels]
    return pd.Series(rarest, index=labels.index, dtype=object)
