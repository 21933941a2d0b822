"""The support desk's dashboard: ``streamlit run dashboards/support.py`` (port 8501 in ``headwater up``)."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dashboards.parts.language import Texts
from dashboards.parts.page import run


def page(name: str) -> Callable[[Texts], None]:
    """What draws a page; its module is imported when the page is looked at first."""
    return lambda texts: import_module(f"dashboards.support_pages.{name}").draw(texts)


PAGES = ("desk", "knowledge", "review", "insights")
run("support", ":material/support_agent:", {name: page(name) for name in PAGES}, role="agent")
