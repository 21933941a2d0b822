"""The finance table of README.md, from results/finance.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.machine import summary
from benchmarks.markdown import UNMEASURED


def finance_table(results: Path) -> str:
    """NAB beside the baselines, then one line for each further part that was measured."""
    parts = store.read(results / "finance.json").get("parts", {})
    measured = {name: part for name, part in parts.items() if "date" in part}
    if not measured:
        return f"{UNMEASURED}: `make bench-finance`."
    texts = [make(measured[name]) for name, make in _PARTS.items() if name in measured]
    skipped = [f"{name}: {part['skipped']}." for name, part in parts.items() if "skipped" in part]
    last = max(measured.values(), key=lambda part: part["date"])
    origin = f"`python -m benchmarks.finance`, {last['date']}, {summary(last['machine'])}."
    return "\n\n".join([*texts, *skipped, origin])


def _nab(part: Mapping[str, Any]) -> str:
    lines = ["| detector | NAB standard | NAB low-FP | windows found | false positives |", "|---|---|---|---|---|"]
    for name, both in part["detectors"].items():
        first, second = both["standard"], both["reward-low-FP"]
        shown = "**ours**" if name == "default" else name
        found = f"{first['found']} of {first['windows']}"
        lines.append(
            f"| {shown} | {first['score']:.1f} | {second['score']:.1f} | {found} | {first['false_positives']} |"
        )
    for name, both in part["published"].items():
        lines.append(f"| {name}, as published | {both['standard']:.1f} | {both['reward-low-FP']:.1f} | – | – |")
    ours = part["ours"]
    note = (
        f"NAB's formula on {part['series']} tickers, one set of parameters for all, thresholds best for all of them"
        " together as NAB chooses them. Published figures have thresholds for all 58 series of NAB. Ours at its own"
        f" threshold: {_both(ours['at_half'])}; with its one free number chosen on the four other tickers:"
        f" {_both(ours['left_out'])}. Its form was found while looking at these tickers."
    )
    return "\n".join([*lines, "", note])


def _both(values: Mapping[str, float]) -> str:
    return f"{values['standard']:.1f} / {values['reward-low-FP']:.1f}"


def _sample(part: Mapping[str, Any]) -> str:
    return f"Companies in the sample (synthetic): precision {part['precision']:.3f}, recall {part['recall']:.3f}."


def _stories(part: Mapping[str, Any]) -> str:
    used = part["thresholds"][f"{part['used']:.2f}"]
    return (
        f"Stories of the sample ({part['articles']} articles, {part['stories']} stories): pairs precision"
        f" {used['pair_precision']:.2f}, recall {used['pair_recall']:.2f}, F1 {used['pair_f1']:.2f}; B-cubed"
        f" {used['b_cubed_f1']:.2f}."
    )


def _labels(part: Mapping[str, Any]) -> str:
    return (
        f"Labels of the sample (synthetic, its authors' judgement): sentiment {part['sentiment']:.2f}, topic"
        f" {part['topic']:.2f}; {part['not_labelled']} of {part['articles']} not labelled for their language."
    )


def _speed(part: Mapping[str, Any]) -> str:
    return (
        f"From file to counts: {part['headlines_per_second']:.0f} headlines a second ({part['headlines']} of them;"
        f" {part['label_share']:.0%} of the time is the models')."
    )


def _replay(part: Mapping[str, Any]) -> str:
    rates = ", ".join(f"{year} {rate:.2f}" for year, rate in part["alerts_per_week"].items())
    raised = "; ".join(
        f"{one['rule']} on {one['topic']} ({one['fired'][:10]})" for one in part["raised_by_27_february"]
    )
    return (
        f"Replay of {part['articles']:,} headlines in {part['seconds']:.0f} s. Alerts a week: {rates}. The crash of"
        f" February 2020: {raised or 'not raised by 27 February'}."
    )


_PARTS = {
    "nab": _nab,
    "companies": _sample,
    "stories": _stories,
    "labels": _labels,
    "speed": _speed,
    "replay": _replay,
}
