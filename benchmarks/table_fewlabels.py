"""The few-label tables of README.md, from results/fewlabels.json."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.fewlabels_data import TASKS, Task
from benchmarks.markdown import UNMEASURED, origin, reason, table
from benchmarks.summary import figure

OURS, PEER = "few-shot", "setfit"
SHOWN = {OURS: "headwater few-shot", PEER: "setfit", "frozen": "frozen MiniLM + logistic regression"}
SHOWN |= {"tf-idf": "TF-IDF + logistic regression"}
Parts = Mapping[str, Mapping[str, Any]]


def fewlabels_table(results: Path) -> str:
    """Few-shot beside setfit and baselines, seconds, no labels, transfer, wrong labels, advice."""
    parts: Parts = store.read(results / "fewlabels.json").get("parts", {})
    measured = [part for part in parts.values() if "date" in part]
    blocks = [_few(parts), _seconds(parts), _zero(parts), _transfer(parts), _errors(parts), _advice(parts)]
    return "\n\n".join([*blocks, *([origin(measured, "fewlabels")] if measured else [])])


def scores(parts: Parts, task: Task, system: str) -> dict[int, float]:
    """The task's metric of one system by seed."""
    start = f"few-shot/{task.name}/"
    return {
        int(name.removeprefix(start).split("/")[0]): float(part["metrics"][task.metric])
        for name, part in parts.items()
        if name.startswith(start) and name.endswith(f"/{system}") and "metrics" in part
    }


def _few(parts: Parts) -> str:
    rows = []
    for task in TASKS:
        found = {system: scores(parts, task, system) for system in SHOWN}
        peer = found[PEER]
        for system, values in found.items():
            if values:
                burnt = _burnt(parts, task, system)
                against = _against(values, peer, system)
                rows.append([task.shown, SHOWN[system], _named(task), _mean(values), *against, burnt])
    if not rows:
        return f"few-shot: {reason([p for name, p in parts.items() if name.startswith('few-shot/')])}."
    bounded = [_pairs(parts, task) for task in TASKS]
    note = (
        "The same rows and test rows for each; means over seeds with t-intervals, the difference paired by seed. "
        f"setfit with its documented defaults, the same weights{'; '.join(['', *filter(None, bounded)])}. headwater "
        "also reads what the labels are called, as far as the rows bear it out. Processor s: training, median."
    )
    head = ["few-shot", "system", "metric", "mean [95%]", "minus setfit [95%]", "seeds", "processor s"]
    return f"{table(head, rows)}\n\n{note}"


def _burnt(parts: Parts, task: Task, system: str) -> str:
    """Median processor seconds of training, and how many threads burnt them where that is not one."""
    start, end = f"few-shot/{task.name}/", f"/{system}"
    found = [p for name, p in parts.items() if name.startswith(start) and name.endswith(end) and "cpu_seconds" in p]
    if not found:
        return "–"
    threads = max(part.get("threads", 1) for part in found)
    many = f" (up to {threads} threads)" if threads > 1 else ""
    return f"{statistics.median(part['cpu_seconds'] for part in found):.1f}{many}"


def _against(values: Mapping[int, float], peer: Mapping[int, float], system: str) -> list[str]:
    both = sorted(set(values) & set(peer))
    if system == PEER or not both:
        return ["–", str(len(values))]
    differences = [{"value": values[seed] - peer[seed], "low": None, "high": None} for seed in both]
    gap = figure(differences)
    ends = "" if gap.low is None else f" [{gap.low * 100:+.1f}, {gap.high * 100:+.1f}]"  # type: ignore[operator]
    beside = "" if len(both) == len(values) else f" ({len(both)} with setfit)"
    return [f"{gap.value * 100:+.1f}{ends} points", f"{len(values)}{beside}"]


def _mean(values: Mapping[int, float]) -> str:
    return _interval(figure([{"value": v, "low": None, "high": None} for v in values.values()]).to_dict())


def _pairs(parts: Parts, task: Task) -> str:
    found = [
        p["settings"] for name, p in parts.items() if name.startswith(f"few-shot/{task.name}/") and "settings" in p
    ]
    bound = [s for s in found if s.get("num_iterations")]
    return (
        f"{bound[0]['pairs']:,} pairs (num_iterations = {bound[0]['num_iterations']}) on {task.shown}" if bound else ""
    )


def _seconds(parts: Parts) -> str:
    rows = []
    for task in TASKS:
        part = parts.get(f"speed/{task.name}", {})
        if "turns" in part:
            wall, burnt = (sorted(part["times_faster"][kind]) for kind in ("seconds", "cpu_seconds"))
            middle = len(wall) // 2
            taken = [sorted(turn["seconds"] for turn in part["turns"][name])[middle] for name in (OURS, PEER)]
            ratio = f"{wall[middle]:.1f}× ({wall[0]:.1f}–{wall[-1]:.1f})"
            rows.append([task.shown, *(f"{t:.1f}" for t in taken), ratio, f"{burnt[middle]:.1f}×", str(part["rounds"])])
    if not rows:
        return f"seconds of training: {UNMEASURED}."
    threads = {part["threads"] for name, part in parts.items() if name.startswith("speed/") and "threads" in part}
    head = ["training", "headwater s", "setfit s", "headwater is faster by", "in processor time", "turns"]
    note = f"In turns on the same rows, {', '.join(str(n) for n in sorted(threads))} thread(s) each; aim ≥ 3×."
    return f"{table(head, rows)}\n\n{note}"


