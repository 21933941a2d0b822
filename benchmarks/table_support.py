"""The support table of README.md, from results/support.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.markdown import UNMEASURED, origin, table


def support_table(results: Path) -> str:
    """Scope and answers, retrieval with and without tuning, and a reply's latency beside its peers."""
    parts = store.read(results / "support.json").get("parts", {})
    blocks = [_bot(parts.get("bot", {})), _tuned(parts), _latency(parts.get("latency", {}))]
    measured = [part for part in parts.values() if "date" in part]
    return "\n\n".join([*blocks, *([origin(measured, "support")] if measured else [])])


def _bot(part: Mapping[str, Any]) -> str:
    if "intents" not in part:
        return f"answers: {UNMEASURED}."
    asked = part["intents"]
    rows = [
        [
            "right template or passage",
            f"first {asked['questions']:,} of BANKING77's test",
            asked["right_answer"],
            "≥ 0.90",
        ],
        [
            "accepted as in scope",
            f"first {asked['questions']:,} of BANKING77's test",
            asked["in_scope_acceptance"],
            "≥ 0.95",
        ],
        [
            "handed over",
            f"{asked['out_of_scope']['questions']:,} of CLINC150's out-of-scope test",
            asked["out_of_scope"]["handoff"],
            "≥ 0.80",
        ],
    ]
    return table(
        ["share of questions", "of", "measured [95%]", "aim"], [[a, b, _interval(c), d] for a, b, c, d in rows]
    )


def _tuned(parts: Mapping[str, Any]) -> str:
    rows = [
        [part["collection"], f"{part['queries']:,}", metric, _interval(value)]
        for part in parts.values()
        if "collection" in part and "metrics" in part
        for metric, value in part["metrics"].items()
    ]
    if not rows:
        return f"retrieval with a matching model tuned on other folds: {UNMEASURED}."
    return table(["matching model tuned on other folds", "queries", "metric", "measured [95%]"], rows)


def _latency(part: Mapping[str, Any]) -> str:
    if "systems" not in part:
        return f"latency: {UNMEASURED}."
    rows = []
    for name, system in part["systems"].items():
        faster = part["times_faster"].get(name, {}).get("p50_ms")
        ratio = f"{faster:.1f}×" if faster else "–"
        rows.append([name, f"{system['p50_ms']:.0f}", f"{system['p95_ms']:.0f}", ratio])
    missing = "".join(f" {name} is missing: {why}." for name, why in part["missing"].items())
    head = table(["a reply without a language model", "p50 ms", "p95 ms", "headwater is faster by (p50)"], rows)
    about = f"{part['passages']:,} passages, one thread, the same encoder, turns taken question by question."
    return f"{head}\n\n{about}{missing}"


def _interval(value: Mapping[str, float]) -> str:
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
