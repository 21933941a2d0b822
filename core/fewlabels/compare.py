"""Which method for my data, and for how many labels? Every contender on the same test rows, with its price.

Without test rows of their own, few rows are each held out once (cross-validation), so that a comparison on 200 rows
rests on 200 answers, not on 60.
"""

import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.data.load import Dataset, load
from core.data.splits import folds, split
from core.errors import InputError
from core.evaluation.files import write_json
from core.evaluation.plots import plot_comparison
from core.fewlabels.contenders import Answer, Way, find
from core.fewlabels.curve import fit_curve
from core.settings import Settings, get_settings
from core.tuning.recipe import Recipe

DEFAULT = ("zero-shot", "tf-idf", "nearest", "head", "few-shot", "top-layers")
FEW, FOLDS = 1000, 5  # with more rows, one cut of 30% is enough to judge by
MARGIN = 0.02  # points of accuracy that one may give up for a cheaper method


@dataclass(frozen=True)
class Cell:
    """One method with one number of labels. ``per_class`` None means all, 0 none; ``minutes`` to train it once."""

    method: str
    per_class: int | None
    rows: int
    metrics: dict[str, dict[str, float | None]]
    minutes: float
    trained_parameters: int
    megabytes: float
    latency_ms: float
    guesses: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the guesses."""
        return {k: v for k, v in vars(self).items() if k != "guesses"}


def compare(
    recipe: Recipe,
    methods: Sequence[str] = DEFAULT,
    labels_per_class: Sequence[int] = (),
    minutes: float = 5.0,
    max_test: int = 1000,
    settings: Settings | None = None,
    say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Run what fits into ``minutes``, cheapest first; a stopped comparison goes on with what is missing.

    The answer: ``rows`` (one per method and number of labels), ``skipped`` (and why), ``advice`` (see ``advise``),
    ``curve`` (what the next 100 labels should bring). Raises InputError for data that cannot be compared on.
    """
    settings = settings or get_settings()
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    ways = sorted((find(name) for name in dict.fromkeys(methods)), key=lambda way: way.price)
    rounds = _rounds(recipe, max_test)
    told = f"{recipe.to_toml()}{rounds[0].fingerprint}{max_test} in {len(rounds)}"
    key = hashlib.sha256(told.encode()).hexdigest()[:12]
    home = settings.var / "compare" / f"{recipe.name}-{key}"
    budgets: list[int | None] = [*sorted({n for n in labels_per_class if n > 0}), None]
    plan = [(way, n) for n in budgets for way in ways if way.needs_labels]
    plan = [*((way, 0) for way in ways if not way.needs_labels), *plan]
    started = time.monotonic()
    cells: list[Cell] = []
    ran: list[_Ran] = []
    skipped: list[dict[str, Any]] = []
    for way, per_class in plan:
        parts = [_few(data, per_class, recipe.training.seed) for data in rounds]
        file = home / f"{way.name}-{'all' if per_class is None else per_class}.json"
        began, rows = time.monotonic(), sum(len(part.train) for part in parts)
        left = minutes * 60 - (began - started)
        expected = _expected(way, rows, ran)
        if file.is_file():
            cells.append(_read(file))
        elif expected > left and cells:
            skipped.append({"method": way.name, "per_class": per_class, "why": f"about {expected / 60:.1f} min more"})
        else:
            try:
                cells.append(_run(way, per_class, recipe, parts, file))
            except InputError as error:
                skipped.append({"method": way.name, "per_class": per_class, "why": str(error)})
                continue
            ran.append(_Ran(way, rows, time.monotonic() - began))
            say(f"{way.name}, {_named(per_class)}: {cells[-1].metrics['accuracy']['value']:.3f}")
    if not cells:
        raise InputError(f"nothing could be compared: {skipped[0]['why'] if skipped else 'no method was given.'}")
    truth = np.concatenate([_truth(data) for data in rounds])
    found: dict[str, Any] = {
        "name": recipe.name,
        "test_rows": len(truth),
        "folds": len(rounds),
        "rows": [cell.to_dict() for cell in cells],
        "skipped": skipped,
        "advice": advise(cells, truth),
        "curve": _curve(cells),
    }
    write_json(home / "comparison.json", found)
    plot_comparison(found["rows"], home / "comparison.png")
    return {**found, "folder": str(home)}


