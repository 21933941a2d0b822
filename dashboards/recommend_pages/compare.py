"""Compare: two ways to rank beside each other, for one user and on held-out behaviour, with the price of variety."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from core.errors import InputError
from dashboards.parts.language import Texts
from dashboards.recommend_pages import shared
from verticals.recommend.comparing import Configuration, compare_on_held_out, held_out, variety_curve
from verticals.recommend.recommender import Recommender
from verticals.recommend.settings import recommend_settings

SYSTEMS = ("hybrid", "blend", "popular", "item-knn", "ease", "untuned text")


@dataclass(frozen=True)
class _Side:
    label: str
    configuration: Configuration


def draw(t: Texts) -> None:
    """Draw the page."""
    st.title(t("recommend.compare.title"), anchor=False)
    recommender = shared.opened(t)
    shared.synthetic_note(t, recommender)
    left, right = st.columns(2, gap="large")
    sides = [_side(t, column, label, number) for number, (column, label) in enumerate(((left, "A"), (right, "B")))]
    users = shared.most_active(recommender)
    if users:
        _beside(t, recommender, sides, users)
    st.divider()
    st.subheader(t("recommend.compare.held_out"))
    st.caption(t("recommend.compare.held_out_help"))
    if st.button(t("recommend.compare.run"), type="primary", icon=":material/play_arrow:"):
        with st.spinner(t("recommend.compare.running")):
            try:
                st.session_state["compared"] = _held_out(sides, recommender.snapshot.version)
            except InputError as error:
                shared.failed(t, error)
    if "compared" in st.session_state:
        _figures(t, st.session_state["compared"])


def _side(t: Texts, column: Any, label: str, number: int) -> _Side:
    with column:
        st.subheader(label)
        system = st.selectbox(
            t("recommend.compare.system"),
            SYSTEMS,
            index=number,
            format_func=lambda name: t(f"recommend.system.{name.replace(' ', '_').replace('-', '_')}"),
            key=f"system-{label}",
        )
        variety = st.slider(t("recommend.score.variety"), 0.0, 1.0, 0.3 * number, 0.05, key=f"variety-{label}")
        return _Side(label, Configuration(system, variety))


def _beside(t: Texts, recommender: Recommender, sides: list[_Side], users: list[str]) -> None:
    user = st.selectbox(t("recommend.viewer.user"), users, key="compare-user")
    lists = []
    for side in sides:
        try:
            lists.append(side.configuration.list_for(recommender, user, 10))
        except InputError as error:
            shared.failed(t, error)
            return
    both = {row["item"] for row in lists[0]} & {row["item"] for row in lists[1]}
    st.caption(t("recommend.compare.shared", n=len(both)))
    for column, rows in zip(st.columns(2, gap="large"), lists, strict=True):
        frame = pd.DataFrame(
            {
                t("recommend.column.rank"): [row["rank"] for row in rows],
                t("recommend.column.title"): [row["title"] for row in rows],
                t("recommend.column.category"): [row["category"] for row in rows],
                t("recommend.compare.in_both"): [row["item"] in both for row in rows],
            }
        )
        column.dataframe(frame, hide_index=True, width="stretch")


@st.cache_data(show_spinner=False, max_entries=8)
def _measured(sides: tuple[tuple[str, float], ...], data: int) -> dict[str, Any]:
    settings = recommend_settings()
    configurations = [Configuration(system, variety) for system, variety in sides]
    given = held_out(settings)
    return {
        "held_out": compare_on_held_out(given, configurations),
        "curve": variety_curve(given, configurations[0].system),
    }


def _held_out(sides: list[_Side], data: int) -> dict[str, Any]:
    return _measured(tuple((s.configuration.system, s.configuration.variety) for s in sides), data)


def _figures(t: Texts, found: Mapping[str, Any]) -> None:
    rows = []
    told = found["held_out"]
    for label, one in zip("AB", told["configurations"], strict=True):
        for metric in ("ndcg@10", "recall@20", "mrr@10", "ild"):
            rows.append({"side": label, "metric": metric, **one["metrics"][metric]})
    frame = pd.DataFrame(rows)
    base = alt.Chart(frame).encode(y=alt.Y("side:N", title=None), color=alt.Color("side:N", legend=None))
    points = base.mark_point(filled=True, size=90).encode(
        x=alt.X("value:Q", title=None, scale=alt.Scale(zero=False)), tooltip=["side", "value", "low", "high"]
    )
    bars = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    st.altair_chart(
        (bars + points)
        .properties(width=230, height=90)
        .facet(alt.Facet("metric:N", title=None), columns=4)
        .resolve_scale(x="independent")
    )
    difference = told["difference"]["difference"]
    st.markdown(
        t(
            "recommend.compare.difference",
            value=f"{difference['value']:+.4f}",
            low=f"{difference['low']:+.4f}",
            high=f"{difference['high']:+.4f}",
            p=f"{told['difference']['p_value']:.3f}",
            n=told["users"],
        )
    )
    st.subheader(t("recommend.compare.curve"))
    st.caption(t("recommend.compare.curve_help"))
    curve = pd.DataFrame(found["curve"])
    line = (
        alt.Chart(curve)
        .mark_line(point=alt.OverlayMarkDef(size=70, filled=True))
        .encode(
            x=alt.X("ild:Q", title=t("recommend.score.ild"), scale=alt.Scale(zero=False)),
            y=alt.Y("ndcg@10:Q", title="nDCG@10", scale=alt.Scale(zero=False)),
            order="variety:Q",
            tooltip=["variety", alt.Tooltip("ild:Q", format=".3f"), alt.Tooltip("ndcg@10:Q", format=".4f")],
        )
        .properties(height=300)
    )
    labels = line.mark_text(dy=-12, fontSize=11).encode(text=alt.Text("variety:Q", format=".1f"))
    st.altair_chart(line + labels, width="stretch")
    shared.downloads(t, curve, "variety-curve")
