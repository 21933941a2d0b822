"""The support table of README.md, from results/support.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.markdown import UNMEASURED, origin, table
from benchmarks.rows import LESS_IS_BETTER, find
from benchmarks.search_quality import METRICS

SYSTEMS = {
    "lexical": "BM25",
    "semantic": "MiniLM, untuned",
    "haystack": "haystack",
    "llamaindex": "llamaindex",
    "fitted": "**headwater**, weight fitted on other folds",
    "tuned": "**headwater**, matching tuned on other questions",
}


def support_table(results: Path) -> str:
    """Scope and answers, intents, retrieval beside its peers, and a reply's latency beside them."""
    parts = store.read(results / "support.json").get("parts", {})
    intents = store.read(results / "quality" / "clinc150-7.json")
    blocks = [_bot(parts.get("bot", {})), _intents(intents), _retrieval(parts), _latency(parts.get("latency", {}))]
    measured = [part for part in (*parts.values(), intents) if "date" in part]
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


def _intents(found: Mapping[str, Any]) -> str:
    if "metrics" not in found:
        return f"CLINC150's 150 intents by a tuned model: {UNMEASURED}."
    beside = {name: found["baselines"][name]["metrics"] for name in ("tfidf", "frozen")}
    called = {
        "accuracy": "accuracy in scope",
        "oos_recall": "out of scope told, 95% in scope accepted",
        "ece": "calibration error (ECE)",
    }
    rows = [
        [
            called[metric],
            _interval(found["metrics"][metric]),
            f"{'≤' if metric in LESS_IS_BETTER else '≥'} {aim:.3g}",
            *(f"{one[metric]['value']:.3f}" if metric in one else "–" for one in beside.values()),
        ]
        for metric, aim in find("clinc150").targets.items()
    ]
    return table(["CLINC150, 150 intents", "tuned [95%]", "aim", "TF-IDF", "MiniLM, untuned"], rows)


def _retrieval(parts: Mapping[str, Any]) -> str:
    start = "retrieval/"
    names = [name.removeprefix(start) for name in parts if name.startswith(start) and not name.endswith(", peers")]
    tuned = {part["collection"]: part["metrics"] for part in parts.values() if "collection" in part}
    rows = []
    for name in names:
        own, peers = parts[f"{start}{name}"], parts.get(f"{start}{name}, peers", {})
        systems = {**own["systems"], **peers.get("systems", {}), "tuned": tuned.get(name)}
        rows += [
            [f"{name} ({own['queries']:,})", called, *(_interval(systems[system][metric]) for metric in METRICS)]
            for system, called in SYSTEMS.items()
            if systems.get(system)
        ]
    if not rows:
        return f"retrieval: {UNMEASURED}."
    missing = {why for part in parts.values() if "systems" in part for why in part.get("missing", {}).values()}
    note = (
        "Haystack and LlamaIndex: BM25 and the same vectors, fused by reciprocal ranks. "
        "MAP counts what comes after the first 100 as not found."
    )
    head = table(["documents (questions)", "system", *METRICS], rows)
    return "\n\n".join([head, " ".join([note, *(f"Missing: {why}." for why in sorted(missing))])])


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
