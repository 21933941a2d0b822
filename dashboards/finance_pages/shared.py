"""What the finance pages share: the database, names, times, downloads, links between pages."""

import csv
import getpass
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st
from sqlalchemy import Engine

from dashboards.parts import sign_in
from dashboards.parts.language import Texts
from verticals.finance import export
from verticals.finance.opening import open_store, utc_now
from verticals.finance.settings import finance_settings

COLOURS = {"negative": "#c8553d", "neutral": "#9aa5b1", "positive": "#2a8c82"}
BADGES = {"negative": "red", "neutral": "gray", "positive": "green"}
SEVERITY = {"critical": "red", "warning": "orange", "info": "blue"}
STATUS = {"firing": "red", "pending": "orange", "recovering": "blue", "nodata": "violet", "error": "violet"}
HEALTH = {"ok": "green", "failing": "orange", "down": "red", "broken": "red", "new": "blue", "disabled": "gray"}
LIVE = finance_settings().refresh  # seconds between two looks at the database


@st.cache_resource
def engine() -> Engine:
    """The database, opened once for all viewers."""
    return open_store()


@st.cache_data(ttl=60)
def companies() -> dict[str, str]:
    """Names by code."""
    path = Path(finance_settings().companies_file)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return {row["code"]: row["name"] for row in csv.DictReader(stream)}


def subject_name(t: Texts, scope: str, subject: str) -> str:
    """How a topic, company or source is called."""
    if scope == "all" or subject in ("", "all"):
        return t("finance.everything")
    return companies().get(subject, subject) if scope == "company" else subject.removeprefix("sample-")


def moment(value: str | datetime | None) -> str:
    """A UTC time to the minute."""
    if value is None:
        return "–"
    text = value.isoformat() if isinstance(value, datetime) else value
    return text[:16].replace("T", " ")


def ago(t: Texts, value: str | datetime | None) -> str:
    """How long ago that was, in the largest unit that fits."""
    if value is None:
        return t("finance.never")
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    seconds = (utc_now() - at).total_seconds()
    if seconds < 0:
        return moment(at)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return t(f"finance.ago.{unit}", n=int(seconds // size))
    return t("finance.ago.s", n=int(seconds))


def badge(text: str, colour: str) -> str:
    """Markdown of a small coloured label."""
    return f":{colour}-badge[{plain(text)}]"


def state(t: Texts, alert: Mapping[str, Any]) -> str:
    """Severity and status of an alert as coloured labels."""
    severity, status = alert["severity"], alert["status"]
    return (
        f"{badge(t(f'finance.severity.{severity}'), SEVERITY[severity])} "
        f"{badge(t(f'finance.status.{status}'), STATUS.get(status, 'gray'))}"
    )


def sentiment(t: Texts, value: str) -> str:
    """A sentiment as a coloured label."""
    return badge(t(f"finance.sentiment.{value}") if value in BADGES else value, BADGES.get(value, "gray"))


def plain(text: Any) -> str:
    """Text that Markdown leaves as it is: what sources write is not ours to format."""
    out = str(text)
    for mark in "\\`*_{}[]<>#|~$:":
        out = out.replace(mark, f"\\{mark}")
    return out.replace("\n", " ")


def html(text: Any) -> str:
    """Text safe within HTML."""
    return escape(str(text), quote=True)


def downloads(t: Texts, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    """Two buttons that give the rows as a file."""
    if not rows:
        return
    kept = list(rows)
    with st.container(horizontal=True, gap="small"):
        for kind, make in (("csv", export.to_csv), ("parquet", export.to_parquet)):
            st.download_button(
                t(f"common.download_{kind}"),
                make(kept),
                f"{name}.{kind}",
                key=f"{name}-{kind}",
                type="tertiary",
                icon=":material/download:",
                on_click="ignore",
            )


def actor(t: Texts) -> str:
    """Who is acting: the name in the sidebar, which stays for the session."""
    return sign_in.actor() or str(st.session_state.get("actor") or _default_actor())


def ask_actor(t: Texts) -> None:
    """The sidebar's field for the name that goes into the audit trail; of no use to those who are signed in."""
    if sign_in.actor() is not None:
        return
    with st.sidebar:
        st.session_state.setdefault("actor", _default_actor())
        st.text_input(t("finance.your_name"), key="actor", max_chars=120, help=t("finance.your_name_help"))


def _default_actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "analyst"


def page(key: str) -> Any:
    """A page of this dashboard to be linked to."""
    return st.Page(lambda: None, url_path=key, title=key)


def link(key: str, label: str, icon: str | None = None, **query: Any) -> None:
    """A link to a page; its text is taken as it is."""
    wanted = {name: str(value) for name, value in query.items() if value is not None}
    if "language" in st.session_state:
        wanted["lang"] = str(st.session_state["language"])
    st.page_link(page(key), label=plain(label), icon=icon, query_params=wanted)


def stay(label: str, **query: Any) -> None:
    """A link within the page that is shown: only its address changes."""

    def follow() -> None:
        st.query_params.clear()
        st.query_params.update({name: str(value) for name, value in query.items()})

    st.button(
        plain(label), key="-".join(["stay", *(f"{k}{v}" for k, v in query.items())]), type="tertiary", on_click=follow
    )


def title(t: Texts, key: str, help_key: str | None = None) -> None:
    """A page's heading with one line of what it is for."""
    st.title(t(f"finance.pages.{key}"))
    st.caption(t(help_key or f"finance.{key}.help"))
