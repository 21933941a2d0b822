"""What becomes an alert: the rules in force, changing one after a preview of what it would have done, the history."""

from datetime import timedelta
from typing import Any

import streamlit as st

from core.errors import InputError
from dashboards.finance_pages import shared
from dashboards.parts.language import Texts
from verticals.finance import rehearsal, rulebooks
from verticals.finance.opening import utc_now
from verticals.finance.settings import finance_settings

DAYS = (14, 30, 60)


def draw(t: Texts) -> None:
    """The page."""
    shared.ask_actor(t)
    shared.title(t, "rules")
    saved = rulebooks.current(shared.engine(), finance_settings())
    book = rulebooks.parse(saved.text)
    version = (
        t("finance.rules.version", n=saved.number, who=saved.author, when=shared.moment(saved.at))
        if saved.number
        else t("finance.rules.shipped")
    )
    st.caption(version)
    st.dataframe(
        [
            {
                "enabled": rule.enabled,
                "title": rule.title or rule.id,
                "scope": t(f"finance.scope.{rule.scope}"),
                "measure": t(f"finance.measure.{rule.measure}"),
                "severity": t(f"finance.severity.{rule.severity}"),
                "window": _span(rule.window),
                "sensitivity": rule.sensitivity,
                "minimum": rule.minimum_stories,
                "pending": _span(rule.pending),
                "recovery": _span(rule.recovery),
            }
            for rule in book.rules
        ],
        hide_index=True,
        column_config={
            name: t(f"finance.rules.{name}")
            for name in (
                "enabled",
                "title",
                "scope",
                "measure",
                "severity",
                "window",
                "sensitivity",
                "minimum",
                "pending",
                "recovery",
            )
        }
        | {"sensitivity": st.column_config.NumberColumn(t("finance.rules.sensitivity"), format="%.4f")},
    )
    form, raw = st.tabs([t("finance.rules.change_one"), t("finance.rules.change_all")])
    with form:
        changed = _form(t, saved.text, [rule.id for rule in book.rules])
    with raw:
        text = st.text_area(t("finance.rules.toml"), saved.text, height=480, key=f"toml-{saved.number}")
        if text != saved.text:
            changed = text
    st.divider()
    _try(t, saved.text, changed)
    _history(t)


def _form(t: Texts, text: str, ids: list[str]) -> str:
    """Fields of one rule; returns the book with the changes in it."""
    chosen = st.selectbox(
        t("finance.rules.rule"),
        ids,
        key="rule",
        format_func=lambda name: next((r.title or r.id for r in rulebooks.parse(text).rules if r.id == name), name),
    )
    rule = rulebooks.parse(text).rule(str(chosen))
    if rule is None:
        return text
    one, two, three = st.columns(3)
    sensitivity = one.select_slider(
        t("finance.rules.sensitivity"),
        _sensitivities(rule.sensitivity),
        rule.sensitivity,
        format_func=lambda v: f"{v:g}",
        key=f"s-{chosen}",
        help=t("finance.rules.sensitivity_help"),
    )
    minimum = two.number_input(t("finance.rules.minimum"), 1, 1000, rule.minimum_stories, key=f"m-{chosen}")
    severity = three.selectbox(
        t("finance.rules.severity"),
        ("info", "warning", "critical"),
        ("info", "warning", "critical").index(rule.severity),
        format_func=lambda v: t(f"finance.severity.{v}"),
        key=f"v-{chosen}",
    )
    window = one.text_input(t("finance.rules.window"), _span(rule.window), key=f"w-{chosen}")
    pending = two.text_input(t("finance.rules.pending"), _span(rule.pending), key=f"p-{chosen}")
    recovery = three.text_input(t("finance.rules.recovery"), _span(rule.recovery), key=f"r-{chosen}")
    enabled = one.toggle(t("finance.rules.enabled"), rule.enabled, key=f"e-{chosen}")
    values: dict[str, Any] = {
        "sensitivity": (sensitivity, rule.sensitivity),
        "minimum_stories": (int(minimum), rule.minimum_stories),
        "severity": (severity, rule.severity),
        "window": (window, _span(rule.window)),
        "pending": (pending, _span(rule.pending)),
        "recovery": (recovery, _span(rule.recovery)),
        "enabled": (enabled, rule.enabled),
    }
    return rulebooks.changed(text, str(chosen), {name: new for name, (new, old) in values.items() if new != old})


