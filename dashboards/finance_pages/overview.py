"""The morning page: what turned negative, on whom, since when, and which alerts wait for a decision."""

from datetime import datetime, timedelta
from typing import Any

import streamlit as st

from dashboards.finance_pages import shared
from dashboards.parts.language import Texts
from verticals.finance import reading, watch, watchlist
from verticals.finance.alerts import inbox
from verticals.finance.opening import utc_now
from verticals.finance.settings import finance_settings

DAYS = 14
COLUMNS = 4
SHOWN = 6  # subjects with open alerts


def draw(t: Texts) -> None:
    """The page."""
    shared.ask_actor(t)
    shared.title(t, "overview")

    @st.fragment(run_every=shared.LIVE)
    def live() -> None:
        now = utc_now()
        open_alerts = inbox.listed(shared.engine())
        sources = [one for one in watch.listed(shared.engine(), finance_settings()) if one.enabled]
        _figures(t, now, open_alerts, sources)
        left, right = st.columns([3, 2], gap="medium")
        with left:
            _alerts(t, open_alerts)
        with right:
            _negative(t, now)
        _watchlist(t, now)
        _sources(t, sources)

    live()


def _figures(t: Texts, now: datetime, alerts: list[dict[str, Any]], sources: list[watch.Watched]) -> None:
    day, before, status = (
        _totals(now),
        _totals(now - timedelta(days=1), 7),
        reading.status(shared.engine(), finance_settings()),
    )
    critical = sum(alert["severity"] == "critical" for alert in alerts)
    healthy = sum(one.health == "ok" for one in sources)
    share, usual = day["share"], before["share"]
    columns = st.columns(5)
    columns[0].metric(
        t("finance.overview.open_alerts"),
        len(alerts),
        t("finance.overview.critical", n=critical) if alerts else None,
        delta_color="inverse" if critical else "off",
        delta_arrow="off",
        border=True,
    )
    columns[1].metric(
        t("finance.overview.stories"),
        f"{day['stories']:,}",
        t("finance.overview.usual", n=f"{before['stories'] / 7:.0f}"),
        delta_color="off",
        delta_arrow="off",
        border=True,
    )
    columns[2].metric(
        t("finance.overview.share"),
        "–" if share is None else f"{share:.0%}",
        None if share is None or usual is None else f"{(share - usual) * 100:+.0f} {t('finance.points')}",
        delta_color="inverse",
        border=True,
    )
    columns[3].metric(
        t("finance.overview.sources_ok"),
        f"{healthy} / {len(sources)}",
        t("finance.overview.articles", n=f"{status['articles']:,}"),
        delta_color="off",
        delta_arrow="off",
        border=True,
    )
    waiting = status["waiting"]
    columns[4].metric(
        t("finance.overview.last_poll"),
        shared.ago(t, status["polled"]),
        t("finance.overview.waiting", n=waiting) if waiting else t("finance.overview.up_to_date"),
        delta_color="off",
        delta_arrow="off",
        border=True,
    )


def _totals(until: datetime, days: int = 1) -> dict[str, Any]:
    rows = reading.trend(shared.engine(), until - timedelta(days=days), until, "all", None, "hour")
    stories, negatives = sum(r["stories"] for r in rows), sum(r["negatives"] for r in rows)
    return {"stories": stories, "negatives": negatives, "share": negatives / stories if stories else None}


def _alerts(t: Texts, alerts: list[dict[str, Any]]) -> None:
    """One card for each subject: what is open on it, since when, who has it, and the worst headlines."""
    st.subheader(t("finance.overview.alerts"))
    if not alerts:
        st.success(t("finance.overview.calm"), icon=":material/check_circle:")
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for alert in alerts:
        grouped.setdefault((_scope(alert), alert["subject"]), []).append(alert)
    for (scope, subject), own in list(grouped.items())[:SHOWN]:
        with st.container(border=True, gap="xsmall"):
            head, go = st.columns([4, 1], vertical_alignment="center")
            head.markdown(f"**{shared.plain(shared.subject_name(t, scope, subject))}**")
            with go:
                shared.link("alerts", t("finance.overview.decide"), ":material/arrow_forward:", alert=own[0]["id"])
            for alert in own:
                since = shared.ago(t, alert["started"] or alert["since"])
                owner = alert["assignee"] or alert["acknowledged_by"]
                who = " · " + t("finance.owner", name=owner) if owner else ""
                st.markdown(
                    f"{shared.state(t, alert)} "
                    f"{shared.plain(rule_title(alert['rule']))} :gray[· {shared.plain(since + who)}]"
                )
            evidence = dict.fromkeys(line for alert in own for line in alert["evidence"])
            lines = list(evidence)[:2] or [alert["reason"] for alert in own if alert["reason"]][:1]
            st.caption("  \n".join(f"“{shared.plain(line)}”" for line in lines))
    if len(grouped) > SHOWN:
        shared.link("alerts", t("finance.overview.more", n=len(grouped) - SHOWN))


