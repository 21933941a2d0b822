"""The tables of bulk runs: systems beside each other, and what their figures mean for a billion texts."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import store
from benchmarks.markdown import origin, reason, table
from core.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from benchmarks.bulk import Plan

GUIDE = PROJECT_ROOT / "packaging" / "README.md"
START, END = "<!-- benchmarks:bulk -->", "<!-- /benchmarks:bulk -->"


def bulk_table(results: Path) -> str:
    """Rows a second and start-up of each system, Ray's cost, scaling, and the plan."""
    from benchmarks.bulk import SYSTEMS, plan

    part = store.read(results / "bulk.json").get("parts", {}).get("systems", {})
    systems = part.get("systems", {})
    if not systems:
        return f"bulk: {reason([part])}."
    lines = []
    for name in SYSTEMS:
        found = systems.get(name)
        if found is None:
            lines.append([name, "–", "–", "–"])
            continue
        whole = f"{found['rows']:,} rows in {found['seconds']:.1f} s"
        lines.append([name, f"{found['rows_per_second']:.0f}", f"{found['start_seconds']:.1f}", whole])
    blocks = [table(["bulk predict, finance-sentiment", "texts/s once it runs", "start-up s", "whole command"], lines)]
    ratios = [[name, f"{value:.2f}"] for name, value in part["ratios"].items()]
    if ratios:
        blocks.append(table(["ratio of texts/s", "times"], ratios))
    with contextlib.suppress(ValueError):
        blocks.append(plan_table(plan(systems)))
    rounds = {len(found["runs"]) // 2 for found in systems.values()}
    note = f"One thread a worker but for the last; medians of {', '.join(map(str, sorted(rounds)))} rounds."
    ray = f" Ray {part['ray']}." if part.get("ray") else ""
    return "\n\n".join([*blocks, f"{note}{ray} {origin([part], 'bulk')}"])


def write_guide(results: Path, guide: Path = GUIDE) -> None:
    """Put the table between its markers in the guide."""
    from core.evaluation.files import write_text

    before, start, rest = guide.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{guide} has no place for the table; add {START} and {END}")
    write_text(guide, f"{before}{start}\n\n{bulk_table(results)}\n\n{end}{after}")


def plan_table(plans: Sequence["Plan"]) -> str:
    """One line for each number of cores."""
    lines = [
        [
            f"{one.cores:,}",
            f"{one.hours:,.1f}",
            f"{one.hours / 24:,.1f}",
            f"{one.core_hours:,.0f}",
            f"{one.shards:,} of {one.minutes_a_shard:.1f} min",
            f"{one.gigabytes:,.0f}",
            f"{one.vector_gigabytes:,.0f}",
        ]
        for one in plans
    ]
    rows = f"{plans[0].rows:,} texts, cores" if plans else "cores"
    return table(
        [rows, "hours", "days", "core hours", "shards", "GB out (labels)", "GB of vectors, were they kept"], lines
    )