def _sensitivities(own: float) -> list[float]:
    return sorted({0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999, own})


def _span(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    parts = ((minutes // 1440, "d"), (minutes % 1440 // 60, "h"), (minutes % 60, "m"))
    return "".join(f"{n}{unit}" for n, unit in parts if n) or "0m"


def _try(t: Texts, before: str, after: str) -> None:
    same = before == after
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        days = st.selectbox(
            t("finance.rules.over"), DAYS, index=1, format_func=lambda n: t("finance.days", n=n), width=160
        )
        asked = st.button(
            t("finance.rules.preview"), icon=":material/play_arrow:", type="secondary" if same else "primary"
        )
    if asked:
        try:
            with st.spinner(t("finance.rules.replaying")):
                now = utc_now()
                results = {
                    "before": _replayed(before, now, days),
                    "after": None if same else _replayed(after, now, days),
                }
            st.session_state["preview"] = (after, days, results)
        except InputError as error:
            st.session_state.pop("preview", None)
            st.error(t("common.failed", why=str(error)))
    shown = st.session_state.get("preview")
    fresh = bool(shown and shown[0] == after)
    if shown and fresh:
        _results(t, shown[1], shown[2])
    if same:
        st.caption(t("finance.rules.unchanged"))
        return
    comment = st.text_input(t("finance.rules.comment"), key="rules-comment", max_chars=500)
    if st.button(
        t("finance.rules.save"),
        type="primary",
        disabled=not fresh,
        help=None if fresh else t("finance.rules.preview_first"),
        icon=":material/save:",
    ):
        try:
            number = rulebooks.save(shared.engine(), after, shared.actor(t), utc_now(), comment)
        except InputError as error:
            st.error(t("common.failed", why=str(error)))
            return
        st.session_state.pop("preview", None)
        st.toast(t("finance.rules.saved", n=number), icon=":material/check:")
        st.rerun()


def _replayed(text: str, now: Any, days: int) -> dict[str, Any]:
    book = rulebooks.parse(text)
    return rehearsal.rehearse(shared.engine(), book, now - timedelta(days=days), now).to_dict()


def _results(t: Texts, days: int, results: dict[str, Any]) -> None:
    columns = st.columns(2)
    for column, name in zip(columns, ("before", "after"), strict=True):
        result = results[name]
        if result is None:
            continue
        with column:
            st.metric(
                t(f"finance.rules.{name}"),
                t("finance.rules.per_week", n=f"{result['alerts_per_week']:.1f}"),
                border=True,
            )
            rows = [
                {
                    "start": shared.moment(alert["start"]),
                    "subject": shared.subject_name(t, alert["scope"], alert["topic"]),
                    "rule": alert["rule"],
                    "severity": t(f"finance.severity.{alert['severity']}"),
                }
                for alert in result["alerts"]
            ]
            if rows:
                st.dataframe(
                    rows,
                    hide_index=True,
                    height=min(38 + 35 * len(rows), 360),
                    key=f"preview-{name}",
                    column_config={
                        "start": t("finance.alerts.started_at"),
                        "subject": t("finance.column.subject"),
                        "rule": t("finance.rules.rule"),
                        "severity": t("finance.rules.severity"),
                    },
                )
            else:
                st.caption(t("finance.rules.none_raised", n=days))
            shared.downloads(t, result["alerts"], f"replay-{name}")


def _history(t: Texts) -> None:
    saved = rulebooks.history(shared.engine())
    with st.expander(t("finance.rules.history", n=len(saved)), icon=":material/history:"):
        for book in saved:
            text, button = st.columns([5, 1])
            said = shared.plain(f"{book.author} {book.comment}")
            text.markdown(f"**{book.number}** · {shared.moment(book.at)} · {said}")
            if book is not saved[0] and button.button(t("finance.rules.again"), key=f"again-{book.number}"):
                rulebooks.save(shared.engine(), book.text, shared.actor(t), utc_now(), f"= {book.number}")
                st.rerun()
        shared.downloads(t, [book.to_dict() for book in saved], "rules")
