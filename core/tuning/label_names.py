"""What the labels are called, as a starting point for few examples: names say much when eight examples say little.

The words of each label are embedded like a text. A head is drawn to them as to a prior mean, which is what a linear
classifier made of text vectors becomes when examples arrive (zero-shot weights as the point of regularisation, as in
CLAP, Silva-Rodríguez et al. 2024, https://arxiv.org/abs/2312.12730); how strongly, the examples themselves decide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from core.data.label_words import describe
from core.tuning.artifact import Built
from core.tuning.inference import run
from core.tuning.probe import fit_head
from core.tuning.recipe import Recipe

TEMPLATES = ("{}", "This text is about {}.", "{}: a typical example")
STRENGTHS = (0.0, 5.0, 10.0, 20.0, 30.0)
TEMPERATURES = np.geomspace(0.1, 10, 25)
ROUGH = 25  # iterations that tell the strengths apart
MOST_ROWS = 2000  # with more examples than this the names have nothing to add

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Names:
    """Each label in words, in every template: c · t texts, label after label."""

    words: tuple[str, ...]
    templates: tuple[str, ...] = TEMPLATES

    @classmethod
    def of(cls, labels: Sequence[str], descriptions: Mapping[str, str]) -> "Names":
        """The labels' descriptions, or their names."""
        return cls(tuple(describe(label, descriptions) for label in labels))

    @property
    def texts(self) -> list[str]:
        """What is embedded."""
        return [template.format(word) for word in self.words for template in self.templates]

    def prior(self, built: Built, recipe: Recipe) -> Floats:
        """One direction per label [c, d]: the mean over templates at length 1, less what all labels share."""
        vectors = run(
            built.model,
            built.tokenizer,
            self.texts,
            None,
            recipe.training.max_length,
            prefix=built.base.query_prefix,
        )
        mean = _unit(_unit(vectors).reshape(len(self.words), len(self.templates), -1).mean(1))
        return np.asarray(mean - mean.mean(0, keepdims=True), dtype=np.float32)


def strength(features: Floats, targets: NDArray[np.int64], prior: Floats, seed: int = 0) -> float:
    """How far the head should start towards ``prior`` [c, d]: the best of STRENGTHS by cross-validated log-loss.

    The loss is taken at each strength's own best temperature: a longer prior makes a regularised head surer of itself,
    which with many labels would pass for knowledge. ``features`` [n, d] must come from an encoder that has not seen the
    labels. 0 when the names do not help, as for labels called "1" and "2", or when a label has a single example or
    there are very many.
    """
    counts = np.bincount(targets, minlength=len(prior))
    if counts[counts > 0].min() < 2 or len(targets) > MOST_ROWS:
        return 0.0
    folds = StratifiedKFold(int(min(5, counts[counts > 0].min())), shuffle=True, random_state=seed)
    logits = {value: torch.empty(len(targets), len(prior)) for value in STRENGTHS}
    for known, asked in folds.split(features, targets):
        for value in STRENGTHS:
            # Left as it comes, since it is fitted: no random number is drawn, so training stays what it was.
            head: Any = torch.nn.utils.skip_init(torch.nn.Linear, features.shape[1], len(prior))
            start = torch.from_numpy(prior * value)
            rows, labels = torch.from_numpy(features[known]), torch.from_numpy(targets[known])
            fit_head(head, rows, labels, prior=start, iterations=ROUGH)
            with torch.no_grad():
                logits[value][asked] = head(torch.from_numpy(features[asked]))
    truth = torch.from_numpy(targets)
    losses = {
        value: min(float(F.cross_entropy(found / temperature, truth)) for temperature in TEMPERATURES)
        for value, found in logits.items()
    }
    return min(losses, key=lambda value: losses[value])


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