def _zero(parts: Parts) -> str:
    found = {name.split("/")[1:][0] + "/" + name.split("/")[2]: p for name, p in parts.items() if "zero-shot/" in name}
    rows = [
        [
            *name.split("/"),
            f"{part['rows']:,}",
            _interval(part["metrics"]["accuracy"]),
            _interval(part["metrics"]["f1_macro"]),
        ]
        for name, part in found.items()
        if "metrics" in part
    ]
    if not rows:
        return f"zero-shot: {UNMEASURED}."
    return table(["no labels", "way", "test rows", "accuracy [95%]", "macro-F1 [95%]"], rows)


def _transfer(parts: Parts) -> str:
    found: dict[str, dict[int, Mapping[str, float]]] = {}
    for name, part in parts.items():
        if name.startswith("transfer/") and "metrics" in part:
            _, _, seed, start = name.split("/")
            found.setdefault(start, {})[int(seed)] = part["metrics"]
    if "backbone" not in found:
        return f"transfer: {UNMEASURED}."
    rows = []
    for start, by_seed in found.items():
        both = sorted(set(by_seed) & set(found["backbone"]))
        gaps = [by_seed[s]["f1_macro"] - found["backbone"][s]["f1_macro"] for s in both]
        gap = figure([{"value": g, "low": None, "high": None} for g in gaps])
        ends = "" if gap.low is None else f" [{gap.low * 100:+.1f}, {gap.high * 100:+.1f}]"  # type: ignore[operator]
        values = {metric: {s: m[metric] for s, m in by_seed.items()} for metric in ("accuracy", "f1_macro")}
        shown = "–" if start == "backbone" else f"{gap.value * 100:+.1f}{ends} points"
        rows.append([start, _mean(values["accuracy"]), _mean(values["f1_macro"]), shown, str(len(both))])
    head = ["PhraseBank, 64 per class, starting from", "accuracy [95%]", "macro-F1 [95%]"]
    note = f"Gains are paired by seed.{_before(parts)}"
    return f"{table([*head, 'gain in macro-F1 [95%]', 'seeds'], rows)}\n\n{note}"


def _before(parts: Parts) -> str:
    """What was done once, before any label, for the starts that needed it."""
    found = {
        name.split("/")[3]: p["before"] for name, p in parts.items() if name.startswith("transfer/") and "before" in p
    }
    return "".join(
        f" {start.capitalize()}: tuned once by `data/recipes/adaptation.toml` in "
        f"{before['seconds'] / 60:.1f} minutes, MRR@10 of held-out ones {before['metrics']['mrr@10']['value']:.3f}."
        for start, before in found.items()
    )


def _errors(parts: Parts) -> str:
    part = parts.get("errors/banking77", {})
    if "found" not in part:
        return f"label errors: {UNMEASURED}."
    gap = part["difference"]["difference"]
    random: Sequence[float] = part["random"]
    rows = [
        ["all", f"{part['train_rows']:,}", _interval(part["all"])],
        ["without the doubtful", f"{part['train_rows'] - part['found']:,}", _interval(part["without"])],
        ["without as many random ones", f"{part['train_rows'] - part['found']:,}", _mean(dict(enumerate(random)))],
    ]
    share = part["found"] / part["train_rows"]
    note = (
        f"{part['found']:,} of BANKING77's {part['train_rows']:,} training rows ({share:.1%}) are doubted; without "
        f"them a frozen MiniLM with logistic regression changes by {gap['value'] * 100:+.1f} "
        f"[{gap['low'] * 100:+.1f}, {gap['high'] * 100:+.1f}] points on the test rows."
    )
    return f"{table(['training rows', 'number', 'accuracy [95%]'], rows)}\n\n{note}"


def _advice(parts: Parts) -> str:
    rows = [
        [
            name.removeprefix("advice/"),
            f"{part['labels']}",
            f"{part['minutes']:.1f}",
            part["advised"],
            f"{part['best_there']} of {', '.join(part['not_worse_there'])}",
            "yes" if part["right"] else f"no, {part['loss'] * 100:.1f} points",
        ]
        for name, part in parts.items()
        if name.startswith("advice/") and "advised" in part
    ]
    if not rows:
        return f"advice: {UNMEASURED}."
    head = ["`headwater compare`, 200 rows", "labels", "minutes", "advises", "best of those not worse on 1,000 others"]
    return table([*head, "right"], rows)


def _named(task: Task) -> str:
    return {"f1_macro": "macro-F1"}.get(task.metric, task.metric)


def _interval(values: Mapping[str, Any]) -> str:
    if values.get("low") is None:
        return f"{values['value']:.3f}"
    return f"{values['value']:.3f} [{values['low']:.3f}, {values['high']:.3f}]"
