"""The quality rows, each against its aim and two baselines: ``python -m benchmarks.quality``.

Each (row, seed) is one unit: ``core.workflow.tune`` on the row's recipe, and the baselines on the same split. Its
result is written at once to ``results/quality/<row>-<seed>.json``; a unit whose recipe and data files are those
of a result that exists is not run again. Units run cheapest first.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.recipes import PLACE, filled, sources
from benchmarks.rows import ROWS, Row, find
from core.errors import InputError
from core.settings import Settings, get_settings
from core.tuning.recipe import Recipe

RESULTS = store.RESULTS / "quality"


@dataclass(frozen=True)
class Bench:
    """Where results go, and how much of everything is done."""

    results: Path
    settings: Settings
    smoke: bool = False
    fresh: bool = False
    resamples: int = 1000

    def file(self, row: Row, seed: int) -> Path:
        """The result of one unit."""
        return self.results / f"{row.name}-{seed}.json"


def units(rows: Sequence[Row]) -> list[tuple[Row, int]]:
    """Every (row, seed), cheapest first; a row comes after those it needs."""
    found = sorted(((row, seed) for row in rows for seed in row.seeds), key=lambda unit: unit[0].minutes)
    return sorted(found, key=lambda unit: _depth(unit[0]))


def run(row: Row, seed: int, bench: Bench) -> str:
    """Make the result of one unit exist; returns ``there``, ``done`` or ``skipped``.

    The units it needs (a parent, a model to compare with) are run first when their results or models are gone.
    """
    file = bench.file(row, seed)
    try:
        needed = {name: _needed(name, seed, bench) for name in (row.parent, row.against) if name}
        recipe = row.build(bench.settings.datasets, seed, str(needed[row.parent]) if row.parent else None)
        if bench.smoke:
            recipe = small(recipe, bench.settings.var / "benchmarks" / "data")
        key = _key(row, recipe, needed, bench)
        known = store.read(file)
        if known.get("key") == key and "metrics" in known and not bench.fresh:
            return "there"
        _say(f"{row.name}, seed {seed}: about {row.minutes:g} minutes of tuning")
        result = _measure(row, recipe, needed, bench)
    except InputError as error:
        if "metrics" not in store.read(file):  # a figure measured earlier stays
            store.write_new(file, {"row": row.name, "seed": seed, "skipped": _published(str(error), bench)})
        _say(f"{row.name}, seed {seed}: skipped: {error}")
        return "skipped"
    result = {"row": row.name, "seed": seed, "key": key, "dataset": row.folder, **result}
    store.write_new(file, _published(result, bench))
    metrics = result["metrics"]
    shown = ", ".join(f"{name} {metrics[name]['value']:.4f}" for name in row.metrics if name in metrics)
    _say(f"{row.name}, seed {seed}: {shown}")
    return "done"


def small(recipe: Recipe, folder: Path, per_class: int = 6) -> Recipe:
    """The recipe on a few rows of each class of its sources, for two steps: does everything run?"""
    from core.data.readers import read

    values = recipe.model_dump(mode="json", exclude_none=True)
    found = []
    for number, source in enumerate(sources(recipe)):
        frame = read(source, recipe.task, recipe.data.columns, recipe.data.multi_label).frame
        frame = frame.groupby("label", sort=False).head(per_class)
        keep = [name for name in ("text", "text_pair", "group", "label") if name in frame]
        path = folder / recipe.name / f"{number}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame[keep].to_json(path, orient="records", lines=True, force_ascii=False)
        columns = {name: name for name in ("text_pair", "group") if name in frame}
        found.append({"path": str(path), "relabel": source.relabel, "columns": columns})
    for part in ("train", "validation", "test"):
        if isinstance(given := getattr(recipe.data, part), list):
            values["data"][part], found = found[: len(given)], found[len(given) :]
    if isinstance(recipe.data.validation, float):
        values["data"]["validation"] = 0.3
    values["training"] |= {"max_steps": 2, "epochs": 1, "max_length": 32}
    return Recipe.parse(values, where="smoke")


def _measure(row: Row, recipe: Recipe, needed: Mapping[str, Path], bench: Bench) -> dict[str, Any]:
    from benchmarks.baselines import baselines
    from benchmarks.extras import EXTRAS, parity
    from core.data.load import load
    from core.workflow import evaluate, tune

    data = load(recipe.data, recipe.task, recipe.training.seed)
    started = time.perf_counter()
    beside = baselines(recipe, data, row.analyzer, bench.resamples)
    baseline_seconds = time.perf_counter() - started
    tuned = tune(recipe, register=False, settings=bench.settings)
    if tuned is None:
        raise InputError("benchmarks run in one process; do not start them with accelerate launch.")
    seconds = time.perf_counter() - started - baseline_seconds
    result: dict[str, Any] = {
        "data_fingerprint": data.fingerprint,
        "rows": data.to_dict()["rows"],
        "metrics": dict(tuned.metrics),
        "baselines": beside,
        "minutes": round(seconds / 60, 2),
        "baseline_minutes": round(baseline_seconds / 60, 2),
        "train_seconds": tuned.train_seconds,
        "examples_per_second": tuned.examples_per_second,
        "trainable_parameters": tuned.trainable_parameters,
        "total_parameters": tuned.total_parameters,
        "recipe": recipe.model_dump(mode="json", exclude_none=True),
        "model": tuned.path.name,
    }
    for name, source in row.also.items():
        judged = evaluate(tuned.path, filled(source["path"], bench.settings.datasets), source["format"])
        result["metrics"] |= {f"{name}_{metric}": value for metric, value in judged["metrics"].items()}
    for name in () if bench.smoke else row.extra:
        _merge(result, EXTRAS[name](tuned.path, recipe, data))
    if row.against:
        _merge(result, parity(needed[row.against], tuned.path, data, bench.resamples))
    return result


def _merge(result: dict[str, Any], more: Mapping[str, Any]) -> None:
    result["metrics"] = {**result["metrics"], **more["metrics"]}
    result |= {key: value for key, value in more.items() if key != "metrics"}


def _needed(name: str, seed: int, bench: Bench) -> Path:
    """The folder of the model of another row, with this seed if the row has it, else with its first one."""
    other = find(name)
    if bench.smoke:
        other = replace(other, also={}, extra=())
    seed = seed if seed in other.seeds else other.seeds[0]
    for force in (False, True):  # a result whose model was cleared away is made again
        run(other, seed, replace(bench, fresh=force))
        known = store.read(bench.file(other, seed))
        if "model" not in known:
            raise InputError(f"{name}, which it needs, could not be run: {known.get('skipped', 'no result')}")
        folder = bench.settings.runs / known["model"]
        if (folder / "recipe.toml").is_file():
            return folder
    raise InputError(f"{name}: its model is gone from var/runs; run that row again with --fresh.")


def _key(row: Row, recipe: Recipe, needed: Mapping[str, Path], bench: Bench) -> str:
    """Recipe, what the data files contain, and the models it builds on; not where they lie."""
    values = recipe.model_dump(mode="json", exclude_none=True)
    files = store.digest_files(source.path for source in sources(recipe))
    further = [filled(source["path"], bench.settings.datasets) for source in row.also.values()]
    digests = store.digest_files(further)
    models = {name: folder.name for name, folder in needed.items()}
    return store.key_of(_published(values, bench), files, digests, models, sorted(row.extra), row.analyzer)


def _published(values: Any, bench: Bench) -> Any:
    hidden = {str(bench.settings.datasets): PLACE, str(bench.settings.var): "var"}
    return store.public(values, hidden)


def _depth(row: Row) -> int:
    return 1 + max((_depth(find(name)) for name in (row.parent, row.against) if name), default=-1)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.quality", description="The quality rows.")
    made.add_argument("--only", nargs="+", metavar="NAME", help="these rows")
    made.add_argument("--seeds", nargs="+", type=int, help="only these of each row's seeds")
    made.add_argument("--list", action="store_true", help="show the rows and what is there")
    made.add_argument("--minutes", type=float, help="start no new unit after so many minutes")
    made.add_argument("--smoke", action="store_true", help="a few rows, two steps, into var/benchmarks")
    made.add_argument("--fresh", action="store_true", help="run again what is there already")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    settings = get_settings()
    names = {row.name for row in ROWS}
    if unknown := set(options.only or ()) - names:
        _say(f"no row is called {', '.join(sorted(unknown))}; --list shows the names.")
        return 2
    bench = Bench(RESULTS, settings, options.smoke, options.fresh)
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    if options.smoke:
        bench = replace(bench, results=settings.var / "benchmarks" / "quality", resamples=50)
        rows = [replace(row, seeds=row.seeds[:1], also={}, extra=()) for row in rows]
    todo = [unit for unit in units(rows) if not options.seeds or unit[1] in options.seeds]
    if options.list:
        for row, seed in todo:
            known = store.read(bench.file(row, seed))
            state = known.get("date", "to do") if "skipped" not in known else f"skipped: {known['skipped']}"
            print(f"{row.name:32} seed {seed:<3} about {row.minutes:>4g} min  {state}")
        return 0
    started = time.monotonic()
    for row, seed in todo:
        if options.minutes is not None and time.monotonic() - started > options.minutes * 60:
            _say(f"{options.minutes:g} minutes are over; run the same command again to go on.")
            break
        _say(f"{row.name}, seed {seed}: {run(row, seed, bench)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
