"""What the finance commands show a person."""

from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def table(rows: Sequence[Sequence[Any]], head: Sequence[str]) -> str:
    """Columns side by side, each as wide as its widest cell."""
    cells = [[str("" if cell is None else cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def moment(text: str | None) -> str:
    """An ISO time to the minute."""
    return text[:16].replace("T", " ") if text else "never"


def sources(rows: Rows) -> str:
    """One line for each source."""
    if not rows:
        return "no sources yet"
    shown = [
        (r["id"], r["kind"], r["health"], r["articles"], moment(r["last_success"]), moment(r["next_check"]), r["error"])
        for r in rows
    ]
    return table(shown, ("source", "kind", "health", "articles", "last success", "next check", "error"))


def visits(rows: Rows) -> str:
    """One line for each visit."""
    if not rows:
        return "nothing is due"
    shown = [
        (r["source"], r["outcome"], r["items"], r["new"], r["updated"], r["duplicates"], r["requests"], r["reason"])
        for r in rows
    ]
    return table(shown, ("source", "outcome", "items", "new", "updated", "known", "requests", "reason"))
