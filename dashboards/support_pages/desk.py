"""The desk: the conversation on the left, what the bot suggests on the right."""

from typing import Any

import streamlit as st

from core.errors import InputError
from dashboards.parts.language import Texts
from dashboards.support_pages import shared, suggestion
from dashboards.support_pages.assistant import assistant, ready

EXAMPLES = 3


def draw(t: Texts) -> None:
    """The page."""
    shared.ask_actor(t)
    shared.title(t, "desk")
    shared.show_flash()
    assistant()  # begins to load while the agent reads
    left, right = st.columns([5, 4], gap="large")
    with left:
        talk = _chosen(t)
        _conversation(t, talk)
    with right:
        bot = ready(t, "desk")
        if bot is not None and (waiting := st.session_state.pop("desk-waiting", None)):
            _ask(t, waiting, talk["id"] if talk else None)
        suggestion.draw(t, bot, talk)


def _chosen(t: Texts) -> dict[str, Any] | None:
    """The conversation that is open, or None for a new one."""
    rows = shared.talks().list(limit=30)
    known = {row["id"]: row for row in rows}
    current = st.session_state.get("desk-talk") or st.query_params.get("conversation")
    if current and current not in known:
        try:
            known[current] = {**shared.talks().read(current), "last": "", "messages": 0}
        except InputError:
            current = None
    # The labels change with every message; a widget that lived on would take that for another choice. So each state
    # of the list has a widget of its own, and only a change by hand counts.
    options = ["", *known]
    labels = {name: _label(t, known.get(name)) for name in options}
    key = f"desk-pick-{hash((current, tuple(labels.values())))}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picked = st.selectbox(
            t("support.desk.conversation"),
            options,
            index=options.index(current) if current else 0,
            format_func=labels.__getitem__,
            key=key,
            on_change=lambda: st.session_state.update({"desk-picked": True}),
        )
        if st.button(t("support.desk.new"), icon=":material/add_comment:", key="desk-new", shortcut="Alt+N"):
            _go(None)
    if st.session_state.pop("desk-picked", False) and picked != (current or ""):
        _go(picked or None)
    return shared.talks().read(current) if current else None


def _go(conversation: str | None) -> None:
    st.session_state["desk-talk"] = conversation
    if conversation:
        st.query_params["conversation"] = conversation
    else:
        st.query_params.pop("conversation", None)
    st.rerun()


def _label(t: Texts, row: dict[str, Any] | None) -> str:
    if row is None:
        return t("support.desk.new_one")
    status = "" if row["status"] == "open" else f" · {t('support.status.' + row['status'])}"
    return f"{shared.line(row['last'], 48) or '…'} · {shared.ago(t, row['updated'])}{status}"


def _conversation(t: Texts, talk: dict[str, Any] | None) -> None:
    with st.container(height=470, border=True, key="desk-transcript", autoscroll=True):
        if talk is None:
            _welcome(t)
        else:
            if talk["status"] != "open":
                note = t("support.desk.is_" + talk["status"])
                st.info(note + (f"\n\n{shared.plain(talk['summary'])}" if talk["summary"] else ""))
            for turn in talk["turns"]:
                name, icon = (
                    ("human", ":material/person:") if turn["role"] == "customer" else ("ai", ":material/headset_mic:")
                )
                with st.chat_message(name, avatar=icon):
                    st.html(f'<div class="hw-answer">{shared.html(turn["text"])}</div>')
    said = st.chat_input(t("support.desk.type"), key="desk-input", max_chars=4_000)
    if said:
        _ask(t, said, talk["id"] if talk else None)
    if talk is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            if talk["status"] == "open":
                if st.button(t("support.desk.resolve"), icon=":material/task_alt:", key="desk-resolve"):
                    shared.talks().set_status(talk["id"], "closed")
                    shared.flash(t("support.desk.resolved"))
                    st.rerun()
            elif st.button(t("support.desk.reopen"), icon=":material/undo:", key="desk-reopen"):
                shared.talks().set_status(talk["id"], "open")
                st.rerun()
            st.caption(t("support.desk.keys"))


def _welcome(t: Texts) -> None:
    st.markdown(f"### :material/waving_hand: {t('support.desk.empty')}")
    st.markdown(t("support.desk.empty_help"))
    st.caption(t("support.desk.try"))
    for number in range(1, EXAMPLES + 1):
        text = t(f"support.desk.example_{number}")
        if st.button(text, key=f"desk-example-{number}", icon=":material/chat:", type="tertiary"):
            _ask(t, text, None)


def _ask(t: Texts, text: str, conversation: str | None) -> None:
    """Ask the bot; while it is being loaded the question is kept and asked as soon as it is there."""
    if not text.strip():
        return
    bot = assistant().bot
    if bot is None:
        st.session_state["desk-waiting"] = text
        st.toast(t("support.desk.waiting"), icon=":material/hourglass_top:")
        return
    try:
        with st.spinner(t("support.desk.thinking")):
            done = shared.talks().answer(bot, text, conversation, shared.GROUPS, channel="desk", send=False)
    except InputError as error:
        st.error(t("common.failed", why=shared.plain(error)))
        return
    _go(done.conversation)
