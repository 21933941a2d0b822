"""Where the news comes from: health and errors, adding a source with a test fetch, polling one now."""

import json
from typing import Any

import streamlit as st

from core.errors import InputError
from dashboards.finance_pages import shared
from dashboards.parts.language import Texts
from verticals.finance import polling, reading, watch
from verticals.finance.opening import utc_now
from verticals.finance.settings import finance_settings

KINDS = ("rss", "atom", "json_feed", "web", "sitemap", "json_api", "csv", "folder")


def draw(t: Texts) -> None:
    """The page."""
    shared.ask_actor(t)
    shared.title(t, "sources")

    @st.fragment(run_every=shared.LIVE)
    def live() -> None:
        _table(t)

    live()
    _add(t)


def _table(t: Texts) -> None:
    rows = [one.to_dict() for one in watch.listed(shared.engine(), finance_settings())]
    show = st.segmented_control(
        t("finance.sources.show"),
        ("watched", "all"),
        default="watched",
        key="sources-show",
        required=True,
        label_visibility="collapsed",
        format_func=lambda value: t(f"finance.sources.{value}"),
    )
    shown = [row for row in rows if row["enabled"] or show == "all"]
    status = reading.status(shared.engine(), finance_settings())
    st.caption(
        t(
            "finance.sources.summary",
            n=sum(r["enabled"] for r in rows),
            all=len(rows),
            when=shared.ago(t, status["polled"]),
        )
    )
    event = st.dataframe(
        [
            {
                "health": _mark(t, row["health"]),
                "name": row["name"],
                "kind": row["kind"],
                "articles": row["articles"],
                "latest": shared.ago(t, row["latest"]),
                "last": shared.ago(t, row["last_success"]),
                "next": shared.moment(row["next_check"])[5:] if row["next_check"] else "–",
                "error": row["error"] or "",
            }
            for row in shown
        ],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"sources-{show}",
        height=min(38 + 35 * max(1, len(shown)), 460),
        column_config={
            "health": st.column_config.TextColumn(t("finance.sources.health"), width="small"),
            "name": st.column_config.TextColumn(t("finance.sources.name"), width="medium"),
            "kind": st.column_config.TextColumn(t("finance.sources.kind"), width="small"),
            "articles": st.column_config.NumberColumn(t("finance.column.articles"), width="small"),
            "latest": st.column_config.TextColumn(t("finance.sources.latest"), width="small"),
            "last": st.column_config.TextColumn(t("finance.sources.last"), width="small"),
            "next": st.column_config.TextColumn(t("finance.sources.next"), width="small"),
            "error": st.column_config.TextColumn(t("finance.sources.error"), width="large"),
        },
    )
    shared.downloads(t, shown, "sources")
    if chosen := event["selection"]["rows"]:
        _one(t, shown[chosen[0]])
    else:
        st.caption(t("finance.sources.choose"))


def _mark(t: Texts, health: str) -> str:
    sign = {"ok": "🟢", "failing": "🟠", "down": "🔴", "broken": "🔴", "new": "🔵", "disabled": "⚪"}[health]
    return f"{sign} {t('finance.health.' + health)}"


def _one(t: Texts, row: dict[str, Any]) -> None:
    with st.container(border=True):
        st.markdown(f"**{shared.plain(row['name'])}** · {shared.plain(row['url'])}")
        report = row["report"] or {}
        if report:
            st.caption(
                t(
                    "finance.sources.report",
                    outcome=report["outcome"],
                    items=report["items"],
                    requests=report["requests"],
                    kb=f"{report['bytes'] / 1024:,.0f}",
                    seconds=f"{report['seconds']:.1f}",
                )
            )
            for note in report["notes"]:
                st.caption(shared.plain(note))
        if row["error"]:
            st.error(shared.plain(row["error"]), icon=":material/error:")
        with st.container(horizontal=True, gap="small"):
            on = row["enabled"]
            if st.button(t("finance.sources.disable" if on else "finance.sources.enable"), key=f"switch-{row['id']}"):
                watch.enable(shared.engine(), row["id"], not on)
                st.rerun(scope="fragment")
            if on and st.button(t("finance.sources.poll_now"), key=f"poll-{row['id']}", icon=":material/refresh:"):
                poller = polling.Poller(shared.engine(), finance_settings())
                with st.spinner(t("finance.sources.polling")), poller:
                    visits = poller.run(only=(row["id"],))
                if visits:
                    report = visits[0]
                    st.toast(t("finance.sources.polled", outcome=report.report.outcome, n=len(report.stored.new)))
                else:
                    st.toast(t("finance.sources.busy"))
                st.rerun(scope="fragment")
            with st.popover(t("finance.sources.remove"), icon=":material/delete:"):
                st.markdown(t("finance.sources.remove_sure"))
                if st.button(t("finance.sources.remove"), key=f"remove-{row['id']}", type="primary"):
                    watch.remove(shared.engine(), row["id"])
                    st.rerun(scope="fragment")


