"""Two configurations on the same users, and what variety costs in accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import InputError
from verticals.recommend import evaluation, judging
from verticals.recommend.candidates import Source, seen_mask, top_k
from verticals.recommend.diversity import mmr
from verticals.recommend.evaluation import DEPTH, Bench, Judged
from verticals.recommend.histories import Float32, Ints
from verticals.recommend.recommender import Recommender
from verticals.recommend.settings import RecommendSettings
from verticals.recommend.taste import centred

CURVE = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Configuration:
    """A system by name and how much variety its lists get (0: none, 1: variety alone)."""

    system: str
    variety: float = 0.0

    def list_for(self, recommender: Recommender, user: str, k: int) -> list[dict[str, Any]]:
        """``[{"rank", "item", "title", "category"}]`` for a known user, by the trained sources.

        Raises InputError for a system that this version has not.
        """
        if self.system == "hybrid":
            return _rows(recommender.recommend(user, k, variety=self.variety, explain=0))
        blend = recommender.snapshot.model.blend.to_dict()
        if self.system == "blend":
            return _rows(recommender.recommend(user, k, weights=blend, variety=self.variety, explain=0))
        name = "text" if self.system == "untuned text" else self.system
        if name not in blend:
            raise InputError(f"{self.system} is no part of this version; choose another system.")
        alone = {other: float(other == name) for other in blend}
        return _rows(recommender.recommend(user, k, weights=alone, variety=self.variety, explain=0))


@dataclass(frozen=True)
class HeldOut:
    """Systems fitted on the earlier part of the behaviour, ready to be judged on the rest; made by ``held_out``."""

    bench: Bench
    systems: dict[str, Source]
    vectors: Float32


def held_out(settings: RecommendSettings) -> HeldOut:
    """Split, encode and fit once for any number of configurations. Raises InputError when nothing is loaded."""
    given = judging.ground(settings)
    systems = {one.name: one for one in judging.systems_of(given, settings.hybrid())}
    systems.setdefault("hybrid", systems["blend"])
    return HeldOut(given.bench, systems, centred(given.vectors))


def compare_on_held_out(
    given: HeldOut, configurations: Sequence[Configuration], resamples: int = 500
) -> dict[str, Any]:
    """Metrics with intervals of each configuration, and the paired difference of the first two in nDCG@10."""
    judged = [_judged(given.bench, given.systems, one, given.vectors, resamples) for one in configurations]
    return {
        "users": len(given.bench.histories),
        "configurations": [
            {
                "system": one.system,
                "variety": one.variety,
                "coverage@10": found.coverage,
                "metrics": {name: interval.to_dict() for name, interval in found.values.items()},
            }
            for one, found in zip(configurations, judged, strict=True)
        ],
        "difference": evaluation.compare(judged[0], judged[1], resamples=resamples).to_dict(),
    }


def variety_curve(given: HeldOut, system: str, steps: Sequence[float] = CURVE) -> list[dict[str, float]]:
    """``[{"variety", "ndcg@10", "ild", "coverage@10"}]``: accuracy and diversity for each turn of the dial."""
    if system not in given.systems:
        raise InputError(f"{system} cannot be judged here; choose one of {', '.join(given.systems)}.")
    items, scores = _ranked(given.bench, given.systems[system])
    found = []
    for variety in steps:
        ranked = _varied(items, scores, given.vectors, variety)
        judged = given.bench.judge_lists(f"{variety:g}", ranked, resamples=0)
        found.append(
            {
                "variety": variety,
                "ndcg@10": judged.values["ndcg@10"].value,
                "ild": judged.values["ild"].value,
                "coverage@10": judged.coverage,
            }
        )
    return found


def _judged(bench: Bench, systems: dict[str, Source], one: Configuration, vectors: Float32, resamples: int) -> Judged:
    if one.system not in systems:
        raise InputError(f"{one.system} cannot be judged here; choose one of {', '.join(systems)}.")
    items, scores = _ranked(bench, systems[one.system])
    return bench.judge_lists(one.system, _varied(items, scores, vectors, one.variety), resamples)


def _ranked(bench: Bench, system: Source) -> tuple[Ints, Float32]:
    """The first places of every user [m, DEPTH] and their scores; -inf marks an empty place."""
    parts = []
    for start in range(0, len(bench.histories), 128):
        few = bench.histories.take(np.arange(start, min(start + 128, len(bench.histories))))
        parts.append(top_k(system.score(few), DEPTH, seen_mask(few)))
    return np.concatenate([items for items, _ in parts]), np.concatenate([scores for _, scores in parts])


def _varied(items: Ints, scores: Float32, vectors: Float32, variety: float) -> Ints:
    """The lists re-ranked by MMR; empty places stay at the end as -1."""
    ranked = np.where(scores > -np.inf, items, -1)
    if variety == 0:
        return ranked
    out = np.full_like(ranked, -1)
    for row in range(len(ranked)):
        there = ranked[row] >= 0
        chosen = items[row][there]
        order = mmr(scores[row][there].astype(np.float64), vectors[chosen], len(chosen), 1 - variety)
        out[row, : len(chosen)] = chosen[order]
    return out


def _rows(found: Any) -> list[dict[str, Any]]:
    return [{"rank": r.rank, "item": r.item, "title": r.title or r.item, "category": r.category} for r in found.rows]
