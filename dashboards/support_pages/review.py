"""What mining proposes: approve, edit or reject. Nothing is published before."""

import tempfile
from pathlib import Path
from typing import Any

import streamlit as st

from core.errors import InputError
from core.settings import PROJECT_ROOT
from dashboards.parts.language import Texts
from dashboards.support_pages import shared
from dashboards.support_pages.assistant import assistant
from verticals.support.review import Review, publisher

SAMPLE = PROJECT_ROOT / "data" / "support" / "dialogues.jsonl"
KINDS = ("faq", "intent")


def draw(t: Texts) -> None:
    """The page."""
    shared.ask_actor(t)
    shared.title(t, "review")
    shared.show_flash()
    assistant()
    queue = Review(shared.engine())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            t("support.review.kind"),
            KINDS,
            default="faq",
            required=True,
            format_func=lambda one: t(f"support.review.kind_{one}"),
            key="review-kind",
        )
        status = st.segmented_control(
            t("support.review.status"),
            ("pending", "approved", "rejected"),
            default="pending",
            required=True,
            format_func=lambda one: t(f"support.review.{one}"),
            key="review-status",
        )
    rows = queue.list(status, kind)
    if rows:
        left, right = st.columns([3, 4], gap="large")
        with left:
            current = _list(t, rows)
        with right:
            _one(t, queue, current)
    elif status == "pending":
        shared.empty("task_alt", t("support.review.empty"), t("support.review.empty_help"))
    else:
        shared.empty("inbox", t("support.review.none"), t("support.review.none_help"))
    _mine(t, open_at_first=not rows and status == "pending")


def _list(t: Texts, rows: list[dict[str, Any]]) -> dict[str, Any]:
    ids = [row["id"] for row in rows]
    if st.session_state.get("review-current") not in ids:
        st.session_state["review-current"] = ids[0]
    st.caption(t("support.review.count", n=len(rows)))
    with st.container(height=560, border=False):
        for row in rows:
            mine = row["id"] == st.session_state["review-current"]
            with st.container(border=True, gap="xsmall"):
                if st.button(
                    shared.plain(shared.line(row["name"], 90)),
                    key=f"open-{row['id']}",
                    type="tertiary",
                    icon=":material/chevron_right:" if mine else None,
                ):
                    st.session_state["review-current"] = row["id"]
                    st.rerun()
                draft = "" if row["kind"] == "intent" or row["answer"] else " " + _no_answer(t)
                size = shared.badge(t("support.review.questions_n", n=row["size"]), "blue")
                st.markdown(f"{size}{draft} :gray[{shared.plain(row['label'])}]")
    return next(row for row in rows if row["id"] == st.session_state["review-current"])


def _no_answer(t: Texts) -> str:
    return shared.badge(t("support.review.needs_answer"), "orange")


