"""Score: somebody, some candidates, and the dials; the list follows at once, with the reasons."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from core.errors import InputError
from dashboards.parts.language import Texts
from dashboards.recommend_pages import shared
from verticals.recommend.loading import read_candidates
from verticals.recommend.recommender import Recommender
from verticals.recommend.rules import Rule, parse_rules
from verticals.recommend.scored import ScoredList


def draw(t: Texts) -> None:
    """Draw the page."""
    st.title(t("recommend.score.title"), anchor=False)
    recommender = shared.opened(t)
    shared.synthetic_note(t, recommender)
    controls, result = st.columns([1.15, 3], gap="medium")
    with controls:
        who = shared.choose_viewer(t, recommender, "score")
        candidates = _candidates(t)
        dials = _dials(t, recommender)
    with result:
        try:
            if candidates is None:
                found = recommender.recommend(**who, **dials, k=20)
            else:
                found = recommender.score(candidates, **who, **dials, explain=50)
        except InputError as error:
            shared.failed(t, error)
            return
        _result(t, recommender, found)


def _candidates(t: Texts) -> list[str] | None:
    """Ids the viewer gave, or None for the whole catalogue."""
    how = st.segmented_control(
        t("recommend.score.candidates"),
        ["catalogue", "paste", "upload"],
        format_func=lambda name: t(f"recommend.score.{name}"),
        default="catalogue",
        key="candidates-how",
    )
    if how == "paste":
        text = st.text_area(t("recommend.score.ids"), key="candidates-text", height=120)
        found = [part.strip() for line in text.splitlines() for part in line.split(",") if part.strip()]
        return found or None
    if how == "upload":
        given = st.file_uploader(t("recommend.score.file"), ["csv", "tsv", "txt", "jsonl", "parquet"])
        if given is None:
            return None
        with TemporaryDirectory() as folder:
            path = Path(folder) / Path(given.name).name
            path.write_bytes(given.getvalue())
            try:
                return read_candidates(path)
            except InputError as error:
                shared.failed(t, error)
    return None


def _dials(t: Texts, recommender: Recommender) -> dict[str, Any]:
    variety = st.slider(t("recommend.score.variety"), 0.0, 1.0, 0.0, 0.05, help=t("recommend.score.variety_help"))
    method = st.selectbox(
        t("recommend.score.method"),
        ["mmr", "dpp", "calibrated"],
        format_func=lambda name: t(f"recommend.method.{name}"),
        disabled=variety == 0,
    )
    with st.expander(t("recommend.score.weights"), icon=":material/tune:"):
        by_hand = st.toggle(t("recommend.score.by_hand"), help=t("recommend.score.by_hand_help"))
        weights: dict[str, float] = {}
        for name, weight in recommender.snapshot.model.blend.to_dict().items():
            weights[name] = st.slider(
                shared.feature(t, name), 0.0, 2.0, min(round(weight, 2), 2.0), 0.05, disabled=not by_hand,
                key=f"weight-{name}",
            )  # fmt: skip
    with st.expander(t("recommend.score.rules"), icon=":material/rule:"):
        rules = _rules(t, recommender)
    return {
        "variety": variety,
        "method": method,
        "weights": weights if by_hand else None,
        "rules": rules,
    }


def _rules(t: Texts, recommender: Recommender) -> list[Rule]:
    categories = [name for name in recommender.snapshot.items.categories[0] if name]
    excluded = st.multiselect(t("recommend.score.exclude"), categories)
    boosted = st.multiselect(t("recommend.score.boost"), categories)
    cap = st.number_input(t("recommend.score.cap"), 0, 10, 0, help=t("recommend.score.cap_help"))
    names = shared.titles(recommender)
    pinned = st.selectbox(t("recommend.score.pin"), list(names), index=None, format_func=names.__getitem__)
    text = st.text_area(
        t("recommend.score.more_rules"), placeholder='[{"kind": "quota", "tag": "pension", "count": 1}]'
    )
    given: list[dict[str, Any]] = [{"kind": "exclude", "category": name} for name in excluded]
    given += [{"kind": "boost", "category": name} for name in boosted]
    if cap:
        given.append({"kind": "cap", "count": int(cap), "each_category": True, "name": t("recommend.score.cap")})
    if pinned:
        given.append({"kind": "pin", "ids": [pinned], "position": 1, "name": t("recommend.score.pin")})
    try:
        if text.strip():
            more = json.loads(text)
            given += more if isinstance(more, list) else [more]
        return parse_rules(given)
    except (ValueError, InputError) as error:
        shared.failed(t, error)
        return []


def _result(t: Texts, recommender: Recommender, found: ScoredList) -> None:
    basis = t(f"recommend.basis.{found.basis.replace(' ', '_')}")
    ranker = t("recommend.ranker.trees" if found.ranker.startswith("trees") else "recommend.ranker.blend")
    one, two, three, four = st.columns([1, 1.5, 0.8, 1])
    one.metric(t("recommend.score.basis"), basis)
    two.metric(t("recommend.score.ranker"), ranker)
    three.metric(t("recommend.score.ild"), f"{found.ild:.2f}", help=t("recommend.score.ild_help"))
    four.metric(t("recommend.score.latency"), f"{found.latency_ms:.0f} ms")
    for note in found.notes:
        st.caption(f":material/info: {note}")
    if found.rules:
        kept = f"{found.rules['ndcg']:.0%}"
        st.caption(f":material/rule: {t('recommend.score.cost', kept=kept)}")
        for line in found.rules["unmet"]:
            st.warning(t("recommend.score.unmet", what=line))
    kinds = shared.shown_kinds(found)
    frame = shared.table_of(t, found, shared.titles(recommender), kinds)
    percent = {shared.kind(t, name): st.column_config.NumberColumn(format="percent") for name in kinds}
    score = t("recommend.column.score")
    picked = st.dataframe(
        frame,
        hide_index=True,
        width="stretch",
        height=min(38 * (len(frame) + 1) + 4, 560),
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            **percent,
            score: st.column_config.NumberColumn(format="%.2f"),
            t("recommend.column.title"): st.column_config.TextColumn(width=330),
        },
        key="scored",
    )
    chosen = picked.selection.rows[0] if picked.selection.rows else 0
    if chosen < len(found.rows):
        _reason(t, recommender, found, chosen)
    shared.downloads(t, found.to_frame(), "scored")


def _reason(t: Texts, recommender: Recommender, found: ScoredList, at: int) -> None:
    row = found.rows[at]
    if row.reason is None:
        return
    st.subheader(t("recommend.score.why", title=row.title or row.item))
    left, right = st.columns([1.1, 1])
    names = shared.titles(recommender)
    with left:
        parts = [(name, value) for name, value in row.reason.contributions if abs(value) > 1e-4][:8]
        frame = pd.DataFrame({"feature": [shared.feature(t, n) for n, _ in parts], "value": [v for _, v in parts]})
        chart = (
            alt.Chart(frame)
            .mark_bar(cornerRadius=2)
            .encode(
                x=alt.X("value:Q", title=t("recommend.score.adds")),
                y=alt.Y("feature:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)),
                color=alt.condition("datum.value > 0", alt.value("#0f766e"), alt.value("#b45309")),
                tooltip=["feature", alt.Tooltip("value:Q", format=".3f")],
            )
            .properties(height=30 * max(len(parts), 2) + 40)
        )
        st.altair_chart(chart, width="stretch")
    with right:
        st.markdown(f"**{t('recommend.score.closest')}**")
        for item, cosine in row.reason.closest:
            st.markdown(f"- {names.get(item, item)} ({cosine:.2f})")
        if not row.reason.closest:
            st.caption(t("recommend.score.no_past"))
        if row.reason.words:
            st.markdown(f"**{t('recommend.column.words')}**: " + ", ".join(f"`{word}`" for word in row.reason.words))
        description = recommender.snapshot.items.frame["description"].iloc[
            recommender.snapshot.items.positions[row.item]
        ]
        st.caption(description)
