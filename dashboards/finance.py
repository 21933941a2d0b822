"""The finance monitor's dashboard: ``streamlit run dashboards/finance.py`` (port 8502 in ``headwater up``)."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dashboards.parts.language import Texts
from dashboards.parts.page import run


def page(name: str) -> Callable[[Texts], None]:
    """What draws a page; its module is imported when the page is looked at first."""
    return lambda texts: import_module(f"dashboards.finance_pages.{name}").draw(texts)


PAGES = ("overview", "trends", "alerts", "article", "rules", "sources")
run("finance", ":material/monitoring:", {name: page(name) for name in PAGES}, role="analyst")
