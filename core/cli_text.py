"""How the command's results read on a terminal."""

import json
from typing import Any


def tuned(result: dict[str, Any]) -> str:
    """A tuned model: notes on the data, its metrics, what it cost, where its card is."""
    from core.evaluation.report import result_table

    name = result["name"] + (f":{result['version']}" if result["version"] else "")
    notes = [f"note: {f['message']}" for f in result["findings"]]
    share = result["trainable_parameters"] / max(1, result["total_parameters"])
    return "\n".join(
        [
            *notes,
            f"{name}  {result['task']} by {result['method']} on {result['backbone']}, "
            f"measured on {result['measured_on']}",
            result_table(result["metrics"]),
            f"trained {result['trainable_parameters']:,} of {result['total_parameters']:,} weights ({share:.1%})"
            f" in {result['train_seconds']:.0f} s, {result['examples_per_second']:.0f} examples/s",
            f"card: {result['path']}/README.md",
        ]
    )


def predictions(found: list[dict[str, Any]]) -> str:
    """One line per text: label, probability, text."""
    lines = []
    for one in found:
        label = ", ".join(one["label"]) if isinstance(one["label"], list) else one["label"]
        sure = "" if one["probability"] is None else f"  {one['probability']:.2f}"
        lines.append(f"{label}{sure}  {one['text']}")
    return "\n".join(lines)


def backbones(rows: list[dict[str, Any]]) -> str:
    """One line per backbone of the catalogue."""
    lines = []
    for row in rows:
        state = "installed" if row["installed"] else f"not installed: {row['install']}"
        languages = ", ".join(row["languages"]) if isinstance(row["languages"], list | tuple) else row["languages"]
        lines.append(
            f"{row['name']:<16} {row['parameters'] / 1e6:>6.1f}M  {row['size_mb']:>5.0f} MB"
            f"  {row['licence']:<10} {languages:<14} {state}"
        )
    return "\n".join(lines)


def models(rows: list[dict[str, Any]]) -> str:
    """One line per registered name."""
    if not rows:
        return "no models are registered yet; run: headwater tune data/recipes/intents.toml"
    return "\n".join(
        f"{row['name']:<28} versions {len(row['versions'])}  "
        + "  ".join(f"{alias} -> {version}" for alias, version in row["aliases"].items())
        for row in rows
    )


def fields(row: dict[str, Any]) -> str:
    """One line per field."""
    return "\n".join(f"{key:<14} {json.dumps(value, ensure_ascii=False)}" for key, value in row.items())