def advise(cells: Sequence[Cell], truth: np.ndarray, significance: float = 0.05) -> dict[str, Any]:
    """The cheapest (by minutes, then latency) of those that are as good as the best, by accuracy.

    As good: not significantly below it by a paired bootstrap (``not_worse``), and by no more than ``MARGIN``, because
    few test rows cannot tell even a large loss from chance. Of those that cost alike (see ``_as_cheap``) the most
    accurate, by macro-F1 where that is equal: seconds saved once are no reason to take a worse one.
    """
    from core.evaluation import weighted
    from core.evaluation.intervals import paired_bootstrap

    most = max((c.rows for c in cells), default=0)
    full = [c for c in cells if c.rows == most or c.per_class == 0]
    best = max(full, key=_accuracy)
    equal = []
    for cell in full:
        paired = paired_bootstrap(weighted.accuracy, truth, np.array(best.guesses), np.array(cell.guesses))
        if cell is best or paired.p_value > significance or paired.difference.value <= 0:
            equal.append(cell)
    near = [cell for cell in equal if _accuracy(best) - _accuracy(cell) <= MARGIN]
    alike = _as_cheap(near, lambda c: c.minutes, free=1.0)
    alike = _as_cheap(alike, lambda c: c.latency_ms, free=0.0)
    chosen = max(alike, key=lambda c: (_accuracy(c), _value(c, "f1_macro"), -c.minutes))
    gap = _accuracy(best) - _accuracy(chosen)
    reason = (
        "it is the best one, and no clearly cheaper one comes close"
        if chosen is best
        else f"{best.method} is {gap * 100:.1f} points better here, which may be chance on {len(truth)} test rows"
    )
    return {"method": chosen.method, "best": best.method, "not_worse": [c.method for c in equal], "why": reason}


def _as_cheap(cells: Sequence[Cell], cost: Callable[[Cell], float], free: float) -> list[Cell]:
    """Those that cost at most ``free``, or at most twice what the cheapest does."""
    most = max(free, 2 * min(cost(cell) for cell in cells))
    return [cell for cell in cells if cost(cell) <= most]


def _accuracy(cell: Cell) -> float:
    return _value(cell, "accuracy")


def _value(cell: Cell, metric: str) -> float:
    return cell.metrics.get(metric, {}).get("value") or 0.0


def _curve(cells: Sequence[Cell]) -> dict[str, Any] | None:
    """The learning curve of the method with the most points, and what 100 more labels should add."""
    by_method: dict[str, list[tuple[int, float]]] = {}
    for cell in cells:
        if cell.rows and cell.metrics["accuracy"]["value"] is not None:
            by_method.setdefault(cell.method, []).append((cell.rows, cell.metrics["accuracy"]["value"]))
    full = {name: points for name, points in by_method.items() if len(points) >= 3}
    if not full:
        return None
    name = max(full, key=lambda n: full[n][-1][1])
    return {"method": name, **fit_curve(full[name]).to_dict()}


