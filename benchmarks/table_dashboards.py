"""How soon the dashboards can be read, as Markdown."""

from pathlib import Path

from benchmarks import store
from benchmarks.markdown import origin, reason
from benchmarks.markdown import table as as_table


def dashboards_table(results: Path) -> str:
    """Seconds to the first useful paint of each dashboard."""
    found = store.read(results / "dashboards.json").get("parts", {}).get("paint", {})
    if "dashboards" not in found:
        return f"first useful paint: {reason([found])}."
    head = ["dashboard", "first visit after the start, s", "later visits, median (slowest), s", "nothing moves, s"]
    rows = [
        [
            name,
            f"{one['first_useful_s']:.1f}",
            f"{one['useful_s']:.1f} ({one['useful_worst_s']:.1f})",
            f"{one['settled_s']:.1f}",
        ]
        for name, one in found["dashboards"].items()
    ]
    return f"{as_table(head, rows)}\n\nAim: under 3 s. {origin([found], 'dashboards')}"
