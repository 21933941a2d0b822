"""From features to an arranged list: the ranker's scores, then variety, then rules, then reasons."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.errors import InputError
from verticals.recommend import metrics
from verticals.recommend.diversity import calibrated, dpp, mmr, unit_scores, user_mix
from verticals.recommend.explanation import Reason, explain
from verticals.recommend.histories import Float32, Floats, Ints
from verticals.recommend.hybrid import Hybrid
from verticals.recommend.ruled import apply_rules
from verticals.recommend.rules import Rule, Ruled
from verticals.recommend.scored import Scored, ScoredList
from verticals.recommend.snapshot import Snapshot
from verticals.recommend.viewer import Viewer

Method = Literal["mmr", "dpp", "calibrated"]


@dataclass(frozen=True)
class Arranged:
    """``items`` [c] are item numbers, best first, with the ranker's ``scores`` and ``probabilities`` {kind: [c]}."""

    items: Ints
    scores: Floats
    probabilities: dict[str, Floats]
    applied: tuple[tuple[str, ...], ...]
    ruled: Ruled | None
    hybrid: Hybrid
    ranker: str
    variety: float
    rest: int


def arrange(
    snapshot: Snapshot,
    who: Viewer,
    numbers: Ints,
    weights: Mapping[str, float] | None,
    variety: float,
    method: Method,
    rules: Sequence[Rule],
    depth: int,
    top: int | None = None,
) -> Arranged:
    """Order the items ``numbers``; with ``top`` only so many are kept. Raises InputError for odd dials and rules."""
    if not 0 <= variety <= 1:
        raise InputError(f"variety = {variety}; the dial goes from 0 (the ranker's order) to 1 (variety alone).")
    hybrid = who.hybrid.with_weights(dict(weights)) if weights else who.hybrid
    columns = hybrid.features.columns(who.past, numbers)
    scores, plain, treed = (part[0] for part in hybrid.parts(who.past, columns, numbers))
    base = who.hybrid.blend.score(columns)[0] if weights else plain
    probabilities = _probabilities(snapshot, who, base, scores, treed)
    order = np.argsort(-scores, kind="stable")
    keep = len(order) if top is None else min(top, len(order))
    front = order[: min(max(depth, keep if rules else 0), len(order))]
    if variety > 0:
        chosen = _varied(snapshot, who, numbers[front], scores[front].astype(np.float64), variety, method)
        front = front[chosen]
    ruled = None
    applied: tuple[tuple[str, ...], ...] = ()
    if rules:
        # Rules work on 0-1 scores in the order that variety made: the r-th place has the r-th best score.
        ranked = np.sort(unit_scores(scores[order[: len(front)]].astype(np.float64)))[::-1]
        ruled = apply_rules(ranked, numbers[front], snapshot.items, rules, min(len(front), keep))
        front, applied = front[ruled.order], ruled.applied
    left = np.setdiff1d(order, front, assume_unique=True) if top is None and not ruled else np.empty(0, dtype=np.int64)
    left = left[np.argsort(-scores[left], kind="stable")] if left.size else left
    final = np.concatenate([front, left])[:keep]
    names = ("trees" if hybrid.ranker is not None else "blend") + (" for newcomers" if who.newcomer else "")
    return Arranged(
        items=numbers[final],
        scores=scores[final].astype(np.float64),
        probabilities={kind: values[final] for kind, values in probabilities.items()},
        applied=applied,
        ruled=ruled,
        hybrid=hybrid,
        ranker=names,
        variety=variety,
        rest=len(numbers) - len(final),
    )


def listed(
    snapshot: Snapshot, who: Viewer, arranged: Arranged, explained: int, notes: Sequence[str], started: float
) -> ScoredList:
    """The answer: rows with titles, and reasons for the first ``explained`` of them."""
    first = arranged.items[:explained]
    reasons: list[Reason] = []
    if len(first):
        rules = [arranged.applied[at] if at < len(arranged.applied) else () for at in range(len(first))]
        reasons = explain(arranged.hybrid, snapshot.items, who.past, first, snapshot.vectors, snapshot.words, rules)
    frame = snapshot.items.frame
    titles, categories = frame["title"].to_numpy(), frame["category"].to_numpy()
    had = set(who.past.items.tolist())
    kinds = list(arranged.probabilities)
    chances = np.stack([arranged.probabilities[kind] for kind in kinds], axis=1).round(5).tolist() if kinds else None
    rows = []
    for at, (number, score) in enumerate(zip(arranged.items.tolist(), arranged.scores.round(5).tolist(), strict=True)):
        rows.append(
            Scored(
                item=snapshot.items.ids[number],
                title=titles[number],
                category=categories[number],
                rank=at + 1,
                score=score,
                probabilities=dict(zip(kinds, chances[at], strict=True)) if chances else {},
                seen=number in had,
                rules=arranged.applied[at] if at < len(arranged.applied) else (),
                reason=reasons[at] if at < len(reasons) else None,
            )
        )
    ild = float(metrics.diversity(arranged.items[None, :10], snapshot.vectors, 10)[0])
    cost: dict[str, Any] = {}
    if arranged.ruled is not None:
        told = arranged.ruled.to_dict()
        cost = {name: told[name] for name in ("ndcg", "score_loss", "unmet")}
        excluded = arranged.rest
        if excluded:
            notes = [*notes, f"{excluded} candidates are not in the list: excluded by rules or beyond its length."]
    return ScoredList(
        user=who.user,
        basis=who.basis,
        ranker=arranged.ranker,
        model=snapshot.model.version,
        data=snapshot.version,
        rows=tuple(rows),
        weights=arranged.hybrid.blend.to_dict(),
        variety=arranged.variety,
        ild=round(ild, 4),
        rules=cost,
        notes=tuple(notes),
        latency_ms=round((time.perf_counter() - started) * 1000, 2),
    )


def _probabilities(
    snapshot: Snapshot,
    who: Viewer,
    plain: Float32,
    scores: Float32,
    treed: Any,
) -> dict[str, Floats]:
    """Each kind's probability [c]: the trees' curve where the trees scored, else the blend's.

    Weights set by hand change the order, not what is known of the item: probabilities stay those of the fitted blend.
    """
    curves = snapshot.model.curves
    found = {
        kind: curve.apply(plain) for kind, curve in curves.get("newcomers" if who.newcomer else "blend", {}).items()
    }
    for kind, curve in curves.get("ranked", {}).items():
        if kind in found and treed.any():
            found[kind] = np.where(treed, curve.apply(scores), found[kind])
    return found


def _varied(snapshot: Snapshot, who: Viewer, items: Ints, scores: Floats, variety: float, method: Method) -> Ints:
    vectors, accuracy = snapshot.vectors[items], 1 - variety
    if method == "mmr":
        return mmr(scores, vectors, len(items), accuracy)
    if method == "dpp":
        return dpp(scores, vectors, len(items), accuracy)
    if method != "calibrated":
        raise InputError(f"method {method!r} is not known; use mmr, dpp or calibrated.")
    names, codes = snapshot.items.categories
    table = np.eye(len(names))
    past, _, strengths = who.past.of(0)
    wanted = user_mix(table[codes[past]], strengths.astype(np.float64)) if past.size else np.full(len(names), 1.0)
    return calibrated(scores, table[codes[items]], wanted, len(items), accuracy)
