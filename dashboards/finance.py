"""The finance monitor's dashboard: ``streamlit run dashboards/finance.py`` (port 8502 in ``headwater up``)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dashboards.finance_pages import alerts, article, overview, rules, sources, trends
from dashboards.parts.page import run

run(
    "finance",
    ":material/monitoring:",
    {
        "overview": overview.draw,
        "trends": trends.draw,
        "alerts": alerts.draw,
        "article": article.draw,
        "rules": rules.draw,
        "sources": sources.draw,
    },
)
