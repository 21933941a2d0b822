"""The tables of the recommender: quality on MovieLens, text alone, new items, ablation, speed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.markdown import origin, reason, table

METRICS = ("ndcg@10", "recall@20")
FASTEST = {"100k candidates, one user": 30.0, "top 50, all users": 1000.0}  # milliseconds


def recommend_table(results: Path) -> str:
    """Every system of one run with intervals, then the parts that stand on their own."""
    parts = store.read(results / "recommend.json").get("parts", {})
    quality = parts.get("quality", {})
    blocks = [_systems("all systems, full catalogue", quality)]
    if "against" in quality:
        blocks.append(_against(quality["against"]))
    blocks += [
        _systems("text alone, fitted in closed form", parts.get("text", {})),
        _systems("text alone, encoder tuned", parts.get("encoder", {})),
        _new_items("new items, text fitted in closed form", parts.get("cold", {})),
        _new_items("new items, encoder tuned", parts.get("encoder-cold", {})),
        _systems("ablation: the hybrid", parts.get("ablation", {})),
        _speed(parts.get("speed", {})),
    ]
    measured = [part for part in parts.values() if "date" in part]
    return "\n\n".join([*blocks, *([origin(measured, "recommend")] if measured else [])])


def _systems(title: str, part: Mapping[str, Any]) -> str:
    if "systems" not in part:
        return f"{title}: {reason([part])}."
    lines = []
    for name, found in part["systems"].items():
        ild = found.get("ild")
        extra = [f"{found['coverage@10']:.3f}", f"{found['novelty']:.2f}", "–" if ild is None else f"{ild:.3f}"]
        lines.append([name, *(_interval(found[metric]) for metric in METRICS), *extra])
    return table([title, "nDCG@10", "recall@20", "coverage@10", "novelty (bits)", "diversity"], lines)


def _against(found: Mapping[str, Any]) -> str:
    lines = []
    for name, one in found.items():
        times, difference = one["ndcg@10_ratio"], one["ndcg@10"]
        reached = "yes" if times["value"] >= 1.08 else "no"
        lines.append([name, _interval(times, ".3f"), f"{difference['p_value']:.3f}", reached])
    return table(["hybrid against", "times its nDCG@10", "p (paired bootstrap)", "≥ 1.08"], lines)


def _new_items(title: str, part: Mapping[str, Any]) -> str:
    if "over_random" not in part:
        return f"{title}: {reason([part])}."
    lines = []
    for name, times in part["over_random"].items():
        recall = part["systems"][name]["recall@20"]
        lines.append([name, _interval(recall), f"{times:.1f}×", "yes" if times >= 5 else "no"])
    lines.append(["random order", f"{part['random_recall@20']:.4f}", "1.0×", "–"])
    head = f"{title} ({part['new_items']} of them, {part['users']} users)"
    return table([head, "recall@20 in the full catalogue", "times random", "≥ 5×"], lines)


def _speed(part: Mapping[str, Any]) -> str:
    if "milliseconds" not in part:
        return f"speed: {reason([part])}."
    lines = []
    for name, taken in part["milliseconds"].items():
        task = name.split(":")[0]
        aim = FASTEST.get(task)
        ours = name.rsplit(" ", 1)[-1] in ("hybrid", "blend", "ease")
        reached = "–" if aim is None or not ours else "yes" if taken <= aim else "no"
        lines.append([name, f"{taken:,.1f}", f"{aim:g}" if aim and ours else "–", reached])
    memory = part["memory"]["total for 1M items"]
    missing = f" Not installed here: {', '.join(part['missing'])}." if part.get("missing") else ""
    told = f"Arrays that grow with the catalogue: {memory:,.0f} MB at 1M items.{missing}"
    return table(["one thread, medians of turns", "ms", "aim", "reached"], lines) + f"\n\n{told}"


def _interval(value: Mapping[str, Any], form: str = ".4f") -> str:
    if value.get("low") is None:
        return format(value["value"], form)
    return f"{value['value']:{form}} ({value['low']:{form}}–{value['high']:{form}})"
