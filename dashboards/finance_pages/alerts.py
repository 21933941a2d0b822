"""The inbox: what waits for a decision, why, and deciding it."""

from datetime import datetime, timedelta
from typing import Any

import streamlit as st

from core.errors import InputError
from dashboards.finance_pages import charts, shared
from dashboards.finance_pages.overview import rule_title
from dashboards.finance_pages.trends import story_table
from dashboards.parts.language import Texts
from verticals.finance import reading, rulebooks
from verticals.finance.alerts import actions, inbox
from verticals.finance.alerts.rules import Matcher
from verticals.finance.alerts.states import ACTIVE
from verticals.finance.opening import utc_now
from verticals.finance.settings import finance_settings

SPANS = {
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
    "3d": timedelta(days=3),
    "1w": timedelta(weeks=1),
}


def draw(t: Texts) -> None:
    """The page."""
    shared.ask_actor(t)
    shared.title(t, "alerts")
    chosen = st.segmented_control(
        t("finance.alerts.show"),
        ("open", "all"),
        default="open",
        key="alerts-show",
        required=True,
        label_visibility="collapsed",
        format_func=lambda value: t(f"finance.alerts.{value}"),
    )
    rows = inbox.listed(shared.engine(), everything=chosen == "all")
    asked = st.query_params.get("alert")
    if asked and asked not in {row["id"] for row in rows}:
        rows = [row for row in inbox.listed(shared.engine(), everything=True) if row["id"] == asked] + rows
    _watch_for_news(t, [row["id"] + row["status"] for row in rows], everything=chosen == "all")
    if not rows:
        st.success(t("finance.overview.calm"), icon=":material/check_circle:")
        _silences(t)
        return
    left, right = st.columns([2, 3], gap="medium")
    with left:
        current = _list(t, rows, asked)
        shared.downloads(t, rows, "alerts")
    with right:
        _one(t, inbox.shown(shared.engine(), current))
    _silences(t)


@st.fragment(run_every=shared.LIVE)
def _watch_for_news(t: Texts, seen: list[str], everything: bool) -> None:
    """Say that the inbox changed, and let the reader choose when it does: a list must not move under the mouse."""
    now = [row["id"] + row["status"] for row in inbox.listed(shared.engine(), everything)]
    if set(now) - set(seen) and st.button(t("finance.alerts.changed"), icon=":material/refresh:", type="primary"):
        st.rerun()


def _list(t: Texts, rows: list[dict[str, Any]], asked: str | None) -> str:
    ids = [row["id"] for row in rows]
    if asked in ids:
        st.session_state.setdefault("alert", asked)
        if st.session_state.get("alert-asked") != asked:
            st.session_state["alert"], st.session_state["alert-asked"] = asked, asked
    if st.session_state.get("alert") not in ids:
        st.session_state["alert"] = ids[0]

    for row in rows:
        mine = row["id"] == st.session_state["alert"]
        with st.container(border=True, gap="xsmall", key=f"card-{row['id']}{'-on' if mine else ''}"):
            name = shared.subject_name(t, scope_of(row), row["subject"])
            if st.button(
                f"**{shared.plain(name)}** · {shared.plain(rule_title(row['rule']))}",
                key=f"open-{row['id']}",
                type="tertiary",
                icon=":material/chevron_right:" if mine else None,
            ):
                st.session_state["alert"] = row["id"]
                st.rerun()
            who = row["assignee"] or row["acknowledged_by"]
            st.markdown(
                shared.state(t, row)
                + f" :gray[{shared.plain(shared.ago(t, row['started'] or row['since']))}"
                + (f" · {shared.plain(who)}" if who else "")
                + "]"
            )
    return str(st.session_state["alert"])


def scope_of(row: dict[str, Any]) -> str:
    """What kind of subject an alert is about."""
    return next((s for s in ("company", "topic", "source") if row["labels"].get(s) == row["subject"]), "all")


