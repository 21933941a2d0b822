"""The tables of prediction and of search."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.markdown import UNMEASURED, origin, reason, table
from benchmarks.serving_http import HEAD, PART, http_rows

AIMS = {"classification": 4.0, "embedding": 2.0}
SHARES = {"torch": 0.6, "onnx": 0.6, "openvino": 0.6, "onnx-int8": 1.0}
SEARCH_AIMS = {100_000: 0.5, 1_000_000: 2.0}  # milliseconds, at recall@10 ≥ .98
RECALL = 0.98


def serving_table(results: Path) -> str:
    """Speed beside peers, share of the processor, 8 bits beside float32, cold start."""
    parts = store.read(results / "serving.json").get("parts", {})
    blocks = [_speed(task, parts.get(task, {})) for task in AIMS]
    rows = http_rows(results)
    blocks += [_shares(parts.get("lengths", {})), _int8(parts), _cold(parts.get("cold", {}))]
    blocks.append(table(HEAD, rows) if rows else f"REST API: {reason([parts.get(PART, {})])}.")
    measured = [part for part in parts.values() if "date" in part]
    return "\n\n".join([*blocks, *([origin(measured, "serving")] if measured else [])])


def _speed(task: str, part: Mapping[str, Any]) -> str:
    if "systems" not in part:
        return f"{task}: {reason([part])}."
    lines = []
    for name, found in part["systems"].items():
        times = part["ratios"].get(name)
        faster = f"{times['ratio']:.1f}× ({times['low']:.1f}–{times['high']:.1f})" if times else "–"
        reached = "–" if times is None else _yes(times["ratio"] >= AIMS[task])
        lines.append([name, f"{found['examples_per_second']:.0f}", faster, reached])
    head = [f"{task}, {part['threads']} threads", "texts/s", f"times {part['peer']}", f"≥ {AIMS[task]:g}×"]
    return table(head, lines)


def _shares(part: Mapping[str, Any]) -> str:
    if "engines" not in part:
        return f"by length: {reason([part])}."
    engines = list(dict.fromkeys(row["engine"] for row in part["engines"]))
    lengths = list(dict.fromkeys(row["tokens"] for row in part["engines"]))
    rows = {(row["engine"], row["tokens"]): row for row in part["engines"]}
    lines = [
        [
            f"{engine} (aim {SHARES[engine]:.0%})",
            *(f"{(row := rows[engine, n])['texts_per_second']:.0f} ({row['share_of_peak']:.0%})" for n in lengths),
        ]
        for engine in engines
    ]
    head = ["texts/s by tokens in a text (share of the peak)", *map(str, lengths)]
    note = (
        f"Peak: the best float32 matrix product, {part['peak_gflop_per_second']:.0f} GFLOP/s on {part['threads']}"
        " threads, measured in turns with the engines. Plot: `benchmarks/results/serving-lengths.png`."
    )
    return f"{table(head, lines)}\n\n{note}"


def _int8(parts: Mapping[str, Any]) -> str:
    lines = []
    for name in ("banking77", "phrasebank", "topics", "embeddings"):
        part = parts.get(f"int8/{name}", {})
        if "scheme" not in part:
            lines.append([name, reason([part]), *["–"] * 5])
            continue
        if name == "embeddings":
            figures = [f"{part['onnx']['mrr@10']:.4f}", f"{part['onnx-int8']['mrr@10']:.4f}"]
            loss, rows, metric = part["loss"]["mrr@10"], part["queries"], "StackFAQ MRR@10"
        else:
            figures = [f"{part['accuracy'] + part['accuracy_loss']:.4f}", f"{part['accuracy']:.4f}"]
            loss, rows, metric = part["accuracy_loss"], part["test_rows"], "accuracy"
        interval = part.get("loss_interval") or {}
        shown = f"{100 * loss:.2f}" + (
            f" [{100 * interval['low']:.2f}, {100 * interval['high']:.2f}]" if interval else ""
        )
        lines.append([name, metric, f"{rows:,}", *figures, shown, _yes(loss <= 0.004)])
    head = ["8 bits", "metric", "rows", "float32", "int8", "loss in points [95%]", "≤ 0.4"]
    return table(head, lines)


def _cold(part: Mapping[str, Any]) -> str:
    if "systems" not in part:
        return f"cold start: {reason([part])}."
    lines = [
        [name, f"{found['seconds']:.2f} ({found['low']:.2f}–{found['high']:.2f})"]
        for name, found in part["systems"].items()
    ]
    return table(["process start to first answer", "seconds"], lines)


def search_table(results: Path) -> str:
    """Vector search by size, and what words, meaning and both find."""
    parts = store.read(results / "search.json").get("parts", {})
    vectors = [part for name, part in parts.items() if name.startswith("vectors/")]
    quality = {name: part for name, part in parts.items() if "systems" in part}
    measured = [part for part in parts.values() if "date" in part]
    blocks = [_vectors(vectors), _quality(quality)]
    return "\n\n".join([*blocks, *([origin(measured, "serving")] if measured else [])])


def _vectors(parts: Sequence[Mapping[str, Any]]) -> str:
    from core.search.ann import kind_for

    measured = sorted((p for p in parts if "latency_ms" in p), key=lambda p: p["rows"])
    if not measured:
        return f"vector search: {reason(parts) if parts else UNMEASURED}."
    lines = []
    for part in measured:
        aim, recall = SEARCH_AIMS.get(part["rows"]), part["recall@10"]
        reached = "–" if aim is None else _yes(part["latency_ms"]["p50"] <= aim and recall >= RECALL)
        lines.append(
            [
                f"{part['rows']:,}",
                part["kind"] + (" (chosen)" if part["kind"] == kind_for(part["rows"]) else ""),
                f"{part['latency_ms']['p50']:.2f} / {part['latency_ms']['p95']:.2f}",
                f"{recall:.3f}",
                "–" if aim is None else f"≤ {aim:g}",
                reached,
                f"{part['memory_mb']:,.0f}",
                f"{part['disk_mb']:,.0f}",
                f"{part['build_and_save_seconds']:.0f}",
            ]
        )
    head = ["rows", "index", "ms p50 / p95", "recall@10", "aim, ms", "reached", "resident MB", "disk MB", "build s"]
    mixed = next((part for part in measured if part.get("mixed_rows")), None)
    note = "384 dimensions, one query at a time, one thread; queries are real texts that are not indexed."
    if mixed:
        note += (
            f" Rows: {max(p['real_rows'] for p in measured):,} real texts; beyond them mixtures of real ones near each"
            " other. Plot: `benchmarks/results/search-latency.png`."
        )
    skipped = sorted({part["skipped"] for part in parts if "skipped" in part})
    return "\n\n".join([table(head, lines), " ".join([note, *(f"Left out: {text}." for text in skipped)])])


def _quality(parts: Mapping[str, Mapping[str, Any]]) -> str:
    if not parts:
        return f"words and meaning: {UNMEASURED}."
    names = {"lexical": "words", "semantic": "meaning", "ranks": "plain rank fusion", "fitted": "fitted weights"}
    lines = []
    for collection, part in parts.items():
        for system, shown in names.items():
            found = part["systems"][system]
            lines.append([collection, shown, *(_interval(found[metric]) for metric in ("recall@5", "mrr@10", "map"))])
    head = ["collection", "ranking", "recall@5 [95%]", "MRR@10 [95%]", "MAP [95%]"]
    return table(head, lines)


def _interval(values: Mapping[str, Any]) -> str:
    return f"{values['value']:.3f} [{values['low']:.3f}, {values['high']:.3f}]"


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"
