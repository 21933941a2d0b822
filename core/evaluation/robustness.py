"""What a classifier is worth when people write otherwise: typos, capitals, other names and numbers, other words."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from core.evaluation import weighted
from core.evaluation.intervals import Interval, bootstrap

Change = Callable[[str, np.random.Generator], str]
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEAR = {
    letter: row[max(0, i - 1) : i] + row[i + 1 : i + 2] for row in _KEYS for i, letter in enumerate(row) if len(row) > 1
}
_SHORT = {
    "do not": "don't",
    "does not": "doesn't",
    "is not": "isn't",
    "are not": "aren't",
    "cannot": "can't",
    "will not": "won't",
    "I am": "I'm",
    "it is": "it's",
    "have not": "haven't",
    "was not": "wasn't",
}
_WORD = re.compile(r"[A-Za-z]{4,}")
_NUMBER = re.compile(r"\d+")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}")
_OTHER_NAMES = ("Avery", "Linden", "Okafor", "Sorano", "Merrick", "Tavish")


@dataclass(frozen=True)
class Robustness:
    """Accuracy on ``n`` changed texts. ``applied``: share of texts that the change touched; ``flipped``: of those,
    how many got another label than before."""

    accuracy: Interval
    applied: float
    flipped: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"accuracy": self.accuracy.to_dict(), "applied": self.applied, "flipped": self.flipped, "n": self.n}


def robustness(
    predict: Callable[[Sequence[str]], Sequence[str]],
    texts: Sequence[str],
    truth: Sequence[str],
    seed: int = 0,
    resamples: int = 1000,
) -> dict[str, Robustness]:
    """Every change of ``CHANGES`` that keeps the meaning, and ``unchanged``; after CheckList (Ribeiro et al. 2020)."""
    names = {label: number for number, label in enumerate(dict.fromkeys(truth))}
    right = np.array([names[label] for label in truth])
    before = list(predict(texts))
    found = {"unchanged": Robustness(_accuracy(right, before, names, resamples, seed), 0.0, 0.0, len(texts))}
    for name, change in CHANGES.items():
        chance = np.random.default_rng([seed, len(name)])
        changed = [change(text, chance) for text in texts]
        touched = [i for i, (old, new) in enumerate(zip(texts, changed, strict=True)) if old != new]
        after = list(before)
        for i, label in zip(touched, predict([changed[i] for i in touched]) if touched else (), strict=True):
            after[i] = label
        flipped = sum(after[i] != before[i] for i in touched) / len(touched) if touched else 0.0
        accuracy = _accuracy(right, after, names, resamples, seed)
        found[name] = Robustness(accuracy, len(touched) / max(1, len(texts)), flipped, len(texts))
    return found


def _accuracy(right: ArrayLike, labels: Sequence[str], names: dict[str, int], resamples: int, seed: int) -> Interval:
    guessed = np.array([names.get(label, -1) for label in labels])
    return bootstrap(weighted.accuracy, [right, guessed], resamples, seed)


def typos(text: str, chance: np.random.Generator) -> str:
    """One slip of the finger in about every fifth longer word: a neighbouring key, or two letters swapped."""

    def slip(match: re.Match[str]) -> str:
        word = match.group()
        if chance.random() > 0.2:
            return word
        place = int(chance.integers(1, len(word) - 1))
        near = _NEAR.get(word[place].lower(), "")
        if near and chance.random() < 0.5:
            letter = str(chance.choice(list(near)))
            return word[:place] + (letter.upper() if word[place].isupper() else letter) + word[place + 1 :]
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]

    return _WORD.sub(slip, text)


def capitals(text: str, chance: np.random.Generator) -> str:
    """All capitals or none."""
    return text.upper() if chance.random() < 0.5 else text.lower()


def numbers(text: str, chance: np.random.Generator) -> str:
    """Other numbers with as many digits."""

    def other(match: re.Match[str]) -> str:
        digits = [str(chance.integers(1, 10)), *(str(d) for d in chance.integers(0, 10, len(match.group()) - 1))]
        return "".join(digits)

    return _NUMBER.sub(other, text)


def people(text: str, chance: np.random.Generator) -> str:
    """Other names in place of capitalised words inside a sentence."""
    return _NAME.sub(lambda match: str(chance.choice(_OTHER_NAMES)), text)


def contractions(text: str, chance: np.random.Generator) -> str:
    """``do not`` as ``don't`` and the other way round: a negation in its other form."""
    for long, short in _SHORT.items():
        if re.search(rf"\b{re.escape(short)}\b", text, re.I):
            return re.sub(rf"\b{re.escape(short)}\b", long, text, flags=re.I)
        if re.search(rf"\b{long}\b", text, re.I):
            return re.sub(rf"\b{long}\b", short, text, flags=re.I)
    return text


def double_negation(text: str, chance: np.random.Generator) -> str:
    """The same said with two negations."""
    return f"It is not untrue that {text[:1].lower() + text[1:]}" if text and not text.rstrip().endswith("?") else text


def courtesy(text: str, chance: np.random.Generator) -> str:
    """Words around the matter that say nothing about it."""
    return f"Hello, a quick one: {text}" if chance.random() < 0.5 else f"{text} Thanks in advance."


CHANGES: dict[str, Change] = {
    "typos": typos,
    "capitals": capitals,
    "numbers": numbers,
    "names": people,
    "negation form": contractions,
    "double negation": double_negation,
    "courtesy": courtesy,
}
"""Changes after which a reader would give the same label."""