def _one(t: Texts, queue: Review, row: dict[str, Any]) -> None:
    key = row["id"]
    if row["status"] != "pending":
        st.subheader(shared.plain(row["name"]), anchor=False)
        st.caption(
            t(f"support.review.was_{row['status']}", who=row["actor"] or "–", when=shared.ago(t, row["changed"]))
        )
        if row["reason"]:
            st.info(shared.plain(row["reason"]))
        if row["answer"]:
            st.html(f'<div class="hw-answer">{shared.html(row["answer"])}</div>')
        _questions(t, row["questions"])
        return
    with st.form(f"review-{key}"):
        name = st.text_input(t("support.review.name"), row["name"], key=f"name-{key}", max_chars=400)
        label, answer = row["label"], row["answer"]
        groups = ["public"]
        if row["kind"] == "faq":
            answer = st.text_area(
                t("support.review.answer"),
                row["answer"],
                height=170,
                key=f"answer-{key}",
                max_chars=8_000,
                placeholder=t("support.review.answer_placeholder"),
            )
            groups = st.multiselect(
                t("support.knowledge.groups"), ["public", "agents"], default=["public"], key=f"groups-{key}"
            )
        else:
            label = st.text_input(t("support.review.label"), row["label"], key=f"label-{key}", max_chars=120)
        kept = st.multiselect(
            t("support.review.questions"),
            row["questions"],
            default=row["questions"],
            key=f"kept-{key}",
            help=t("support.review.questions_help"),
        )
        with st.container(horizontal=True, gap="small"):
            approve = st.form_submit_button(
                t("support.review.approve"), type="primary", icon=":material/check:", shortcut="Alt+A"
            )
            save = st.form_submit_button(t("support.review.save"), icon=":material/save:")
            reject = st.form_submit_button(t("support.review.reject"), icon=":material/close:")
        note = st.text_input(t("support.review.why"), key=f"why-{key}", max_chars=500)
    st.caption(t(f"support.review.effect_{row['kind']}"))
    if reject:
        _do(t, lambda: queue.reject(key, shared.actor(), note), "rejected")
    elif approve or save:
        values = {"name": name, "label": label, "answer": answer, "questions": kept}
        _do(t, lambda: _apply(t, queue, key, row["kind"], values, groups, approve), "approved" if approve else "saved")


def _apply(
    t: Texts, queue: Review, key: str, kind: str, values: dict[str, Any], groups: list[str], approve: bool
) -> None:
    queue.edit(key, shared.actor(), **values)
    if not approve:
        return
    if not groups:
        raise InputError(t("support.review.no_groups"))
    if kind == "faq" and values["answer"].strip():
        with st.spinner(t("support.review.publishing")):
            queue.approve(key, shared.actor(), publisher(assistant().wait()), groups)
        return
    queue.approve(key, shared.actor(), lambda entry: "")


def _do(t: Texts, act: Any, done: str) -> None:
    try:
        act()
    except (InputError, RuntimeError) as error:
        st.error(t("common.failed", why=shared.plain(error)))
        return
    shared.flash(t(f"support.review.did_{done}"))
    st.rerun()


def _questions(t: Texts, questions: list[str]) -> None:
    st.markdown(f"**{t('support.review.questions')}**")
    st.markdown("\n".join(f"- {shared.plain(question)}" for question in questions))


def _mine(t: Texts, open_at_first: bool) -> None:
    with st.expander(t("support.review.mine"), expanded=open_at_first, icon=":material/manage_search:"):
        st.caption(t("support.review.mine_help"))
        logs = st.file_uploader(t("support.review.logs"), type=["jsonl", "csv"], key="logs")
        with st.container(horizontal=True):
            own = st.button(t("support.review.mine_logs"), disabled=logs is None, type="primary", key="mine-own")
            sample = st.button(t("support.review.mine_sample"), key="mine-sample", icon=":material/science:")
        if own and logs is not None:
            with tempfile.TemporaryDirectory(prefix="headwater-mine-") as folder:
                path = Path(folder) / Path(logs.name).name
                path.write_bytes(logs.getvalue())
                _run(t, path)
        elif sample:
            _run(t, SAMPLE)


def _run(t: Texts, path: Path) -> None:
    from verticals.support.dialogues.mining import mine

    try:
        with st.status(t("support.review.mining"), expanded=True) as status:
            st.write(t("support.review.step_bot"))
            bot = assistant().wait()
            st.write(t("support.review.step_learn"))

            def answered(question: str) -> bool:
                return bot.reply(question, (), shared.GROUPS).kind in ("template", "passage")

            found = mine(path, bot.settings, encoder=bot.retrieval.encoder, answered=answered)
            status.update(label=t("support.review.mined"), state="complete")
    except (InputError, RuntimeError) as error:
        st.error(t("common.failed", why=shared.plain(error)))
        return
    names = ("dialogues", "pairs", "unanswered", "queued")
    shared.flash(t("support.review.mined_report", **{name: found[name] for name in names}))
    st.rerun()
