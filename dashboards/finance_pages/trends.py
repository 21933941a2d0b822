"""Topics and companies over time: heat map, expected band with surges, comparison, and the stories behind a point."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from dashboards.finance_pages import charts, shared
from dashboards.parts.language import Texts
from verticals.finance import bands, reading, rulebooks
from verticals.finance.alerts.rules import Rule
from verticals.finance.opening import utc_now
from verticals.finance.settings import finance_settings

SPANS = (7, 14, 30, 60)
MEASURES = ("negative_share", "volume", "mean_score")
MOST_ROWS = 20


def draw(t: Texts) -> None:
    """The page."""
    shared.ask_actor(t)
    shared.title(t, "trends")
    now = utc_now()
    asked = st.query_params
    scopes = ("company", "topic", "source")
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        scope = st.segmented_control(
            t("finance.trends.scope"),
            scopes,
            key="trend-scope",
            required=True,
            default=asked.get("scope") if asked.get("scope") in scopes else "topic",
            format_func=lambda value: t(f"finance.scope.{value}"),
        )
        days = st.segmented_control(
            t("finance.trends.span"),
            SPANS,
            default=14,
            key="trend-days",
            required=True,
            format_func=lambda n: t("finance.days", n=n),
        )
        measure = st.segmented_control(
            t("finance.trends.measure"),
            MEASURES,
            default=MEASURES[0],
            key="trend-measure",
            required=True,
            format_func=lambda value: t(f"finance.measure.{value}"),
        )
    scope, days, measure = str(scope), int(days or 14), str(measure)
    since = now - timedelta(days=days)
    names = [name for name, _ in reading.subjects(shared.engine(), scope, since, now)]
    if not names:
        st.info(t("finance.trends.empty"), icon=":material/hourglass_empty:")
        return
    picked = _heat(t, scope, names[:MOST_ROWS], since, now, measure)
    first = picked or ([asked["subject"]] if asked.get("subject") in names else [names[0]])
    chosen = st.multiselect(
        t("finance.trends.subjects"),
        names,
        default=first,
        max_selections=4,
        format_func=lambda name: shared.subject_name(t, scope, name),
        key=f"subjects-{scope}-{first}",
    )
    if not chosen:
        return
    span = _lines(t, scope, chosen, since, now, days) if len(chosen) == 1 else None
    if len(chosen) > 1:
        _compare(t, scope, chosen, since, now, measure)
    _stories(t, scope, chosen, span or (since, now))


def _heat(t: Texts, scope: str, names: Sequence[str], since: datetime, now: datetime, measure: str) -> list[str]:
    found = reading.trend(shared.engine(), since, now, scope, None, "day")
    rows = [row | {"name": shared.subject_name(t, scope, row["subject"])} for row in found if row["subject"] in names]
    order = [shared.subject_name(t, scope, name) for name in names]
    event = st.altair_chart(
        charts.heat(t, rows, order, measure), width="stretch", on_select="rerun", key=f"heat-{scope}", theme="streamlit"
    )
    st.caption(t("finance.trends.heat_help"))
    picked = [str(point["subject"]) for point in charts.picked(event, "cell") if point.get("subject") in names]
    shared.downloads(t, rows, f"trends-{scope}")
    return picked[:1]


def _rule(scope: str, measure: str, width: timedelta) -> Rule:
    """The rule in force that judges this, for its sensitivity and window; else one with the defaults."""
    book = rulebooks.in_force(shared.engine(), finance_settings())
    for rule in book.rules:
        if rule.enabled and rule.scope == scope and rule.measure == measure:
            return rule
    return Rule(id="shown", scope=scope, measure=measure, window=width)


def _lines(
    t: Texts, scope: str, chosen: Sequence[str], since: datetime, now: datetime, days: int
) -> tuple[datetime, datetime] | None:
    subject = chosen[0]
    picked = None
    for measure in ("volume", "negative_share"):
        rule = _rule(scope, measure, timedelta(days=1))
        rows = bands.rows(shared.engine(), rule, subject, since, now)
        st.markdown(f"**{t('finance.measure.' + measure)}** · {t('finance.trends.window', hours=bands.hours(rule))}")
        event = st.altair_chart(
            charts.band(t, rows, measure), width="stretch", on_select="rerun", key=f"band-{measure}-{scope}-{subject}"
        )
        surges = sum(row["anomaly"] for row in rows)
        st.caption(t("finance.trends.band_help", n=surges, sensitivity=f"{rule.sensitivity:g}"))
        for point in charts.picked(event, "point"):
            until = datetime.fromtimestamp(float(point["time"]) / 1000, UTC)
            picked = until - rule.window, until
    return picked


def _compare(t: Texts, scope: str, chosen: Sequence[str], since: datetime, now: datetime, measure: str) -> None:
    rows: list[dict[str, Any]] = []
    for subject in chosen:
        for row in reading.trend(shared.engine(), since, now, scope, subject, "day"):
            rows.append(row | {"name": shared.subject_name(t, scope, subject)})
    st.altair_chart(charts.compare(t, rows, measure), width="stretch")


def _stories(t: Texts, scope: str, chosen: Sequence[str], span: tuple[datetime, datetime]) -> None:
    st.subheader(t("finance.trends.behind"))
    st.caption(f"{shared.moment(span[0])} – {shared.moment(span[1])} UTC")
    wanted = st.pills(
        t("finance.trends.only"),
        ("negative", "neutral", "positive"),
        key="behind",
        format_func=lambda value: t(f"finance.sentiment.{value}"),
    )
    rows = [
        story | {"subject": shared.subject_name(t, scope, subject)}
        for subject in chosen
        for story in reading.stories(shared.engine(), *span, scope, subject, str(wanted) if wanted else None, limit=200)
    ]
    story_table(t, rows, "behind-table")
    shared.downloads(t, rows, "stories")


def story_table(t: Texts, rows: Sequence[dict[str, Any]], key: str, columns: Sequence[str] | None = None) -> None:
    """Stories as a table with all or some columns; choosing a row opens the article page."""
    if not rows:
        st.info(t("common.nothing"))
        return
    shown = [
        {
            "first": datetime.fromisoformat(row["first"]),
            "title": row["title"],
            "sentiment": t(f"finance.sentiment.{row['sentiment']}"),
            "score": row["score"],
            "topic": row["topic"],
            "companies": ", ".join(shared.subject_name(t, "company", code) for code in row["companies"]),
            "articles": row["articles"],
        }
        for row in rows
    ]
    event = st.dataframe(
        shown,
        hide_index=True,
        key=key,
        column_order=columns,
        on_select="rerun",
        selection_mode="single-row",
        height=min(38 + 35 * len(shown), 420),
        column_config={
            "first": st.column_config.DatetimeColumn(t("finance.column.first"), format="MM-DD HH:mm", width="small"),
            "title": st.column_config.TextColumn(t("finance.column.title"), width="large"),
            "sentiment": st.column_config.TextColumn(t("finance.column.sentiment"), width="small"),
            "score": st.column_config.NumberColumn(t("finance.column.score"), format="%+.2f", width="small"),
            "topic": st.column_config.TextColumn(t("finance.column.topic")),
            "companies": st.column_config.TextColumn(t("finance.column.companies")),
            "articles": st.column_config.NumberColumn(t("finance.column.articles"), width="small"),
        },
    )
    if chosen := event["selection"]["rows"]:
        st.switch_page(shared.page("article"), query_params={"story": str(rows[chosen[0]]["id"])})
