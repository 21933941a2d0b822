"""Which of two classifiers is better on the same rows, and could it be chance?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from core.evaluation import weighted
from core.evaluation.classification import check_probabilities, top_class
from core.evaluation.intervals import PairedResult, paired_bootstrap


@dataclass(frozen=True)
class Comparison:
    """Model a against model b on n rows; differences are a minus b.

    ``mcnemar_p`` is the exact two-sided p-value on the rows that only one of them got right.
    """

    accuracy: PairedResult
    f1_macro: PairedResult
    mcnemar_p: float
    only_a_right: int
    only_b_right: int
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "accuracy": self.accuracy.to_dict(), "f1_macro": self.f1_macro.to_dict()}


def compare_models(
    truth: ArrayLike,
    probs_a: ArrayLike,
    probs_b: ArrayLike,
    labels: Sequence[str],
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Paired bootstrap of accuracy and macro-F1, and McNemar's exact test (McNemar 1947).

    ``truth`` [n] holds class numbers, both probability arrays are [n, c] over the same ``labels``.
    """
    truth = np.asarray(truth)
    a = top_class(check_probabilities(probs_a, len(labels), len(truth)))
    b = top_class(check_probabilities(probs_b, len(labels), len(truth)))
    only_a, only_b = int(((a == truth) & (b != truth)).sum()), int(((b == truth) & (a != truth)).sum())
    return Comparison(
        accuracy=paired_bootstrap(weighted.accuracy, truth, a, b, resamples, seed),
        f1_macro=paired_bootstrap(weighted.f1_macro, truth, a, b, resamples, seed),
        mcnemar_p=mcnemar(only_a, only_b),
        only_a_right=only_a,
        only_b_right=only_b,
        n=len(truth),
    )


def mcnemar(only_a_right: int, only_b_right: int) -> float:
    """Exact two-sided McNemar p-value from the two discordant counts; 1 when both are 0."""
    from scipy.stats import binomtest

    discordant = only_a_right + only_b_right
    return float(binomtest(only_a_right, discordant, 0.5).pvalue) if discordant else 1.0
