"""Is this a question the bot knows about, and is its answer right? Several weak signs, joined and calibrated.

A softmax's largest probability says little about questions that are like nothing seen in training. Here it stands
beside the energy of the scores (Liu et al. 2020), the distance to questions like those trained on (Sun et al. 2022),
a linear direction between the domain and other domains, and how well the knowledge base matches.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit

from core.errors import InputError
from verticals.support.intents import IntentGuess
from verticals.support.retrieval import Found

FEATURES = (
    *("probability", "margin", "energy", "nearest", "agrees", "domain"),
    *("semantic", "lexical", "sentence", "score_gap", "supported"),
)
_CLIP = 1e-6


@dataclass(frozen=True)
class Logistic:
    """``expit(weights · features + bias)`` over some of FEATURES."""

    features: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float

    def __call__(self, values: Mapping[str, float]) -> float:
        """A probability."""
        terms = (w * values[name] for name, w in zip(self.features, self.weights, strict=True))
        return float(expit(sum(terms) + self.bias))


@dataclass(frozen=True)
class Judgement:
    """Calibrated chances in [0, 1]: that the question is in scope, that the intent is right, that the passage is."""

    scope: float
    intent: float
    passage: float


@dataclass(frozen=True)
class Scope:
    """Prototypes (unit vectors [p, d], intent of each), a direction [d], and three calibrated models on all signs."""

    prototypes: np.ndarray
    prototype_intents: tuple[str, ...]
    direction: np.ndarray
    direction_bias: float
    scope: Logistic
    intent: Logistic
    passage: Logistic
    thresholds: Mapping[str, float]
    fitted: Mapping[str, Any]

    def judge(self, values: Mapping[str, float], guessed: bool = True) -> Judgement:
        """Chances by the signs of one question. Without an intent model the passages alone say what is in scope."""
        if not guessed:
            return Judgement(1.0, 0.0, self.passage(values))
        return Judgement(self.scope(values), self.intent(values), self.passage(values))

    def signs(
        self,
        guess: IntentGuess | None,
        vector: np.ndarray,
        found: list[Found],
        sentence: float,
        articles: Sequence[str] = (),
    ) -> dict[str, float]:
        """FEATURES of a question: its guess, its vector [d], the passages found, its nearest sentence (cosine).

        ``articles`` are those that the guessed intent's template cites: whether search finds one of them by itself
        is a second opinion on the intent (``supported``: one over its rank).
        """
        near = self.prototypes.astype(np.float32) @ vector
        best = int(np.argmax(near))
        agrees = guess is not None and self.prototype_intents[best] == guess.intent
        return {
            **_guess_signs(guess),
            "nearest": float(near[best]),
            "agrees": float(agrees),
            "domain": float(self.direction.astype(np.float32) @ vector + self.direction_bias),
            **retrieval_signs(found, sentence),
            "supported": next((1 / n for n, one in enumerate(found, 1) if one.document.id in articles), 0.0),
        }

    def save(self, folder: Path) -> None:
        """Write ``vectors.npz`` and ``scope.json`` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            folder / "vectors.npz",
            prototypes=self.prototypes.astype(np.float16),
            direction=self.direction.astype(np.float32),
        )
        models = {name: vars(getattr(self, name)) for name in ("scope", "intent", "passage")}
        values = {
            "direction_bias": self.direction_bias,
            "models": models,
            "thresholds": dict(self.thresholds),
            "fitted": dict(self.fitted),
            "prototype_intents": list(self.prototype_intents),
        }
        (folder / "scope.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Scope":
        """Read what ``save`` wrote. Raises InputError naming the file that is missing or damaged."""
        try:
            values = json.loads((folder / "scope.json").read_text(encoding="utf-8"))
            with np.load(folder / "vectors.npz", allow_pickle=False) as arrays:
                prototypes, direction = arrays["prototypes"], arrays["direction"]
            models = {
                name: Logistic(tuple(own["features"]), tuple(own["weights"]), own["bias"])
                for name, own in values["models"].items()
            }
            return cls(
                prototypes.astype(np.float32),
                tuple(values["prototype_intents"]),
                direction,
                float(values["direction_bias"]),
                **models,
                thresholds=values["thresholds"],
                fitted=values["fitted"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder} holds no scope model that can be read ({error}).") from error


def retrieval_signs(found: list[Found], sentence: float) -> dict[str, float]:
    """The signs that need no intent model."""
    first = found[0].hit if found else None
    others = [one.hit.score for one in found[1:] if one.document.id != found[0].document.id]
    return {
        "semantic": first.semantic if first else 0.0,
        "lexical": first.lexical if first else 0.0,
        "sentence": sentence,
        "score_gap": first.score - max(others, default=0.0) if first else 0.0,
    }


def _guess_signs(guess: IntentGuess | None) -> dict[str, float]:
    if guess is None:
        return {"probability": float(logit(_CLIP)), "margin": 0.0, "energy": 0.0}
    sure = float(np.clip(guess.probability, _CLIP, 1 - _CLIP))
    return {"probability": float(logit(sure)), "margin": guess.margin, "energy": guess.energy}
