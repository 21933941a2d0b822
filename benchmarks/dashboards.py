"""How soon each dashboard can be read: ``python -m benchmarks.dashboards`` (``headwater up`` in a folder of its own).

Every visit is a new browser context with empty caches. Useful: the page's title and the first thing to read or to fill
in are visible. Settled: nothing is being drawn any more. The first visit after the start is told apart: it imports what
later ones find loaded.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.load import everything
from benchmarks.table_dashboards import dashboards_table

PAGES = {"support": "http://127.0.0.1:8501", "finance": "http://127.0.0.1:8502", "recommend": "http://127.0.0.1:8503"}
WIDGETS = ("stChatInputTextArea", "stMetric", "stDataFrame", "stVegaLiteChart", "stSelectbox", "stTextInput")
USEFUL = ", ".join(f'[data-testid="{name}"]' for name in WIDGETS)
SETTLED = """() => !document.querySelector('[data-testid="stSkeleton"]')
    && !document.querySelector('[data-testid="stStatusWidget"]')"""
WAIT_MS = 120_000


def visit(browser: Any, url: str) -> dict[str, float]:
    """Seconds from the click to what can be read, and until nothing moves."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator("h1").first.wait_for()
    page.locator(USEFUL).first.wait_for()
    useful = time.perf_counter() - began
    page.wait_for_function(SETTLED)
    settled = time.perf_counter() - began
    context.close()
    return {"useful": useful, "settled": settled}


def paint(rounds: int) -> dict[str, Any]:
    """Each dashboard's first visit, and medians of ``rounds`` later ones, in turns."""
    from playwright.sync_api import sync_playwright

    visits: dict[str, list[dict[str, float]]] = {name: [] for name in PAGES}
    with tempfile.TemporaryDirectory() as folder, everything(Path(folder)), sync_playwright() as play:
        browser = play.chromium.launch(executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu"])
        for turn in range(rounds + 1):
            for name, url in PAGES.items():
                visits[name].append(visit(browser, url))
                print(f"turn {turn} of {rounds}: {name} {visits[name][-1]}", file=sys.stderr, flush=True)
        browser.close()
    return {"rounds": rounds, "dashboards": {name: summary(found) for name, found in visits.items()}}


def _chromium() -> str | None:
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


def summary(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """The first visit, and the medians and the slowest of the others."""
    later = found[1:]
    return {
        "first_useful_s": found[0]["useful"],
        "useful_s": statistics.median(one["useful"] for one in later),
        "useful_worst_s": max(one["useful"] for one in later),
        "settled_s": statistics.median(one["settled"] for one in later),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboards", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=store.RESULTS / "dashboards.json")
    options = parser.parse_args(arguments)
    if _chromium() is None:
        print("No Chromium here; apt-get install chromium.", file=sys.stderr)
        return 2
    store.write_part(options.out, "paint", {"key": "paint", **store.stamp(), **paint(options.rounds)})
    print(dashboards_table(options.out.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