def _one(t: Texts, alert: dict[str, Any]) -> None:
    scope = scope_of(alert)
    st.subheader(f"{shared.plain(shared.subject_name(t, scope, alert['subject']))}", anchor=False)
    st.markdown(f"{shared.plain(rule_title(alert['rule']))} {shared.state(t, alert)}")
    facts = st.columns(3)
    facts[0].metric(t("finance.alerts.started"), shared.ago(t, alert["started"] or alert["since"]))
    facts[1].metric(t("finance.alerts.owner"), alert["assignee"] or "–")
    facts[2].metric(t("finance.alerts.seen_by"), alert["acknowledged_by"] or "–")
    if alert["reason"]:
        st.info(shared.plain(alert["reason"]), icon=":material/info:")
    _decide(t, alert)
    why, trail, sent = st.tabs([t("finance.alerts.evidence"), t("finance.alerts.trail"), t("finance.alerts.messages")])
    with why:
        _evidence(t, alert, scope)
    with trail:
        for event in reversed(alert["trail"]):
            st.markdown(
                f"`{shared.moment(event['at'])}` **{shared.plain(_event(t, event))}** · {shared.plain(event['actor'])}"
            )
    with sent:
        if not alert["messages"]:
            st.caption(t("finance.alerts.no_messages"))
        for message in reversed(alert["messages"]):
            done = message["delivered"]
            state = (
                t("finance.alerts.delivered", when=shared.moment(done))
                if done
                else t("finance.alerts.waiting", n=message["attempts"])
            )
            kind = t(f"finance.told.{message['kind']}")
            line = f"{message['receiver']}: {kind} – {state}"
            st.markdown(f"`{shared.moment(message['created'])}` {shared.plain(line)}")
            if message["error"]:
                st.caption(shared.plain(message["error"]))


def _event(t: Texts, event: dict[str, Any]) -> str:
    detail = event["detail"]
    if event["kind"] == "transition":
        return f"{t('finance.status.' + detail['from'])} → {t('finance.status.' + detail['to'])}"
    extra = detail.get("text") or detail.get("assignee") or detail.get("by") or ", ".join(detail.get("receivers", ()))
    if event["kind"] == "snoozed":
        extra = shared.moment(detail["until"])
    label = t(f"finance.event.{event['kind']}")
    return f"{label}: {extra}" if extra else label


def _evidence(t: Texts, alert: dict[str, Any], scope: str) -> None:
    book = rulebooks.in_force(shared.engine(), finance_settings())
    rule = book.rule(alert["rule"])
    window = rule.window if rule else timedelta(days=1)
    if scope == "source" and rule is not None and rule.measure == "outage":
        st.markdown(shared.plain(alert["reason"] or "–"))
        shared.link("sources", t("finance.pages.sources"), ":material/rss_feed:")
        return
    begun = datetime.fromisoformat(alert["started"] or alert["since"] or alert["updated"])
    observed = datetime.fromisoformat(alert["observed"] or alert["updated"])
    since, until = begun - window, max(observed, begun)
    subject = "" if scope == "all" else alert["subject"]
    hours = reading.trend(shared.engine(), since - window, until, scope, subject or None, "hour")
    if hours:
        st.altair_chart(charts.hours(t, hours, begun.isoformat()), width="stretch")
    rows = reading.stories(shared.engine(), since, until, scope, subject, limit=200)
    toward = [(row["companies"][subject]["score"] if scope == "company" else row["score"], row) for row in rows]
    ordered = [row for _, row in sorted(toward, key=lambda pair: pair[0])]
    story_table(t, ordered, f"evidence-{alert['id']}", ("first", "title", "score"))
    shared.downloads(t, ordered, f"alert-{alert['id']}-stories")
    shared.link("trends", t("finance.alerts.to_trends"), ":material/show_chart:", scope=scope, subject=subject or None)


