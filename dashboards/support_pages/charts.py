"""The charts of the insights page."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboards.parts.language import Texts
from dashboards.support_pages.shared import COLOURS

_KINDS = {"answered": COLOURS["template"], "clarified": COLOURS["clarify"], "handed_over": COLOURS["handoff"]}


def volumes(t: Texts, days: Sequence[dict[str, Any]]) -> alt.Chart:
    """Questions a day, by what became of them."""
    names = {kind: t(f"support.insights.{kind}") for kind in _KINDS}
    rows = [{"day": day["day"], "kind": names[kind], "n": day[kind]} for day in days for kind in _KINDS]
    colour = alt.Scale(domain=list(names.values()), range=list(_KINDS.values()))
    return (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar(cornerRadius=2, size=max(4, min(26, 500 // max(len(days), 1))))
        .encode(
            x=alt.X("yearmonthdate(day):T", title=None, axis=alt.Axis(format="%d %b", tickCount=8, labelAngle=0)),
            y=alt.Y("n:Q", title=t("support.insights.questions"), axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("kind:N", title=None, scale=colour, legend=alt.Legend(orient="top")),
            tooltip=[alt.Tooltip("day:N", title=" "), alt.Tooltip("kind:N", title=" "), alt.Tooltip("n:Q", title=" ")],
        )
        .properties(height=260)
    )


def latency(t: Texts, days: Sequence[dict[str, Any]]) -> alt.Chart:
    """The median and the 95th percentile a day, in milliseconds."""
    rows = [{"day": day["day"], "what": name, "ms": day["latency_ms"][name]} for day in days for name in ("p50", "p95")]
    return (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("yearmonthdate(day):T", title=None, axis=alt.Axis(format="%d %b", tickCount=8, labelAngle=0)),
            y=alt.Y("ms:Q", title="ms"),
            color=alt.Color(
                "what:N",
                title=None,
                scale=alt.Scale(domain=["p50", "p95"], range=["#9aa5b1", "#4a7fb5"]),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[
                alt.Tooltip("day:N", title=" "),
                alt.Tooltip("what:N", title=" "),
                alt.Tooltip("ms:Q", title="ms"),
            ],
        )
        .properties(height=260)
    )


def dial(t: Texts, curve: Sequence[Any], target: float, chosen: float | None) -> "alt.LayerChart | alt.FacetChart":
    """Precision (with its 95% interval) against coverage; the wanted precision as a line, the fitted point on it."""
    rows = pd.DataFrame([point.to_dict() for point in curve])
    x = alt.X(
        "coverage:Q", title=t("support.insights.coverage"), axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])
    )
    least = min(0.5, float(rows["precision"].min()))
    y = alt.Scale(domain=[least, 1], clamp=True)
    band = (
        alt.Chart(rows)
        .mark_area(opacity=0.18, color=COLOURS["passage"])
        .encode(
            x=x,
            y=alt.Y("low:Q", title=t("support.insights.precision"), axis=alt.Axis(format="%"), scale=y),
            y2="high:Q",
        )
    )
    tips = [
        alt.Tooltip("coverage:Q", format=".0%", title=t("support.insights.coverage")),
        alt.Tooltip("precision:Q", format=".1%", title=t("support.insights.precision")),
        alt.Tooltip("threshold:Q", format=".3f", title=t("support.insights.threshold")),
    ]
    line = (
        alt.Chart(rows)
        .mark_line(color=COLOURS["passage"], point=alt.OverlayMarkDef(size=24))
        .encode(x=x, y=alt.Y("precision:Q", scale=y), tooltip=tips)
    )
    wanted = (
        alt.Chart(pd.DataFrame([{"target": target}]))
        .mark_rule(strokeDash=[5, 4], color=COLOURS["handoff"])
        .encode(y=alt.Y("target:Q", scale=y))
    )
    layers = [band, wanted, line]
    if chosen is not None:
        near = rows.iloc[(rows["threshold"] - chosen).abs().argsort()[:1]]
        layers.append(
            alt.Chart(near).mark_point(size=160, filled=True, color=COLOURS["template"]).encode(x=x, y="precision:Q")
        )
    return alt.layer(*layers).properties(height=300)
