"""Pieces of the result tables: Markdown rows, and where and when a figure was measured."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.machine import summary

UNMEASURED = "not measured yet"


def reason(found: Iterable[Mapping[str, Any]]) -> str:
    """Why there is no figure."""
    reasons = [part["skipped"] for part in found if "skipped" in part]
    return f"skipped: {reasons[0].rstrip('.')}" if reasons else UNMEASURED


def origin(parts: Iterable[Mapping[str, Any]], name: str) -> str:
    """When, where and with which command the parts were measured."""
    known = [part for part in parts if "date" in part]
    dates = sorted({part["date"][:10] for part in known})
    span = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    machines = sorted({summary(part["machine"]) for part in known})
    return f"Measured {span} on {'; '.join(machines)} with `make bench-{name}`."


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in rows)])