def _scope(alert: dict[str, Any]) -> str:
    return next((s for s in ("company", "topic", "source") if alert["labels"].get(s) == alert["subject"]), "all")


@st.cache_data(ttl=10)
def _titles() -> dict[str, str]:
    from verticals.finance import rulebooks

    book = rulebooks.in_force(shared.engine(), finance_settings())
    return {rule.id: rule.title or rule.id for rule in book.rules}


def rule_title(rule: str) -> str:
    """The title of a rule in force, or its id."""
    return _titles().get(rule, rule)


def _negative(t: Texts, now: datetime) -> None:
    st.subheader(t("finance.overview.negative"))
    rows = reading.stories(shared.engine(), now - timedelta(days=3), now, sentiment="negative", limit=8)
    if not rows:
        st.info(t("common.nothing"))
    for row in rows:
        with st.container(gap=None):
            shared.link("article", row["title"], story=row["id"])
            names = ", ".join(shared.subject_name(t, "company", code) for code in row["companies"])
            copies = t("finance.articles_n", n=row["articles"]) if row["articles"] > 1 else ""
            parts = [shared.ago(t, row["first"]), row["topic"] or "", names, copies]
            st.caption(shared.plain(" · ".join(part for part in parts if part)))


def _watchlist(t: Texts, now: datetime) -> None:
    head, edit = st.columns([4, 1], vertical_alignment="bottom")
    head.subheader(t("finance.overview.watchlist"))
    known = shared.companies()
    chosen = watchlist.read(shared.engine())
    with edit.popover(t("finance.overview.edit_watchlist"), icon=":material/edit:"):
        picked = st.multiselect(
            t("finance.overview.companies"),
            list(known),
            default=[c for c in chosen or known if c in known],
            format_func=lambda code: f"{known[code]} ({code})",
            key="watched",
        )
        if st.button(t("common.save"), key="save-watched"):
            watchlist.write(shared.engine(), picked, now)
            st.rerun(scope="fragment")
    tiles = [(code, _tile(code, now)) for code in (chosen or list(known)) if code in known]
    tiles.sort(key=lambda pair: (-pair[1]["negatives"], -pair[1]["stories"]))
    quiet = [known[code] for code, tile in tiles if not tile["stories"]]
    tiles = [pair for pair in tiles if pair[1]["stories"]]
    for start in range(0, len(tiles), COLUMNS):
        for column, (code, tile) in zip(st.columns(COLUMNS), tiles[start : start + COLUMNS], strict=False):
            with column.container(border=True, gap="xsmall"):
                shared.link("trends", known[code], scope="company", subject=code)
                st.metric(
                    t("finance.overview.negative_of", n=tile["negatives"], all=tile["stories"]),
                    "–" if tile["share"] is None else f"{tile['share']:.0%}",
                    tile["change"],
                    delta_color="off" if tile["change"] == "±0" else "inverse",
                    delta_arrow="off" if tile["change"] == "±0" else "auto",
                    chart_data=tile["line"],
                    chart_type="bar",
                    help=t("finance.overview.tile_help", days=DAYS),
                )
    if quiet:
        st.caption(t("finance.overview.quiet", names=shared.plain(", ".join(quiet))))


def _tile(code: str, now: datetime) -> dict[str, Any]:
    rows = reading.trend(shared.engine(), now - timedelta(days=DAYS), now, "company", code, "hour")
    edge = (now - timedelta(days=1)).isoformat()
    day = [row for row in rows if row["time"] >= edge]
    stories, negatives = sum(r["stories"] for r in day), sum(r["negatives"] for r in day)
    earlier = [row for row in rows if row["time"] < edge]
    usual = sum(r["negatives"] for r in earlier) / (DAYS - 1)
    change = negatives - usual
    line = [0] * DAYS
    for row in rows:
        age = (now - datetime.fromisoformat(row["time"])).total_seconds() / 86400
        line[DAYS - 1 - min(int(age), DAYS - 1)] += row["negatives"]
    return {
        "stories": stories,
        "negatives": negatives,
        "share": negatives / stories if stories else None,
        "change": "±0" if abs(change) < 0.5 else f"{change:+.0f}",
        "line": line,
    }


def _sources(t: Texts, sources: list[watch.Watched]) -> None:
    st.subheader(t("finance.overview.sources"))
    with st.container(horizontal=True, gap="small"):
        for one in sources:
            name = str(one.row.get("name") or one.id).removesuffix(" (synthetic sample)")
            latest = shared.ago(t, one.state.last_success)
            mark = shared.badge(f"{name} · {latest}", shared.HEALTH[one.health])
            st.markdown(mark, help=one.problem or one.state.last_error or one.health, width="content")
    if any(one.sample for one in sources):
        st.caption(t("finance.synthetic"))