def _rounds(recipe: Recipe, most: int) -> list[Dataset]:
    """The parts to learn from and be judged on, at most ``most`` test rows in all: the recipe's, or one per fold."""
    if recipe.task != "classification" or recipe.data.multi_label:
        raise InputError("compare is for classification with one label a row.")
    seed, data = recipe.training.seed, load(recipe.data, recipe.task, recipe.training.seed)
    if "text_pair" in data.train:
        raise InputError("compare is for single texts; it does not know pairs yet.")
    if data.test is not None:
        rounds = [data]
    else:
        share, how = recipe.data.validation, recipe.data.split
        frame = pd.concat([data.train, data.validation]) if isinstance(share, float) else data.train
        few = len(frame) <= FEW and how != "temporal"
        cuts = folds(frame, FOLDS, how, seed) if few else [split(frame, 0.3, how, seed)]
        rounds = []
        for train, test in cuts:
            rest, validation = split(train, share, how, seed) if isinstance(share, float) else (train, data.validation)
            rounds.append(replace(data, train=rest, validation=validation, test=test))
    most = max(1, most // len(rounds))
    tests = [_test(data) for data in rounds]
    return [
        replace(data, test=test.sample(most, random_state=seed).reset_index(drop=True)) if len(test) > most else data
        for data, test in zip(rounds, tests, strict=True)
    ]


def _test(data: Dataset) -> pd.DataFrame:
    if data.test is None or len(data.test) == 0:
        raise InputError("there are no test rows to compare on; give data.test.")
    return data.test


def _few(data: Dataset, per_class: int | None, seed: int) -> Dataset:
    """The first ``per_class`` rows of each label in a seeded order, so that more labels include fewer."""
    if not per_class:
        return data
    shuffled = data.train.sample(frac=1, random_state=seed)
    return replace(data, train=shuffled.groupby("label", sort=False).head(per_class).reset_index(drop=True))


def _truth(data: Dataset) -> np.ndarray:
    index = {label: i for i, label in enumerate(data.labels)}
    return _test(data)["label"].map(index).to_numpy()


@dataclass(frozen=True)
class _Ran:
    """How long a method took here in all, judging included, for so many training rows."""

    way: Way
    rows: int
    seconds: float


def _expected(way: Way, rows: int, ran: Sequence[_Ran]) -> float:
    """Seconds by the method's own run here, else by its price, at the pace of the one most like it that ran here."""
    if own := [one for one in ran if one.way is way]:
        return own[-1].seconds * max(1.0, rows / own[-1].rows)
    seconds = way.price * rows * 60 / 1000
    # What a far cheaper one took is mostly its start, which does not grow with the work.
    if kin := [one for one in ran if one.way.price >= way.price / 4 > 0]:
        near = max(kin, key=lambda one: one.way.price)
        seconds *= near.seconds / (near.way.price * near.rows * 60 / 1000)
    return seconds


def _run(way: Way, per_class: int | None, recipe: Recipe, rounds: Sequence[Dataset], file: Path) -> Cell:
    from core.evaluation.classification import evaluate_classification

    answers: list[Answer] = [way.run(recipe, data, _test(data)) for data in rounds]
    truth = np.concatenate([_truth(data) for data in rounds])
    probabilities = np.concatenate([answer.probabilities for answer in answers])
    metrics = evaluate_classification(truth, probabilities, rounds[0].labels).metrics_dict()
    cell = Cell(
        way.name,
        per_class,
        len(rounds[0].train) if way.needs_labels else 0,
        {name: metrics[name] for name in ("accuracy", "f1_macro", "ece")},
        float(np.mean([answer.seconds for answer in answers])) / 60,
        answers[0].trained_parameters,
        answers[0].megabytes,
        float(np.median([answer.latency_ms for answer in answers])),
        tuple(int(i) for i in probabilities.argmax(1)),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, vars(cell))
    return cell


def _read(file: Path) -> Cell:
    values = json.loads(file.read_text(encoding="utf-8"))
    return Cell(**{**values, "guesses": tuple(values["guesses"])})


def _named(per_class: int | None) -> str:
    return "all labels" if per_class is None else "no labels" if per_class == 0 else f"{per_class} labels a class"


def show(found: dict[str, Any]) -> str:
    """The table for the terminal, and the advice."""
    lines = [f"{'method':<12}{'labels':>10}  {'accuracy [95%]':<22}{'minutes':>8}{'weights':>13}{'MB':>8}{'ms':>7}"]
    for row in found["rows"]:
        a = row["metrics"]["accuracy"]
        interval = f"{a['value']:.3f} [{a['low']:.3f}, {a['high']:.3f}]"
        lines.append(
            f"{row['method']:<12}{row['rows']:>10,}  {interval:<22}{row['minutes']:>8.2f}"
            f"{row['trained_parameters']:>13,}{row['megabytes']:>8.1f}{row['latency_ms']:>7.1f}"
        )
    lines += [f"left out: {s['method']}, {_named(s['per_class'])}: {s['why']}" for s in found["skipped"]]
    advice = found["advice"]
    lines.append(f"\nTake {advice['method']}: {advice['why']}.")
    curve = found["curve"]
    if curve and math.isfinite(curve["next_100"]):
        lines.append(
            f"100 more labels should bring {curve['method']} {curve['next_100'] * 100:+.1f} points"
            f" (it learns towards about {curve['ceiling'] * 100:.0f}%)."
        )
    return "\n".join(lines)
