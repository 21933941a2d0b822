"""Cohorts: for whom and for which items the ranking is good, with every baseline beside it."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from core.errors import InputError
from dashboards.parts.language import Texts
from dashboards.recommend_pages import shared
from verticals.recommend import judging
from verticals.recommend.settings import recommend_settings


def draw(t: Texts) -> None:
    """Draw the page."""
    st.title(t("recommend.cohorts.title"), anchor=False)
    recommender = shared.opened(t)
    shared.synthetic_note(t, recommender)
    st.caption(t("recommend.cohorts.help"))
    key = f"cohorts-{recommender.snapshot.version}"
    if st.button(t("recommend.cohorts.run"), type="primary", icon=":material/play_arrow:"):
        with st.spinner(t("recommend.compare.running")):
            try:
                st.session_state[key] = _measured(recommender.snapshot.version)
            except InputError as error:
                shared.failed(t, error)
    if key not in st.session_state:
        st.info(t("recommend.cohorts.not_yet"), icon=":material/hourglass_empty:")
        return
    found = st.session_state[key]
    _systems(t, found["systems"])
    cohorts = found["cohorts"]
    for name, metric in (
        ("history", "ndcg@10"),
        ("age", "recall@20"),
        ("events", "recall@20"),
        ("category", "recall@20"),
    ):
        if cohorts.get(name):
            _chart(t, name, metric, cohorts[name])
    errors = recommender.snapshot.model.told["calibration"]
    if errors:
        st.subheader(t("recommend.cohorts.calibration"))
        rows = [{t("recommend.cohorts.kind"): shared.kind(t, kind), "ECE": error} for kind, error in errors.items()]
        column = {"ECE": st.column_config.NumberColumn(format="%.4f")}
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="content", column_config=column)


@st.cache_data(show_spinner=False, max_entries=4)
def _measured(data: int) -> dict[str, Any]:
    settings = recommend_settings()
    return judging.evaluate(settings, judging.ground(settings), resamples=300, calibration=False)


def _systems(t: Texts, systems: Mapping[str, Any]) -> None:
    st.subheader(t("recommend.cohorts.systems"))
    rows = []
    for name, values in systems.items():
        row: dict[str, Any] = {t("recommend.compare.system"): _system(t, name)}
        for metric in ("ndcg@10", "recall@20", "mrr@10", "map"):
            one = values[metric]
            row[metric] = f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
        row[t("recommend.cohorts.coverage")] = values["coverage@10"]
        row[t("recommend.cohorts.novelty")] = values["novelty"]
        row[t("recommend.score.ild")] = values.get("ild")
        rows.append(row)
    frame = pd.DataFrame(rows)
    decimals = st.column_config.NumberColumn(format="%.2f")
    columns = [t("recommend.cohorts.coverage"), t("recommend.cohorts.novelty"), t("recommend.score.ild")]
    st.dataframe(frame, hide_index=True, width="stretch", column_config=dict.fromkeys(columns, decimals))
    shared.downloads(t, frame, "systems")


def _system(t: Texts, name: str) -> str:
    key = f"recommend.system.{name.replace(' ', '_').replace('-', '_')}"
    return t(key) if key in t.values else name


def _chart(t: Texts, name: str, metric: str, groups: Mapping[str, Any]) -> None:
    st.subheader(t(f"recommend.cohorts.by_{name}"))
    frame = pd.DataFrame(
        [{"group": group, "users": one["users"], **one[metric]} for group, one in groups.items() if metric in one]
    )
    base = alt.Chart(frame).encode(y=alt.Y("group:N", sort=None, title=None, axis=alt.Axis(labelLimit=200)))
    points = base.mark_point(filled=True, size=90, color="#0f766e").encode(
        x=alt.X("value:Q", title=metric), tooltip=["group", "users", "value", "low", "high"]
    )
    rule = base.mark_rule(strokeWidth=2, color="#0f766e").encode(x="low:Q", x2="high:Q")
    st.altair_chart((rule + points).properties(height=28 * len(frame) + 50), width="stretch")
