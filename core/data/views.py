"""A second view of a text without labels: the same text with some of its words left out."""

import hashlib
import re

import numpy as np
import pandas as pd

from core.data.keys import normalise

HELD_OUT = 0.5  # in the views that judge, whatever the training views leave out: figures of two recipes compare

_SIGNS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # written without spaces: each counts as a word
_WORD = re.compile(rf"\s*(?:[{_SIGNS}]|[^\s{_SIGNS}]+)")


def without_words(text: str, share: float, seed: int) -> str:
    """``text`` without about ``share`` of its words, at least one of which stays.

    Which words go depends on the normalised text and the seed alone, so that repeats of a text have one view.
    """
    words = _WORD.findall(text)
    count = min(round(share * len(words)), len(words) - 1)
    if count < 1:
        return text
    digest = hashlib.blake2b(f"{seed} {normalise(text)}".encode(), digest_size=8).digest()
    kept = np.random.default_rng(int.from_bytes(digest)).choice(len(words), len(words) - count, replace=False)
    return "".join(words[place] for place in sorted(kept)).strip()


def with_views(frame: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """The rows with a ``positive`` beside each ``text``: its view without ``share`` of the words."""
    views = [without_words(text, share, seed) for text in frame["text"].tolist()]
    return frame.assign(positive=pd.Series(views, index=frame.index, dtype="str"))
