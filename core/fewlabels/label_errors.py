"""Labels that are probably wrong, as a list for people to review: confident learning over out-of-fold probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Suspect:
    """A row whose label is doubted. ``quality``: 0 (surely wrong) to 1; ``suggested`` is the likelier label."""

    row: int
    text: str
    given: str
    suggested: str
    quality: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))


def suspects(
    texts: Sequence[str],
    labels: Sequence[str],
    vectors: NDArray[np.float32],
    folds: int = 5,
    seed: int = 0,
) -> list[Suspect]:
    """Doubtful rows, worst first (Northcutt et al. 2021, https://arxiv.org/abs/1911.00068, through cleanlab).

    ``vectors`` [n, d] are the texts' features; a row is judged by a logistic regression that has not seen it.
    Raises InputError for one label, or one that fewer than two rows carry.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    names = sorted(set(labels))
    index = {name: number for number, name in enumerate(names)}
    given = np.array([index[label] for label in labels])
    probabilities = out_of_fold(given, vectors, names, folds, seed)
    found = find_label_issues(given, probabilities, return_indices_ranked_by="self_confidence")
    quality = get_label_quality_scores(given, probabilities)
    return [
        Suspect(int(row), texts[row], labels[row], names[int(probabilities[row].argmax())], float(quality[row]))
        for row in found
    ]


def out_of_fold(
    given: NDArray[np.int64], vectors: NDArray[np.float32], names: Sequence[str], folds: int = 5, seed: int = 0
) -> Floats:
    """Probabilities [n, c] of each row from a model fitted on the other folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    counts = np.bincount(given, minlength=len(names))
    if len(names) < 2:
        raise InputError("every row has the same label; label errors can only be found between labels.")
    if counts.min() < 2:
        rare = names[int(counts.argmin())]
        raise InputError(f"label {rare!r} has one row; give it more, or leave it out, to look for label errors.")
    splits = StratifiedKFold(min(folds, int(counts.min())), shuffle=True, random_state=seed)
    model = LogisticRegression(C=10.0, max_iter=300)
    return np.asarray(cross_val_predict(model, vectors, given, cv=splits, method="predict_proba"))
