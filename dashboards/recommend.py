"""The recommender's dashboard: ``streamlit run dashboards/recommend.py`` (port 8503 in ``headwater up``)."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dashboards.parts.language import Texts
from dashboards.parts.page import run


def page(name: str) -> Callable[[Texts], None]:
    """What draws a page; its module is imported when the page is looked at first."""
    return lambda texts: import_module(f"dashboards.recommend_pages.{name}").draw(texts)


PAGES = ("score", "compare", "items", "cohorts", "data")
run("recommend", ":material/recommend:", {name: page(name) for name in PAGES}, role="product")
