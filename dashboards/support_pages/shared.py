"""What the support pages share: the database, the agent's name, small labels, text made safe."""

import getpass
from datetime import UTC, datetime
from html import escape
from typing import Any

import streamlit as st
from sqlalchemy import Engine

from core.operations.database import open_database
from dashboards.parts import sign_in
from dashboards.parts.language import Texts
from verticals.support.conversations import Conversations
from verticals.support.tables import metadata

GROUPS = ("public", "agents")  # what an agent at the desk may read
KINDS = {"template": "green", "passage": "blue", "clarify": "orange", "handoff": "red"}
VERDICTS = {"accepted": "green", "edited": "blue", "rejected": "red", "handed_over": "orange"}
STATUS = {"open": "green", "handed_over": "orange", "closed": "gray"}
COLOURS = {"template": "#2a8c82", "passage": "#4a7fb5", "clarify": "#d99a2b", "handoff": "#c8553d"}
STYLE = """
<style>
mark { background: #ffe38a; color: inherit; padding: 0.05em 0.1em; border-radius: 3px; }
.hw-doc { white-space: pre-wrap; line-height: 1.55; font-size: 0.92rem; }
.hw-meter { height: 6px; border-radius: 3px; background: rgba(128,128,128,.22); overflow: hidden; }
.hw-meter > span { display: block; height: 100%; border-radius: 3px; }
.hw-answer { white-space: pre-wrap; line-height: 1.55; padding: .1rem 0 .35rem; font-size: 1rem; }
</style>
"""


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """The database, opened once for all viewers."""
    return open_database(metadata)


def talks() -> Conversations:
    """Conversations in the database."""
    return Conversations(engine())


def now() -> datetime:
    """The UTC time."""
    return datetime.now(UTC)


def title(t: Texts, key: str) -> None:
    """A page's heading with one line of what it is for."""
    st.html(STYLE)
    st.title(t(f"support.pages.{key}"), anchor=False)
    st.caption(t(f"support.{key}.help"))


def ask_actor(t: Texts) -> None:
    """The sidebar's field for the name that feedback is recorded under; of no use to those who are signed in."""
    if sign_in.actor() is not None:
        return
    with st.sidebar:
        st.session_state.setdefault("actor", _default_actor())
        st.text_input(t("support.your_name"), key="actor", max_chars=120, help=t("support.your_name_help"))


def actor() -> str:
    """Who is acting."""
    return sign_in.actor() or str(st.session_state.get("actor") or "").strip() or _default_actor()


def _default_actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "agent"


def plain(text: Any) -> str:
    """Text that Markdown leaves as it is: what customers write is not ours to format."""
    out = str(text)
    for mark in "\\`*_{}[]<>#|~$:":
        out = out.replace(mark, f"\\{mark}")
    return out


def line(text: Any, longest: int = 80) -> str:
    """The beginning of a text on one line."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def html(text: Any) -> str:
    """Text safe within HTML."""
    return escape(str(text), quote=True)


def badge(text: str, colour: str) -> str:
    """Markdown of a small coloured label."""
    return f":{colour}-badge[{plain(text)}]"


def ago(t: Texts, at: datetime) -> str:
    """How long ago that was, in the largest unit that fits."""
    seconds = max(0, int((now() - at).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return t(f"support.ago.{unit}", n=seconds // size)
    return t("support.ago.now")


def intent_name(intent: str | None) -> str:
    """An intent as people read it."""
    return (intent or "–").replace("_", " ").rstrip("?")


def meter(t: Texts, confidence: float) -> None:
    """How sure the bot is, as a bar and in words; both tell the same, so colour is never the only sign."""
    level = "sure" if confidence >= 0.9 else "fair" if confidence >= 0.6 else "unsure"
    colour = {"sure": "#2a8c82", "fair": "#d99a2b", "unsure": "#c8553d"}[level]
    width = int(100 * min(max(confidence, 0.0), 0.99))  # nothing is ever certain
    label = f"{t('support.desk.confidence')}: {width}% · {t(f'support.level.{level}')}"
    st.html(
        f'<div role="img" aria-label="{html(label)}"><div style="font-size:.86rem;opacity:.75;margin-bottom:.25rem">'
        f'{html(label)}</div><div class="hw-meter"><span style="width:{width}%;background:{colour}"></span></div></div>'
    )


def empty(icon: str, head: str, text: str) -> None:
    """What a place says that has nothing to show yet, and what to do about it."""
    with st.container(border=True):
        st.markdown(f"### :material/{icon}: {head}")
        st.markdown(text)


def flash(text: str, icon: str = ":material/check:") -> None:
    """A note that is shown after the next rerun."""
    st.session_state["flash"] = (text, icon)


def show_flash() -> None:
    """Show the note, once."""
    found = st.session_state.pop("flash", None)
    if found:
        st.toast(found[0], icon=found[1])
