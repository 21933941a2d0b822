"""Charts of the finance pages (Altair)."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from dashboards.finance_pages.shared import COLOURS
from dashboards.parts.language import Texts

FIELD = {"negative_share": "negative_share", "volume": "stories", "mean_score": "mean_score"}


def _values(rows: Sequence[Mapping[str, Any]]) -> alt.Data:
    return alt.Data(values=[dict(row) for row in rows])


def heat(t: Texts, rows: Sequence[Mapping[str, Any]], order: Sequence[str], measure: str) -> alt.Chart:
    """Subjects by days; a cell without stories stays empty."""
    field = FIELD[measure]
    kept = [dict(row) | {"day": str(row["time"])[5:10]} for row in rows if row["stories"]]
    days = list(dict.fromkeys(str(row["time"])[5:10] for row in sorted(rows, key=lambda row: str(row["time"]))))
    scale = {
        "negative_share": alt.Scale(domain=[0, 1], range=["#e3efe9", "#f6e3c5", "#c8553d"]),
        "volume": alt.Scale(scheme="blues", domainMin=0),
        "mean_score": alt.Scale(domain=[-1, 0, 1], range=[COLOURS["negative"], "#f1f1ee", COLOURS["positive"]]),
    }[measure]
    cell = alt.selection_point(name="cell", fields=["subject"], empty=True)
    title = t(f"finance.measure.{measure}")
    return (
        alt.Chart(_values(kept))
        .mark_rect(cornerRadius=2, stroke="white", strokeWidth=1)
        .encode(
            x=alt.X("day:O", title=None, scale=alt.Scale(domain=days), axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("name:N", sort=list(order), title=None, axis=alt.Axis(labelLimit=220)),
            color=alt.Color(f"{field}:Q", scale=scale, title=title, legend=alt.Legend(format=_format(measure))),
            opacity=alt.condition(cell, alt.value(1.0), alt.value(0.35)),
            tooltip=[
                alt.Tooltip("name:N", title=t("finance.column.subject")),
                alt.Tooltip("yearmonthdate(time):T", title=t("finance.column.day"), format="%Y-%m-%d"),
                alt.Tooltip("stories:Q", title=t("finance.measure.volume")),
                alt.Tooltip("negatives:Q", title=t("finance.sentiment.negative")),
                alt.Tooltip("negative_share:Q", title=t("finance.measure.negative_share"), format=".0%"),
                alt.Tooltip("mean_score:Q", title=t("finance.measure.mean_score"), format="+.2f"),
            ],
        )
        .add_params(cell)
        .properties(height=max(120, 24 * len(order) + 30))
    )


def _format(measure: str) -> str:
    return {"negative_share": ".0%", "volume": "d", "mean_score": "+.1f"}[measure]


def band(t: Texts, rows: Sequence[Mapping[str, Any]], measure: str) -> "alt.LayerChart | alt.FacetChart":
    """What was seen, what was to be expected, and where it left the band."""
    data = _values(rows)
    x = alt.X("time:T", title=None, axis=alt.Axis(format="%m-%d", tickCount="day", labelOverlap=True))
    form = _format(measure)
    axis = alt.Axis(format=form) if measure == "negative_share" else alt.Axis(format=form, tickMinStep=1)
    tips = [
        alt.Tooltip("time:T", title=t("finance.column.until"), format="%m-%d %H:%M"),
        alt.Tooltip("value:Q", title=t(f"finance.measure.{measure}"), format=form),
        alt.Tooltip("expected:Q", title=t("finance.trends.expected"), format=".2f"),
        alt.Tooltip("high:Q", title=t("finance.trends.high"), format=".2f"),
    ]
    point = alt.selection_point(name="point", fields=["time"], nearest=True, empty=False)
    area = (
        alt.Chart(data)
        .mark_area(opacity=0.18, color="#5b7fa6")
        .encode(x=x, y=alt.Y("low:Q", title=None, axis=axis), y2="high:Q")
    )
    usual = alt.Chart(data).mark_line(strokeDash=[4, 3], color="#5b7fa6", strokeWidth=1).encode(x=x, y="expected:Q")
    line = alt.Chart(data).mark_line(color="#33414e", strokeWidth=1.6).encode(x=x, y="value:Q")
    marks = (
        alt.Chart(data)
        .transform_filter("datum.anomaly")
        .mark_point(filled=True, size=46, color=COLOURS["negative"], opacity=1)
        .encode(x=x, y="value:Q", tooltip=tips)
    )
    targets = alt.Chart(data).mark_point(size=60, opacity=0).encode(x=x, y="value:Q", tooltip=tips).add_params(point)
    chosen = alt.Chart(data).transform_filter(point).mark_rule(color="#33414e").encode(x=x)
    return alt.layer(area, usual, line, marks, chosen, targets).properties(height=190)


def compare(t: Texts, rows: Sequence[Mapping[str, Any]], measure: str) -> alt.Chart:
    """One line for each subject."""
    field = FIELD[measure]
    return (
        alt.Chart(_values(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("time:T", title=None, axis=alt.Axis(format="%m-%d")),
            y=alt.Y(f"{field}:Q", title=t(f"finance.measure.{measure}"), axis=alt.Axis(format=_format(measure))),
            color=alt.Color("name:N", title=None, legend=alt.Legend(orient="top")),
            tooltip=["name:N", alt.Tooltip("time:T", format="%Y-%m-%d"), "stories:Q", "negatives:Q"],
        )
        .properties(height=260)
    )


def hours(t: Texts, rows: Sequence[Mapping[str, Any]], since: str | None) -> "alt.LayerChart | alt.FacetChart":
    """Stories by hour, the negative ones apart, with the beginning of an alert."""
    split = [
        {
            "time": row["time"],
            "n": row["negatives"] if kind == "negative" else row["stories"] - row["negatives"],
            "kind": kind,
        }
        for row in rows
        for kind in ("negative", "other")
    ]
    names = {"negative": t("finance.sentiment.negative"), "other": t("finance.sentiment.other")}
    bars = (
        alt.Chart(_values([row | {"kind": names[row["kind"]]} for row in split]))
        .mark_bar()
        .encode(
            x=alt.X("time:T", title=None, axis=alt.Axis(format="%m-%d %H:%M", labelOverlap=True)),
            y=alt.Y("n:Q", title=None, stack=True, axis=alt.Axis(tickMinStep=1, format="d")),
            color=alt.Color(
                "kind:N",
                title=None,
                scale=alt.Scale(domain=list(names.values()), range=[COLOURS["negative"], "#c9d3dc"]),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[alt.Tooltip("time:T", format="%m-%d %H:%M"), "kind:N", "n:Q"],
        )
    )
    layers: list[Any] = [bars]
    if since:
        layers.append(
            alt.Chart(_values([{"time": since}])).mark_rule(color="#33414e", strokeDash=[4, 3]).encode(x="time:T")
        )
    return alt.layer(*layers).properties(height=170)


def picked(event: Any, name: str) -> list[dict[str, Any]]:
    """The values of a selection in a chart."""
    selection = (event or {}).get("selection", {}) if hasattr(event, "get") else {}
    found = selection.get(name, [])
    return [dict(point) for point in found] if isinstance(found, list) else []
