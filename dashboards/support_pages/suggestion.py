"""What the bot suggests to a question, and what the agent makes of it: accept, edit, reject, hand over."""

from typing import Any

import streamlit as st

from core.errors import InputError
from dashboards.parts.language import Texts
from dashboards.support_pages import shared, sources
from verticals.support.annotations import Annotation, Annotations
from verticals.support.feedback import Verdict, judge

REASONS = ("wrong", "incomplete", "outdated", "tone", "other")


def draw(t: Texts, bot: Any, talk: dict[str, Any] | None) -> None:
    """The right-hand side. ``talk`` is the conversation as ``Conversations.read`` gives it."""
    if bot is None:
        return
    if talk is None or not talk["replies"]:
        shared.empty("lightbulb", t("support.desk.no_suggestion"), t("support.desk.no_suggestion_help"))
        return
    reply = talk["replies"][-1]
    judged = reply["feedback"]
    with st.container(border=True, key="desk-suggestion"):
        st.markdown(
            f"**{t('support.desk.suggestion')}** &nbsp; "
            + shared.badge(t(f"support.kind.{reply['kind']}"), shared.KINDS[reply["kind"]])
            + (f" {shared.badge(t('support.desk.annotated'), 'violet')}" if _annotated(reply) else "")
            + (f" {shared.badge(shared.intent_name(reply['intent']), 'gray')}" if reply["intent"] else "")
        )
        shared.meter(t, reply["confidence"])
        if judged:
            _decided(t, bot, talk, reply, judged)
        else:
            _decide(t, bot, talk, reply)
        st.caption(t("support.desk.took", ms=f"{reply['latency_ms']:.0f}"))
    st.markdown(f"**{t('support.desk.sources')}**")
    sources.citations(t, bot, reply["citations"], reply["id"])
    sources.similar(t, bot, str(reply["detail"].get("question") or reply["question"]))


def _annotated(reply: dict[str, Any]) -> bool:
    return bool(reply["detail"].get("source") == "annotated")


def _said(reply: dict[str, Any]) -> str:
    choices = reply["detail"].get("choices") or ()
    return "\n".join([reply["answer"], *(f"{n}. {choice}" for n, choice in enumerate(choices, 1))])


def _decide(t: Texts, bot: Any, talk: dict[str, Any], reply: dict[str, Any]) -> None:
    key = reply["id"]
    if st.session_state.get("desk-editing") == key:
        _edit(t, bot, talk, reply)
        return
    st.html(f'<div class="hw-answer">{shared.html(reply["answer"])}</div>')
    choices = reply["detail"].get("choices") or ()
    for number, choice in enumerate(choices, 1):
        if st.button(
            f"{number}. {shared.plain(choice)}",
            key=f"choice-{key}-{number}",
            type="tertiary",
            icon=":material/subdirectory_arrow_right:",
            help=t("support.desk.choice_help"),
        ):
            _answer_choice(t, bot, talk, choice)
    handoff = reply["kind"] == "handoff"
    with st.container(horizontal=True, gap="small"):
        if not handoff and st.button(
            t("support.desk.accept"),
            key=f"accept-{key}",
            type="primary",
            icon=":material/check:",
            shortcut="Alt+A",
            help=t("support.desk.accept_help"),
        ):
            _send(t, talk, reply, "accepted", _said(reply))
        if st.button(
            t("support.desk.write") if handoff else t("support.desk.edit"),
            key=f"edit-{key}",
            icon=":material/edit:",
            shortcut="Alt+E",
        ):
            st.session_state["desk-editing"] = key
            st.rerun()
        if not handoff:
            with st.popover(t("support.desk.reject"), icon=":material/close:", key=f"reject-{key}"):
                _reject(t, reply)
        if st.button(
            t("support.desk.hand_over"),
            key=f"hand-{key}",
            icon=":material/forward:",
            type="primary" if handoff else "secondary",
            shortcut="Alt+H",
        ):
            _hand_over(t, talk, reply)


def _edit(t: Texts, bot: Any, talk: dict[str, Any], reply: dict[str, Any]) -> None:
    key = reply["id"]
    with st.form(f"form-{key}", border=False):
        start = "" if reply["kind"] == "handoff" else _said(reply)
        text = st.text_area(t("support.desk.your_answer"), start, height=220, max_chars=8_000, key=f"text-{key}")
        reuse = st.checkbox(t("support.desk.reuse"), True, key=f"reuse-{key}", help=t("support.desk.reuse_help"))
        with st.container(horizontal=True):
            send = st.form_submit_button(
                t("support.desk.send"), type="primary", icon=":material/send:", shortcut="Ctrl+Enter"
            )
            stop = st.form_submit_button(t("common.cancel"))
    if stop:
        st.session_state.pop("desk-editing", None)
        st.rerun()
    if not send:
        return
    if not text.strip():
        st.warning(t("support.desk.blank"))
        return
    st.session_state.pop("desk-editing", None)
    if text.strip() == _said(reply).strip():
        _send(t, talk, reply, "accepted", text)
    asked = str(reply["detail"].get("question") or reply["question"])
    _send(t, talk, reply, "edited", text, bot.encode(asked) if reuse else None)


