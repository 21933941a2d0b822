"""Items: search by meaning, neighbours, cold items, and editing one to see what it changes."""

from typing import Any

import pandas as pd
import streamlit as st

from core.errors import InputError
from dashboards.parts.language import Texts
from dashboards.recommend_pages import shared
from verticals.recommend.recommender import Recommender
from verticals.recommend.rows import items_of


def draw(t: Texts) -> None:
    """Draw the page."""
    st.title(t("recommend.items.title"), anchor=False)
    recommender = shared.opened(t)
    query = st.text_input(t("recommend.items.search"), placeholder=t("recommend.items.search_hint"))
    only_cold = st.toggle(t("recommend.items.cold"), help=t("recommend.items.cold_help"))
    frame = _listed(t, recommender, query, only_cold)
    st.caption(t("recommend.items.count", n=len(frame)))
    picked = st.dataframe(
        frame.drop(columns="id"),
        hide_index=True,
        width="stretch",
        height=330,
        on_select="rerun",
        selection_mode="single-row",
        column_config={t("recommend.column.title"): st.column_config.TextColumn(width="large")},
        key="items",
    )
    if not len(frame):
        st.info(t("common.nothing"))
        return
    chosen = frame["id"].iloc[min(picked.selection.rows[0] if picked.selection.rows else 0, len(frame) - 1)]
    neighbours, editing = st.columns(2, gap="large")
    with neighbours:
        _neighbours(t, recommender, chosen)
    with editing:
        _edit(t, recommender, chosen)


def _listed(t: Texts, recommender: Recommender, query: str, only_cold: bool) -> pd.DataFrame:
    snapshot = recommender.snapshot
    frame = snapshot.items.frame
    events = pd.Series(snapshot.hybrid.features.popularity.astype(int), index=frame.index)
    shown = pd.DataFrame(
        {
            "id": frame["id"],
            t("recommend.column.title"): frame["title"].where(frame["title"] != "", frame["id"]),
            t("recommend.column.category"): frame["category"],
            t("recommend.items.users"): events,
            t("recommend.items.published"): frame["published"].dt.date,
        }
    )
    if query.strip():
        try:
            hits = recommender.search(query, 30)
        except InputError as error:
            shared.failed(t, error)
            return shown.head(0)
        order = {hit["item"]: place for place, hit in enumerate(hits)}
        shown = shown[shown["id"].isin(order)].assign(place=lambda rows: rows["id"].map(order))
        shown = shown.sort_values("place").drop(columns="place")
    else:
        shown = shown.sort_values(t("recommend.items.users"), ascending=False, kind="stable")
    if only_cold:
        shown = shown[shown[t("recommend.items.users")] == 0]
    return shown.reset_index(drop=True)


def _neighbours(t: Texts, recommender: Recommender, item: str) -> None:
    st.subheader(t("recommend.items.neighbours"))
    by = st.segmented_control(
        t("recommend.items.by"),
        ["text", "behaviour"],
        format_func=lambda name: t(f"recommend.items.by_{name}"),
        default="text",
        label_visibility="collapsed",
    )
    try:
        found = recommender.similar(item, 8, "behaviour" if by == "behaviour" else "text")
    except InputError as error:
        shared.failed(t, error)
        return
    rows = [
        {t("recommend.column.title"): row["title"] or row["item"], t("recommend.column.score"): row["score"]}
        for row in found
        if by == "text" or row["score"] > 0
    ]
    if not rows:
        st.caption(t("recommend.items.no_neighbours"))
        return
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")


def _edit(t: Texts, recommender: Recommender, item: str) -> None:
    st.subheader(t("recommend.items.edit"))
    row = recommender.snapshot.items.frame.set_index("id").loc[item]
    with st.form(f"edit-{item}"):
        title = st.text_input(t("recommend.column.title"), row["title"])
        description = st.text_area(t("recommend.items.description"), row["description"], height=110)
        tags = st.text_input(t("recommend.items.tags"), ", ".join(row["tags"]))
        as_new = st.checkbox(t("recommend.items.as_new"), help=t("recommend.items.as_new_help"))
        saved = st.form_submit_button(t("common.save"), type="primary")
    if not saved:
        return
    further = {str(name): value for name, value in row.items() if name not in ("file", "row") and not _blank(value)}
    changed: dict[str, Any] = {
        **further,
        "id": f"{item}-new" if as_new else item,
        "title": title,
        "description": description,
        "tags": [part.strip() for part in tags.split(",") if part.strip()],
    }
    before = {one["item"] for one in recommender.similar(item, 8)}
    try:
        change = recommender.upsert_items(items_of([changed], "dashboard"), "dashboard")
    except InputError as error:
        shared.failed(t, error)
        return
    after = recommender.similar(str(changed["id"]), 8)
    st.success(t("recommend.items.saved", version=change.version))
    fresh = [one["title"] for one in after if one["item"] not in before and one["item"] != item]
    if fresh:
        st.markdown(t("recommend.items.now_near", titles=" · ".join(fresh)))


def _blank(value: Any) -> bool:
    return not isinstance(value, list) and bool(pd.isna(value))
