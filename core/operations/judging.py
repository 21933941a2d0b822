"""Champion and challenger on the same texts: probabilities, time, and what typing errors cost them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from core.evaluation import weighted
from core.evaluation.intervals import paired_bootstrap
from core.evaluation.robustness import CHANGES
from core.operations.gate import Decision, GateConfig, Rows, decide


class FlywheelConfig(GateConfig):
    """What a challenger has to keep, here also when people write otherwise."""

    hardships: tuple[str, ...] = Field(
        default=("typos", "capitals"), description="changes of core.evaluation.robustness"
    )
    hardship_rows: int = Field(default=300, ge=1, description="rows that are changed, drawn with the seed")
    hardship_loss: float = Field(default=0.03, ge=0, description="accuracy that may be lost on changed texts")
    timed_texts: int = Field(default=64, ge=1, description="texts that the time of an answer is measured on")


@dataclass(frozen=True)
class Texts:
    """Labelled texts to judge on; ``recent`` marks people's corrections, the others are the frozen test."""

    texts: Sequence[str]
    labels: Sequence[str]
    recent: Sequence[bool]


def judge(champion: Any, challenger: Any, given: Texts, config: FlywheelConfig) -> Decision:
    """May the challenger (``Predictor``) replace the champion? Slices are the labels on the frozen test.

    Texts with a label that neither model knows are left out and counted in the figures.
    """
    labels = list(dict.fromkeys([*champion.labels, *challenger.labels]))
    number = {label: index for index, label in enumerate(labels)}
    known = [i for i, label in enumerate(given.labels) if label in number]
    texts = [given.texts[i] for i in known]
    truth = np.array([number[given.labels[i]] for i in known], dtype=np.int64)
    recent = np.array([given.recent[i] for i in known], dtype=bool)
    slices = {f"label {label}": (truth == index) & ~recent for label, index in number.items()}
    rows = Rows(
        truth, probabilities(champion, texts, labels), probabilities(challenger, texts, labels), labels, recent, slices
    )
    sample = texts[: config.timed_texts]
    latency = _seconds(champion, challenger, sample) if sample else None
    found = decide(rows, config, latency)
    figures = {**found.figures, "unknown_label": len(given.texts) - len(known), "recent": _recent(rows)}
    if len(truth) < config.minimum_rows:
        return Decision(False, found.reasons, figures)
    reasons, figures["robustness"] = _hardships(champion, challenger, texts, truth, labels, config)
    return Decision(found.promote and not reasons, (*found.reasons, *reasons), figures)


def probabilities(model: Any, texts: Sequence[str], labels: Sequence[str]) -> NDArray[np.float64]:
    """[n, c] over ``labels``; 0 for one that the model does not know."""
    found = [[one.probabilities.get(label, 0.0) for label in labels] for one in model.predict(texts)]
    return np.array(found, dtype=np.float64).reshape(len(texts), len(labels))


def _recent(rows: Rows) -> dict[str, Any]:
    n = int(rows.recent.sum())
    if not n:
        return {"n": 0}
    right = [float((p.argmax(axis=1) == rows.truth)[rows.recent].mean()) for p in (rows.champion, rows.challenger)]
    return {"n": n, "champion": right[0], "challenger": right[1]}


def _hardships(
    champion: Any,
    challenger: Any,
    texts: Sequence[str],
    truth: NDArray[np.int64],
    labels: Sequence[str],
    config: FlywheelConfig,
) -> tuple[list[str], dict[str, Any]]:
    """Accuracy of both on changed texts; a loss counts like a slice's: large, and not by chance."""
    reasons: list[str] = []
    figures: dict[str, Any] = {}
    for place, name in enumerate(config.hardships):
        chance = np.random.default_rng([config.seed, place])
        chosen = chance.permutation(len(texts))[: config.hardship_rows]
        changed = [CHANGES[name](texts[i], chance) for i in chosen]
        new, old = (probabilities(model, changed, labels).argmax(axis=1) for model in (challenger, champion))
        right = truth[chosen]
        found = paired_bootstrap(weighted.accuracy, right, new, old, seed=config.seed).difference
        figures[name] = {
            "n": len(chosen),
            "champion": float((old == right).mean()),
            "challenger": float((new == right).mean()),
            "difference": found.to_dict(),
        }
        if found.value < -config.hardship_loss and found.high < 0:
            reasons.append(f"with {name} it loses {-found.value:.3f} accuracy ({found.low:+.3f} to {found.high:+.3f}).")
    return reasons, figures


def _seconds(champion: Any, challenger: Any, sample: Sequence[str]) -> tuple[float, float]:
    """Seconds per text of each, the best of five in turns: what disturbs only ever adds, and then disturbs both."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(5):
        for model, times in zip((champion, challenger), taken, strict=True):
            began = time.perf_counter()
            model.predict(sample)
            times.append(time.perf_counter() - began)
    return min(taken[0]) / len(sample), min(taken[1]) / len(sample)