def _add(t: Texts) -> None:
    st.subheader(t("finance.sources.add"), anchor=False)
    st.caption(t("finance.sources.add_help"))
    one, two = st.columns(2)
    values: dict[str, Any] = {
        "id": one.text_input(t("finance.sources.id"), key="new-id", placeholder="my-feed", max_chars=64).strip(),
        "name": two.text_input(t("finance.sources.name"), key="new-name", max_chars=200).strip(),
        "url": one.text_input(t("finance.sources.url"), key="new-url", placeholder="https://…/rss.xml").strip(),
        "kind": two.selectbox(t("finance.sources.kind"), KINDS, key="new-kind"),
        "interval": one.text_input(t("finance.sources.interval"), "30m", key="new-interval").strip(),
        "language": two.text_input(t("finance.sources.language"), key="new-language", placeholder="en").strip() or None,
        "full_text": one.toggle(
            t("finance.sources.full_text"), key="new-full", help=t("finance.sources.full_text_help")
        ),
    }
    more = {"web": ("selectors", '{"item": "article", "link": "h2 a"}'), "json_api": ("paths", '{"items": "articles"}')}
    row = {name: value for name, value in values.items() if value not in (None, "", False)}
    if values["kind"] in more:
        field, example = more[values["kind"]]
        written = st.text_area(t(f"finance.sources.{field}"), example, key=f"new-{field}")
        try:
            row[field] = json.loads(written)
        except ValueError as error:
            st.error(t("common.failed", why=f"{field}: {error}"))
            return
    with st.container(horizontal=True, gap="small"):
        test = st.button(
            t("finance.sources.test"), icon=":material/science:", disabled=not (values["id"] and values["url"])
        )
        tried = st.session_state.get("tried")
        fits = bool(tried and tried[0] == row and tried[1].report.ok)
        add = st.button(
            t("finance.sources.watch"),
            type="primary",
            disabled=not fits,
            icon=":material/add:",
            help=None if fits else t("finance.sources.test_first"),
        )
    if test:
        try:
            with st.spinner(t("finance.sources.polling")):
                st.session_state["tried"] = (row, polling.try_source(row, finance_settings()))
        except InputError as error:
            st.session_state.pop("tried", None)
            st.error(shared.plain(error))
            return
        st.rerun()
    if add:
        try:
            watch.add(shared.engine(), row, finance_settings(), utc_now())
        except InputError as error:
            st.error(shared.plain(error))
            return
        st.session_state.pop("tried", None)
        st.toast(t("finance.sources.added"), icon=":material/check:")
        st.rerun()
    if tried and tried[0] == row:
        _tried(t, tried[1])


def _tried(t: Texts, result: Any) -> None:
    report = result.report
    if not report.ok:
        st.error(f"{report.outcome}: {shared.plain(report.reason)}", icon=":material/error:")
        return
    st.success(
        t("finance.sources.found", n=report.items, seconds=f"{report.seconds:.1f}"), icon=":material/check_circle:"
    )
    st.dataframe(
        [
            {"published": shared.moment(i.published), "title": i.title, "summary": i.summary[:200]}
            for i in result.items[:10]
        ],
        hide_index=True,
        column_config={
            "published": t("finance.column.first"),
            "title": t("finance.column.title"),
            "summary": t("finance.sources.summary_column"),
        },
    )
    for note in report.notes:
        st.caption(shared.plain(note))