def _reject(t: Texts, reply: dict[str, Any]) -> None:
    key = reply["id"]
    why = st.radio(
        t("support.desk.reason"), REASONS, format_func=lambda one: t(f"support.reason.{one}"), key=f"why-{key}"
    )
    note = st.text_input(t("support.desk.note"), key=f"note-{key}", max_chars=500)
    if st.button(t("support.desk.reject"), key=f"reject-it-{key}", type="primary"):
        reason = f"{why}: {note}" if note.strip() else str(why)
        _judge(t, reply, "rejected", reason=reason)


def _send(
    t: Texts, talk: dict[str, Any], reply: dict[str, Any], verdict: Verdict, text: str, vector: Any = None
) -> None:
    shared.talks().say(talk["id"], "agent", text, reply["id"])
    _judge(t, reply, verdict, answer=text if verdict == "edited" else "", vector=vector)


def _judge(t: Texts, reply: dict[str, Any], verdict: Verdict, **options: Any) -> None:
    try:
        done = judge(Annotations(shared.engine()), reply["id"], verdict, shared.actor(), **options)
    except InputError as error:
        st.error(t("common.failed", why=shared.plain(error)))
        return
    note = t("support.desk.personal") if done.note else t(f"support.desk.done_{verdict}")
    shared.flash(note + (f" {t('support.desk.remembered')}" if done.annotation else ""))
    st.rerun()


def _hand_over(t: Texts, talk: dict[str, Any], reply: dict[str, Any]) -> None:
    lines = [t("support.desk.summary_question", text=reply["question"])]
    if reply["intent"]:
        lines.append(t("support.desk.summary_intent", text=shared.intent_name(reply["intent"])))
    lines += [t("support.desk.summary_looked", text=", ".join(dict.fromkeys(c["title"] for c in reply["citations"])))]
    summary = "\n\n".join(lines if reply["citations"] else lines[:-1])
    if reply["kind"] == "handoff":
        shared.talks().say(talk["id"], "agent", reply["answer"], reply["id"])
    shared.talks().set_status(talk["id"], "handed_over", summary)
    _judge(t, reply, "handed_over")


def _answer_choice(t: Texts, bot: Any, talk: dict[str, Any], choice: str) -> None:
    """The agent knows which one is meant: answer that one."""
    done = bot.reply(choice, (), shared.GROUPS)
    talks = shared.talks()
    talks.keep(talk["id"], choice, done, shared.GROUPS)
    st.rerun()


def _decided(t: Texts, bot: Any, talk: dict[str, Any], reply: dict[str, Any], judged: dict[str, Any]) -> None:
    verdict = judged["verdict"]
    st.html(f'<div class="hw-answer" style="opacity:.7">{shared.html(judged["answer"] or reply["answer"])}</div>')
    st.markdown(
        shared.badge(t(f"support.verdict.{verdict}"), shared.VERDICTS[verdict])
        + f" :gray[{shared.plain(judged['actor'])} · {shared.plain(shared.ago(t, judged['time']))}]"
    )
    if verdict != "rejected":
        return
    with st.form(f"own-{reply['id']}", border=False, clear_on_submit=True):
        text = st.text_area(t("support.desk.own"), height=140, max_chars=8_000)
        reuse = st.checkbox(t("support.desk.reuse"), True, help=t("support.desk.reuse_help"))
        if st.form_submit_button(t("support.desk.send"), type="primary", icon=":material/send:") and text.strip():
            shared.talks().say(talk["id"], "agent", text)
            note = ""
            if reuse:
                asked = str(reply["detail"].get("question") or reply["question"])
                readers = tuple(reply["detail"].get("readers") or ())
                try:
                    own = Annotation(asked, text, None, readers)
                    Annotations(shared.engine()).save(own, bot.encode(asked), shared.actor())
                    note = t("support.desk.remembered")
                except InputError:
                    note = t("support.desk.personal")
            shared.flash(f"{t('support.desk.done_accepted')} {note}".strip())
            st.rerun()
