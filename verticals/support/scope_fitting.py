"""Fit the scope model: to questions with known intents that the classifier has not been trained on, and to others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import InputError
from verticals.support.answers import extract
from verticals.support.intents import IntentGuess, Intents
from verticals.support.retrieval import Found, Retrieval
from verticals.support.scope import FEATURES, Logistic, Scope

PROTOTYPES = 4  # an intent is asked in a few ways
# Of the questions that come in, by weight: what a help desk sees is not what a data set holds.
OUTSIDE_SHARE, NEAR_SHARE = 0.25, 0.1
ACCEPTED = 0.97  # of questions in scope, so that 95% of those to come pass
_PASSAGE_SIGNS = ("semantic", "lexical", "sentence", "score_gap")  # must hold for knowledge about anything


@dataclass(frozen=True)
class Labelled:
    """Questions with their intents."""

    texts: Sequence[str]
    intents: Sequence[str]


@dataclass(frozen=True)
class Observed:
    """Everything the bot sees of each question: signs [n, FEATURES], guesses, and the first passage's document."""

    signs: np.ndarray
    guesses: Sequence[IntentGuess]
    documents: Sequence[str | None]


def fit_scope(
    intents: Intents,
    retrieval: Retrieval,
    trained: Labelled,
    held_out: Labelled,
    outside_trained: Sequence[str],
    outside_held_out: Sequence[str],
    near: Sequence[str],
    articles: Mapping[str, Sequence[str]],
    groups: Sequence[str] = ("public",),
    precision: float = 0.95,
    seed: int = 7,
) -> Scope:
    """Prototypes and the direction come from the first rows of either kind, the calibrated models from the second.

    ``near`` are questions of the domain that no intent covers: no template is right for them. ``articles`` names the
    documents that answer an intent. Raises InputError with fewer than 100 held-out rows of a kind.
    """
    if min(len(held_out.texts), len(outside_held_out)) < 100:
        raise InputError("a scope model needs at least 100 held-out questions of each kind.")
    inside = retrieval.encoder.encode(list(trained.texts))
    outside = retrieval.encoder.encode(list(outside_trained))
    prototypes, names = _prototypes(inside, trained.intents, seed)
    direction, bias = _direction(inside, outside)
    blank = Logistic((), (), 0.0)
    draft = Scope(prototypes, names, direction, bias, blank, blank, blank, {}, {})
    seen_in = observe(draft, intents, retrieval, held_out.texts, groups, articles)
    seen_out = observe(draft, intents, retrieval, outside_held_out, groups, articles)
    seen_near = observe(draft, intents, retrieval, near, groups, articles)
    count, foreign, other = len(held_out.texts), len(outside_held_out), len(near)
    share = count / (1 - OUTSIDE_SHARE - NEAR_SHARE)
    weights = np.concatenate(
        [
            np.ones(count),
            np.full(foreign, share * OUTSIDE_SHARE / foreign),
            np.full(other, share * NEAR_SHARE / max(other, 1)),
        ]
    )
    signs = np.vstack([seen_in.signs, seen_out.signs, seen_near.signs.reshape(other, len(FEATURES))])
    certain = slice(0, count + foreign)  # whether a question near by is in scope is a matter of opinion
    named = _padded([g.intent == t for g, t in zip(seen_in.guesses, held_out.intents, strict=True)], len(signs))
    told = [d in articles.get(t, ()) for d, t in zip(seen_in.documents, held_out.intents, strict=True)]
    scope = _logistic(signs[certain], _padded([True] * count, count + foreign), weights[certain], FEATURES)
    intent = _logistic(signs, named, weights, FEATURES)
    passage = _logistic(signs[certain], _padded(told, count + foreign), weights[certain], _PASSAGE_SIGNS)
    thresholds = {
        "scope": _accepting(scope, seen_in.signs, ACCEPTED),
        "template": 0.5,
        "passage": 0.5,
        "precision": precision,
    }
    fitted = {
        "near": other,
        "held_out": len(held_out.texts),
        "outside": len(outside_held_out),
        "trained": len(trained.texts),
        "seed": seed,
    }
    return Scope(prototypes, names, direction, bias, scope, intent, passage, thresholds, fitted)


def observe(
    scope: Scope,
    intents: Intents,
    retrieval: Retrieval,
    texts: Sequence[str],
    groups: Sequence[str],
    articles: Mapping[str, Sequence[str]],
    block: int = 256,
) -> Observed:
    """What the bot would see of each question."""
    rows: list[list[float]] = []
    guesses: list[IntentGuess] = []
    documents: list[str | None] = []
    for start in range(0, len(texts), block):
        part = list(texts[start : start + block])
        guesses += intents.guess(part)
        for text in part:
            vector = retrieval.encoder.encode([text])[0]
            found: list[Found] = retrieval.search(text, groups)
            sentence = max((extract(vector, one, retrieval.knowledge).best_sentence for one in found), default=0.0)
            guess = guesses[len(rows)]
            signs = scope.signs(guess, vector, found, sentence, articles.get(guess.intent, ()))
            rows.append([signs[name] for name in FEATURES])
            documents.append(found[0].document.id if found else None)
    return Observed(np.array(rows), guesses, documents)


def _padded(values: Sequence[bool], length: int) -> np.ndarray:
    return np.concatenate([np.array(values, bool), np.zeros(length - len(values), bool)])


def _prototypes(vectors: np.ndarray, intents: Sequence[str], seed: int) -> tuple[np.ndarray, tuple[str, ...]]:
    from sklearn.cluster import KMeans

    names, centres = [], []
    for intent in sorted(set(intents)):
        own = vectors[np.array([one == intent for one in intents])]
        found = KMeans(min(PROTOTYPES, len(own)), random_state=seed, n_init=2).fit(own).cluster_centers_
        centres.append(found / np.linalg.norm(found, axis=1, keepdims=True))
        names += [intent] * len(found)
    return np.vstack(centres).astype(np.float32), tuple(names)


def _direction(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, float]:
    from sklearn.linear_model import LogisticRegression

    labels = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    model = LogisticRegression(C=1.0, max_iter=500, class_weight="balanced").fit(np.vstack([inside, outside]), labels)
    return model.coef_[0].astype(np.float32), float(model.intercept_[0])


def _logistic(signs: np.ndarray, right: np.ndarray, weights: np.ndarray, features: Sequence[str]) -> Logistic:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    chosen = signs[:, [FEATURES.index(name) for name in features]]
    scaler = StandardScaler().fit(chosen)
    model: Any = LogisticRegression(C=1.0, max_iter=2000).fit(scaler.transform(chosen), right, sample_weight=weights)
    slopes = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - slopes @ scaler.mean_)
    return Logistic(tuple(features), tuple(round(float(s), 6) for s in slopes), round(bias, 6))


def _accepting(model: Logistic, signs: np.ndarray, share: float) -> float:
    """The threshold that lets ``share`` of these questions pass."""
    chances = [model(dict(zip(FEATURES, row, strict=True))) for row in signs]
    return float(np.quantile(chances, 1 - share))
