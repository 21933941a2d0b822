"""How the bot does: volumes, deflection, what nobody answers, precision against coverage, latency."""

from datetime import timedelta
from functools import partial
from typing import Any

import streamlit as st

from core.errors import InputError
from dashboards.parts.language import Texts
from dashboards.support_pages import shared
from dashboards.support_pages.assistant import assistant, ready
from verticals.support.analytics import summary, unanswered
from verticals.support.export import Format, Kind, export

PERIODS = {"7": 7, "30": 30, "90": 90, "all": None}


def draw(t: Texts) -> None:
    """The page."""
    shared.title(t, "insights")
    shared.show_flash()
    assistant()
    period = st.segmented_control(
        t("support.insights.period"),
        list(PERIODS),
        default="30",
        required=True,
        format_func=lambda one: t(f"support.insights.period_{one}"),
        key="insights-period",
        label_visibility="collapsed",
    )
    days = PERIODS[str(period)]
    since = shared.now() - timedelta(days=days) if days else None
    found = summary(shared.engine(), since)
    if not found["questions"]:
        shared.empty("monitoring", t("support.insights.empty"), t("support.insights.empty_help"))
        _dial(t)
        return
    _figures(t, found)
    from dashboards.support_pages import charts  # pandas and altair are not needed for an empty page

    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"#### {t('support.insights.volumes')}")
        st.altair_chart(charts.volumes(t, found["by_day"]), width="stretch")
    with right:
        st.markdown(f"#### {t('support.insights.latency')}")
        st.altair_chart(charts.latency(t, found["by_day"]), width="stretch")
    left, right = st.columns(2, gap="large")
    with left:
        _open_questions(t, since)
    with right:
        _intents(t, found["by_intent"])
    _dial(t)
    _downloads(t, since)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _figures(t: Texts, found: dict[str, Any]) -> None:
    p95 = found["latency_ms"]["p95"]
    columns = st.columns(6)
    answered = found["answered"] / found["questions"]
    for column, name, value in zip(
        columns,
        ("questions", "answered_share", "deflection", "acceptance", "handed_over", "p95"),
        (
            f"{found['questions']:,}",
            _share(answered),
            _share(found["deflection"]),
            _share(found["acceptance"]),
            f"{found['handed_over']:,}",
            f"{p95:,.0f} ms",
        ),
        strict=True,
    ):
        column.metric(t(f"support.insights.{name}"), value, help=t(f"support.insights.{name}_help"), border=True)


def _open_questions(t: Texts, since: Any) -> None:
    st.markdown(f"#### {t('support.insights.unanswered')}")
    bot = ready(t, "insights")
    if bot is None:
        return
    groups = unanswered(shared.engine(), bot.retrieval.encoder, since)
    if not groups:
        st.caption(t("support.insights.no_unanswered"))
    for group in groups:
        with st.expander(f"{group['size']} × {shared.plain(shared.line(group['name'], 70))}"):
            st.markdown("\n".join(f"- {shared.plain(question)}" for question in group["examples"]))


def _intents(t: Texts, rows: list[dict[str, Any]]) -> None:
    st.markdown(f"#### {t('support.insights.by_intent')}")
    table = [
        {
            t("support.insights.intent"): shared.intent_name(row["intent"]),
            t("support.insights.questions"): row["questions"],
            t("support.insights.answered_share"): row["answered"] / row["questions"],
            t("support.insights.acceptance"): row["acceptance"],
            "p95 ms": row["latency_ms"]["p95"],
        }
        for row in rows
    ]
    percent = st.column_config.NumberColumn(format="percent")
    names = (t("support.insights.answered_share"), t("support.insights.acceptance"))
    st.dataframe(table, hide_index=True, height=330, column_config=dict.fromkeys(names, percent))


def _dial(t: Texts) -> None:
    from verticals.support.dial import state
    from verticals.support.settings import SupportSettings

    settings = SupportSettings()
    st.markdown(f"#### {t('support.insights.dial')}")
    st.caption(t("support.insights.dial_help"))
    try:
        now = state(shared.engine(), settings)
    except InputError as error:
        st.error(t("common.failed", why=shared.plain(error)))
        return
    if now.drift.warning:
        st.warning(t("support.insights.drift", why=shared.plain(now.drift.reason)), icon=":material/trending_down:")
    left, right = st.columns([1, 2], gap="large")
    with left:
        wanted = st.slider(
            t("support.insights.target"),
            60,
            99,
            min(99, round(now.thresholds.precision * 100)),
            format="%d%%",
            key="dial-target",
        )
        target = wanted / 100
        tried = state(shared.engine(), settings, target)
        fits = tried.dial.threshold is not None
        if fits:
            st.metric(t("support.insights.coverage"), f"{tried.dial.coverage:.0%}", border=True)
        else:
            st.info(t("support.insights.cannot", n=tried.judged), icon=":material/info:")
        if st.button(t("support.insights.apply"), type="primary", disabled=not fits, key="dial-apply"):
            _turn(t, settings, target)
        st.caption(_in_force(t, now))
    with right:
        if tried.dial.curve:
            from dashboards.support_pages import charts

            st.altair_chart(charts.dial(t, tried.dial.curve, target, tried.dial.threshold), width="stretch")
        else:
            shared.empty("tune", t("support.insights.no_curve"), t("support.insights.no_curve_help"))


def _in_force(t: Texts, now: Any) -> str:
    rows = now.thresholds.rows
    key = "in_force" if rows else "in_force_shipped"
    return t(f"support.insights.{key}", precision=f"{now.thresholds.precision:.0%}", rows=rows, judged=now.judged)


def _turn(t: Texts, settings: Any, target: float) -> None:
    from verticals.support.dial import turn

    try:
        turn(shared.engine(), settings, target)
    except InputError as error:
        st.error(t("common.failed", why=shared.plain(error)))
        return
    shared.flash(t("support.insights.applied", precision=f"{target:.0%}"))
    st.rerun()


def _downloads(t: Texts, since: Any) -> None:
    with st.expander(t("support.insights.export"), icon=":material/download:"):
        kinds: tuple[Kind, ...] = ("replies", "turns", "annotations")
        formats: tuple[Format, ...] = ("csv", "parquet", "jsonl")
        kind = st.selectbox(
            t("support.insights.export_what"), kinds, format_func=lambda one: t(f"support.insights.export_{one}")
        )
        with st.container(horizontal=True):
            for format in formats:
                st.download_button(
                    format.upper(),
                    partial(export, shared.engine(), kind, format, since),
                    f"support-{kind}.{format}",
                    key=f"export-{format}",
                    icon=":material/download:",
                    on_click="ignore",
                )