def _decide(t: Texts, alert: dict[str, Any]) -> None:
    now, who, key = utc_now(), shared.actor(t), alert["id"]
    with st.container(horizontal=True, gap="small"):
        if st.button(
            t("finance.alerts.acknowledge"),
            key=f"ack-{key}",
            icon=":material/done:",
            type="primary",
            disabled=bool(alert["acknowledged_by"]),
        ):
            _do(t, lambda: actions.acknowledge(shared.engine(), key, who, now))
        if st.button(
            t("finance.alerts.take"), key=f"take-{key}", icon=":material/person:", disabled=alert["assignee"] == who
        ):
            _do(t, lambda: actions.assign(shared.engine(), key, who, now, who))
        with st.popover(t("finance.alerts.assign"), icon=":material/person_add:"):
            name = st.text_input(t("finance.alerts.assignee"), key=f"assignee-{key}", max_chars=120)
            if st.button(t("common.save"), key=f"assign-{key}"):
                _do(t, lambda: actions.assign(shared.engine(), key, who, now, name))
        with st.popover(t("finance.alerts.snooze"), icon=":material/snooze:"):
            span = st.selectbox(t("finance.alerts.how_long"), list(SPANS), index=1, key=f"snooze-span-{key}")
            if st.button(t("common.save"), key=f"snooze-{key}"):
                _do(t, lambda: actions.snooze(shared.engine(), key, who, now, now + SPANS[span]))
        with st.popover(t("finance.alerts.silence"), icon=":material/notifications_off:"):
            scope = scope_of(alert)
            conditions = {f"rule = {alert['rule']}": Matcher(label="rule", value=alert["rule"])}
            if scope != "all":
                conditions[f"{scope} = {alert['subject']}"] = Matcher(label=scope, value=alert["subject"])
            picked = st.multiselect(
                t("finance.alerts.conditions"), list(conditions), default=list(conditions), key=f"cond-{key}"
            )
            span = st.selectbox(t("finance.alerts.how_long"), list(SPANS), index=2, key=f"silence-span-{key}")
            why = st.text_input(t("finance.alerts.comment"), key=f"silence-why-{key}", max_chars=500)
            if st.button(t("common.save"), key=f"silence-{key}"):
                _do(
                    t,
                    lambda: actions.silence(
                        shared.engine(), [conditions[c] for c in picked], who, now, now + SPANS[span], why
                    ),
                )
        with st.popover(t("finance.alerts.note"), icon=":material/edit_note:"):
            text = st.text_area(
                t("finance.alerts.note"), key=f"note-text-{key}", max_chars=4000, label_visibility="collapsed"
            )
            if st.button(t("common.save"), key=f"note-{key}"):
                _do(t, lambda: actions.note(shared.engine(), key, who, now, text))
        if alert["status"] in ACTIVE and st.button(
            t("finance.alerts.resolve"),
            key=f"resolve-{key}",
            icon=":material/task_alt:",
            help=t("finance.alerts.resolve_help"),
        ):
            _do(t, lambda: actions.resolve(shared.engine(), key, who, now))
    if alert["snoozed_until"] and alert["snoozed_until"] > now.isoformat():
        st.caption(t("finance.alerts.snoozed_until", when=shared.moment(alert["snoozed_until"])))


def _do(t: Texts, act: Any) -> None:
    try:
        act()
    except InputError as error:
        st.error(t("common.failed", why=str(error)))
        return
    st.rerun()


def _silences(t: Texts) -> None:
    now = utc_now()
    rows = inbox.silences(shared.engine(), now)
    with st.expander(t("finance.alerts.silences", n=len(rows)), icon=":material/notifications_off:"):
        if not rows:
            st.caption(t("finance.alerts.no_silences"))
        for row in rows:
            conditions = " & ".join(f"{m['label']} {'~' if m['regex'] else '='} {m['value']}" for m in row["matchers"])
            text, button = st.columns([5, 1])
            until = t("finance.until", when=shared.moment(row["ends"]))
            said = shared.plain(f"{row['author']} {row['comment']}")
            text.markdown(f"**{shared.plain(conditions)}** · {until} · {said}")
            if button.button(t("finance.alerts.end"), key=f"end-{row['id']}"):
                _do(t, lambda number=row["id"]: actions.expire(shared.engine(), number, now))
