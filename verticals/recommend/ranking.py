"""Rankers over features: a weighted blend whose weights can be read and set, and LambdaMART on its short list."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from core.errors import InputError, MissingExtra
from verticals.recommend.features import Columns
from verticals.recommend.histories import Float32, Floats, Histories, Ints
from verticals.recommend.trees import Trees, can_hold

NEGLIGIBLE = 0.01  # of the sum of a blend's weights
INSTALL = 'pip install "lightgbm>=4.6"'


@dataclass(frozen=True)
class Blend:
    """A weighted sum of standardised features; weights can be read, shown as sliders and set by hand."""

    names: tuple[str, ...]
    weights: tuple[float, ...]

    def score(self, columns: Columns) -> Float32:
        """float32 [m, c]."""
        return columns.weighted(self.weights)

    def contributions(self, features: Float32) -> Float32:
        """What each feature adds to the score, [m, c, f]; the sum over the last axis is the score."""
        return np.asarray(features * np.asarray(self.weights, dtype=np.float32))

    def with_weights(self, changed: Mapping[str, float]) -> "Blend":
        """The blend with some weights set by hand; raises InputError for an unknown name or what is no number."""
        for name, weight in changed.items():
            if name not in self.names:
                raise InputError(f"weight {name!r} is not known; use {', '.join(self.names)}.")
            if not np.isfinite(weight):
                raise InputError(f"weight {name!r} = {weight} is not a number; give a finite one.")
        pairs = zip(self.names, self.weights, strict=True)
        return Blend(self.names, tuple(float(changed.get(name, weight)) for name, weight in pairs))

    def to_dict(self) -> dict[str, float]:
        """Name -> weight."""
        return dict(zip(self.names, self.weights, strict=True))


def fit_blend(features: Sequence[Float32], relevant: Sequence[Floats], names: Sequence[str], l2: float = 1e-3) -> Blend:
    """Weights that make the items engaged with later likely among the list (ListNet, Cao et al. 2007).

    ``features`` [c, f] and 0/1 ``relevant`` [c] of each user; users without a relevant item are left out. The mean
    cross-entropy of a softmax over each list is convex in the weights; they are kept at 0 or above, so that a
    weight says how much a feature counts and no two of them work against each other.
    """
    from scipy.optimize import minimize

    rows = [(f.astype(np.float32), r / r.sum()) for f, r in zip(features, relevant, strict=True) if r.sum() > 0]
    if not rows:
        raise InputError("No user has a later event to learn the weights from; load more behaviour.")
    lengths = np.array([len(f) for f, _ in rows])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    stacked, target = np.concatenate([f for f, _ in rows]), np.concatenate([r for _, r in rows])

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = (stacked @ weights.astype(np.float32)).astype(np.float64)
        scores -= np.repeat(np.maximum.reduceat(scores, starts), lengths)
        exponents = np.exp(scores)
        totals = np.add.reduceat(exponents, starts)
        value = -(target * (scores - np.repeat(np.log(totals), lengths))).sum() / len(rows)
        residual = exponents / np.repeat(totals, lengths) - target
        gradient = (residual.astype(np.float32) @ stacked).astype(np.float64) / len(rows)
        return value + l2 * float(weights @ weights), gradient + 2 * l2 * weights

    start = np.full(len(names), 1 / len(names))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(names), options={"maxiter": 60})
    kept = np.where(found.x < NEGLIGIBLE * found.x.sum(), 0.0, found.x)  # what decides nothing need not be computed
    return Blend(tuple(names), tuple(float(w) for w in kept))


@dataclass(frozen=True)
class LambdaMart:
    """Gradient-boosted trees fitted to nDCG (Burges 2010), by LightGBM."""

    names: tuple[str, ...]
    text: str = field(repr=False)

    @cached_property
    def booster(self) -> Any:
        """The LightGBM model, read from its text once."""
        return require_lightgbm().Booster(model_str=self.text)

    @cached_property
    def trees(self) -> Trees | None:
        """The same model made ready to score long lists; None for one that does not fit (``trees.can_hold``)."""
        dumped = self.booster.dump_model()
        return Trees(dumped) if can_hold(dumped) else None

    def score(self, rows: Float32) -> Floats:
        """Scores [r] of rows [r, f]; only their order means something."""
        if self.trees is not None and not np.isnan(rows).any():
            return self.trees.score(rows)
        return np.asarray(self.booster.predict(rows, num_threads=1))

    def __getstate__(self) -> dict[str, Any]:
        return {"names": self.names, "text": self.text}  # the rest is made again from the text

    def contributions(self, rows: Float32) -> Floats:
        """What each feature adds to each score, [r, f] (TreeSHAP, Lundberg et al. 2018)."""
        return np.asarray(self.booster.predict(rows, pred_contrib=True, num_threads=1))[:, :-1]

    def importance(self) -> dict[str, float]:
        """Share of the gain that each feature brought."""
        gains = np.asarray(self.booster.feature_importance("gain"), dtype=np.float64)
        return dict(zip(self.names, (gains / max(gains.sum(), 1e-12)).tolist(), strict=True))


def fit_lambdamart(
    rows: Float32, relevant: Ints, groups: Ints, names: Sequence[str], trees: int = 150, seed: int = 0
) -> LambdaMart:
    """Fit to lists: ``rows`` [r, f] and 0/1 ``relevant`` [r], the lists following each other with lengths ``groups``.

    Shallow, strongly regularised trees: a few hundred users say little. Raises MissingExtra without LightGBM.
    """
    lightgbm = require_lightgbm()
    least = max(5, min(200, len(rows) // 500))
    settings = {
        "objective": "lambdarank",
        "num_leaves": 7,
        "learning_rate": 0.05,
        "min_data_in_leaf": least,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 10.0,
        "lambdarank_truncation_level": 20,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(rows, relevant, group=groups)
    return LambdaMart(tuple(names), lightgbm.train(settings, data, trees).model_to_string())


def has_lightgbm() -> bool:
    """Whether LambdaMART can be used."""
    return importlib.util.find_spec("lightgbm") is not None


def require_lightgbm() -> Any:
    """The package; raises MissingExtra."""
    if not has_lightgbm():
        raise MissingExtra("The learned ranker", INSTALL)
    import lightgbm

    return lightgbm


def rows_for_trees(features: Float32, blended: Float32, popularity: Floats, histories: Histories) -> Float32:
    """Rows [m * c, f + 3] for LambdaMART: the features, the blend's score, log popularity and history length.

    ``popularity`` is [m, c]. Trees can use a level that is the same for a whole list, which a weight cannot.
    """
    m, c, f = features.shape
    lengths = np.broadcast_to(np.log1p(histories.lengths)[:, None], (m, c))
    more = np.stack([blended, np.log1p(popularity), lengths], axis=2)
    return np.concatenate([features, more], axis=2).reshape(m * c, f + 3).astype(np.float32)


EXTRA_ROWS = ("blend", "popularity", "history length")
