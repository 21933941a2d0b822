"""Markdown tables from ``benchmarks/results``, and their places in README.md: ``python -m benchmarks.table``.

A table stands between ``<!-- benchmarks:NAME -->`` and ``<!-- /benchmarks:NAME -->``; NAME is a key of
``TABLES``. ``--check`` writes nothing and exits 1 when README.md is not what the results say.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.markdown import UNMEASURED as UNMEASURED
from benchmarks.markdown import origin as _origin
from benchmarks.markdown import reason as _reason
from benchmarks.markdown import table as _table
from benchmarks.rows import LESS_IS_BETTER, ROWS, Row
from benchmarks.summary import Figure, figure
from benchmarks.table_dashboards import dashboards_table
from benchmarks.table_fewlabels import fewlabels_table
from benchmarks.table_finance import finance_table
from benchmarks.table_generation import generation_table
from benchmarks.table_load import load_table
from benchmarks.table_recommend import recommend_table
from benchmarks.table_serving import search_table, serving_table
from benchmarks.table_support import support_table
from benchmarks.tuning import SYSTEMS, summarise
from benchmarks.tuning_data import DATASETS
from core.settings import PROJECT_ROOT

README = PROJECT_ROOT / "README.md"


def tuning_table(results: Path) -> str:
    """Speed and accuracy beside peers, one table per data set."""
    parts = store.read(results / "tuning.json").get("parts", {})
    blocks = []
    for dataset in DATASETS:
        mine = {name: part for name, part in parts.items() if name.startswith(f"{dataset}/")}
        rows = summarise(mine, dataset)
        if not rows:
            blocks.append(f"{dataset}: {_reason(mine.values())}.")
            continue
        lines = []
        for name in SYSTEMS:
            row = rows.get(name, {})
            faster = row.get("ours_times_faster")
            ratio = f"{faster['ratio']:.1f}× ({faster['low']:.1f}–{faster['high']:.1f})" if faster else "–"
            lines.append(
                [
                    name,
                    _number(row.get("examples_per_second"), ".0f"),
                    ratio,
                    _number(row.get("accuracy"), ".4f"),
                    _number(row.get("epochs"), "g"),
                    _number(row.get("wall_seconds"), ".0f"),
                    _seconds_to(row),
                    _number(row.get("peak_memory_mb"), ",.0f"),
                ]
            )
        head = [
            dataset,
            "examples/s",
            "headwater is faster by",
            "accuracy",
            "epochs",
            "seconds in all",
            "seconds to the seed recipe's accuracy",
            "peak MB",
        ]
        capped = {row["train_rows"] for row in rows.values() if "train_rows" in row}
        note = f"Training rows: {', '.join(f'{n:,}' for n in sorted(capped))}." if capped else ""
        blocks.append("\n".join([_table(head, lines), "", f"{note} {_origin(mine.values(), 'tuning')}".strip()]))
    return "\n\n".join(blocks)


def quality_table(results: Path) -> str:
    """Every quality row with its aim and baselines; means over seeds."""
    lines, seen = [], []
    for row in ROWS:
        found = [store.read(results / "quality" / f"{row.name}-{seed}.json") for seed in row.seeds]
        measured = [result for result in found if "metrics" in result]
        seen += measured
        for metric in row.metrics:
            lines.append(_quality_line(row, metric, measured, found))
    head = ["row", "metric", "measured [95%]", "aim", "reached", "TF-IDF", "frozen", "seeds", "best known"]
    note = (
        "Interval: bootstrap over test rows with one seed, t over seeds with three or more. "
        "TF-IDF and frozen backbone vectors each under a logistic regression on the same splits."
    )
    origin = _origin(seen, "quality") if seen else ""
    return "\n".join([_table(head, lines), "", f"{note} {origin}".strip()])


def methods_table(results: Path) -> str:
    """Every tuning method on the fixed subset of BANKING77."""
    from benchmarks.methods import EPOCHS, LEARNING_RATES, PER_CLASS

    parts = store.read(results / "methods.json").get("parts", {})
    lines = []
    for method in LEARNING_RATES:
        found = parts.get(method, {})
        if "metrics" not in found:
            lines.append([method, _reason([found]), *["–"] * 6])
            continue
        lines.append(
            [
                method,
                f"{found['trainable_parameters']:,}",
                f"{found['share']:.2%}",
                f"{found['minutes']:.1f}",
                _interval(found["metrics"]["accuracy"]),
                _interval(found["metrics"]["f1_macro"]),
                f"{found['saved_bytes'] / 2**20:.1f}",
                "identical" if found["reload_identical"] else "differs",
            ]
        )
    head = [
        "method",
        "trained weights",
        "share",
        "minutes",
        "accuracy [95%]",
        "macro F1 [95%]",
        "saved MB",
        "reload",
    ]
    measured = [part for part in parts.values() if "metrics" in part]
    note = f"BANKING77, all 77 intents, {PER_CLASS} rows each, whole test part"
    epochs = {part["recipe"]["training"]["epochs"] for part in measured} or {EPOCHS}
    note += f", {', '.join(f'{e:g}' for e in sorted(epochs))} epochs."
    return "\n".join([_table(head, lines), "", f"{note} {_origin(measured, 'methods') if measured else ''}".strip()])


TABLES: dict[str, Callable[[Path], str]] = {
    "tuning": tuning_table,
    "quality": quality_table,
    "methods": methods_table,
    "fewlabels": fewlabels_table,
    "generation": generation_table,
    "serving": serving_table,
    "search": search_table,
    "finance": finance_table,
    "support": support_table,
    "recommend": recommend_table,
    "load": load_table,
    "dashboards": dashboards_table,
}


def rewrite(text: str, results: Path) -> tuple[str, list[str]]:
    """``text`` with every marked section made anew, and the names whose markers it lacks."""
    missing = []
    for name, make in TABLES.items():
        start, end = f"<!-- benchmarks:{name} -->", f"<!-- /benchmarks:{name} -->"
        pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            missing.append(name)
            continue
        section = f"{start}\n\n{make(results)}\n\n{end}"
        text = pattern.sub(lambda _, section=section: section, text)  # type: ignore[misc]
    return text, missing


def _quality_line(
    row: Row, metric: str, measured: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
) -> list[str]:
    values = [result["metrics"][metric] for result in measured if metric in result["metrics"]]
    aim = row.targets.get(metric)
    sign = "≤" if metric in LESS_IS_BETTER else "≥"
    aimed = "–" if aim is None else f"{sign} {aim:g}"
    if not values:
        return [row.name, metric, _reason(found), aimed, "–", "–", "–", "–", row.best_known or "–"]
    result = figure(values)
    beside = [_beside(measured, name, metric) for name in ("tfidf", "frozen")]
    reached = "–" if aim is None else _reached(result, aim, metric in LESS_IS_BETTER)
    shown = _interval(result.to_dict())
    return [row.name, metric, shown, aimed, reached, *beside, str(result.seeds), row.best_known or "–"]


def _beside(measured: Iterable[Mapping[str, Any]], name: str, metric: str) -> str:
    found = [r["baselines"][name]["metrics"].get(metric) for r in measured]
    values = [value for value in found if value is not None]
    return f"{figure(values).value:.4f}" if values else "–"


def _reached(result: Figure, aim: float, less: bool) -> str:
    return "yes" if (result.value <= aim if less else result.value >= aim) else "no"


def _interval(values: Mapping[str, Any]) -> str:
    if values.get("low") is None or values.get("high") is None:
        return f"{values['value']:.4f}"
    return f"{values['value']:.4f} [{values['low']:.4f}, {values['high']:.4f}]"


def _seconds_to(row: Mapping[str, Any]) -> str:
    if "seconds_to_seed_accuracy" not in row:
        return "–"
    seconds = row["seconds_to_seed_accuracy"]
    return "not reached" if seconds is None else f"{seconds:.0f}"


def _number(value: float | None, how: str) -> str:
    return "–" if value is None else format(value, how)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description="The tables of README.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when README.md is out of date")
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--results", type=Path, default=store.RESULTS)
    options = parser.parse_args(arguments)
    before = options.readme.read_text(encoding="utf-8")
    after, missing = rewrite(before, options.results)
    if missing:
        names = ", ".join(f"<!-- benchmarks:{name} -->" for name in missing)
        print(
            f"{options.readme.name} has no place for {names}; add both markers where it belongs.",
            file=sys.stderr,
        )
    if options.check:
        if after != before:
            print(f"{options.readme.name} is out of date; run: python -m benchmarks.table", file=sys.stderr)
        return int(after != before or bool(missing))
    if after != before:
        from core.evaluation.files import write_text

        write_text(options.readme, after)
    return 2 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
