"""The knowledge base: upload, versions and rollback, documents, and a question to test it with."""

from typing import Any

import streamlit as st

from core.errors import InputError
from dashboards.parts.language import Texts
from dashboards.support_pages import shared, sources
from dashboards.support_pages.assistant import assistant, ready

_SHOWN = 200


def draw(t: Texts) -> None:
    """The page."""
    shared.ask_actor(t)
    shared.title(t, "knowledge")
    shared.show_flash()
    assistant()
    names = ("test", "documents", "upload", "versions")
    tabs = st.tabs([t(f"support.knowledge.{name}") for name in names])
    with tabs[3]:
        _versions(t)
    bot = None
    with tabs[0]:
        bot = ready(t, "knowledge")
        if bot is not None:
            _test(t, bot)
    for tab, show in ((tabs[1], _documents), (tabs[2], _upload)):
        with tab:
            if bot is None:
                st.caption(t("common.loading"))
            else:
                show(t, bot)


def _test(t: Texts, bot: Any) -> None:
    with st.form("test-form", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        question = st.text_input(
            t("support.knowledge.question"), key="test-question", placeholder=t("support.desk.example_1")
        )
        asked = st.form_submit_button(t("support.knowledge.ask"), type="primary", icon=":material/search:")
    reader = st.segmented_control(
        t("support.knowledge.as"),
        ("customer", "agent"),
        default="customer",
        required=True,
        format_func=lambda value: t(f"support.knowledge.as_{value}"),
        key="test-as",
    )
    if asked and not question.strip():
        st.warning(t("support.desk.blank"))
    if not question.strip():
        shared.empty("quiz", t("support.knowledge.test_empty"), t("support.knowledge.test_empty_help"))
        return
    groups = shared.GROUPS if reader == "agent" else ("public",)
    try:
        reply = bot.reply(question, (), groups)
        found = bot.retrieval.search(question, groups, 5)
    except InputError as error:
        st.error(t("common.failed", why=shared.plain(error)))
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(
            f"**{t('support.knowledge.reply')}** &nbsp; "
            + shared.badge(t(f"support.kind.{reply.kind}"), shared.KINDS[reply.kind])
            + (f" {shared.badge(shared.intent_name(reply.intent), 'gray')}" if reply.intent else "")
        )
        shared.meter(t, reply.confidence)
        st.html(f'<div class="hw-answer">{shared.html(reply.answer)}</div>')
        for number, choice in enumerate(reply.choices, 1):
            st.markdown(f"{number}. {shared.plain(choice)}")
        if reply.citations:
            sources.citations(t, bot, [citation.to_dict() for citation in reply.citations], "test")
    with right:
        st.markdown(f"**{t('support.knowledge.found')}**")
        for one in found:
            head = f"{shared.plain(one.document.title)} · {one.hit.score:.2f}"
            with st.expander(head, icon=":material/description:"):
                st.html(f'<div class="hw-doc">{shared.html(one.text)}</div>')


def _documents(t: Texts, bot: Any) -> None:
    every = sorted(bot.retrieval.knowledge.documents(), key=lambda one: one.title.casefold())
    wanted = st.text_input(
        t("support.knowledge.filter"),
        key="documents-filter",
        icon=":material/search:",
        label_visibility="collapsed",
        placeholder=t("support.knowledge.filter"),
    ).casefold()
    kept = [one for one in every if wanted in f"{one.title} {one.id} {one.text}".casefold()]
    st.caption(t("support.knowledge.count", n=len(kept), all=len(every)))
    if not kept:
        shared.empty("search_off", t("support.knowledge.none"), t("support.knowledge.none_help"))
        return
    left, right = st.columns([3, 4], gap="large")
    with left:
        rows = [
            {
                t("support.knowledge.col_title"): one.title,
                t("support.knowledge.col_groups"): ", ".join(one.groups),
                t("support.knowledge.col_language"): one.language,
                t("support.knowledge.col_updated"): one.updated or "",
            }
            for one in kept[:_SHOWN]
        ]
        chosen = st.dataframe(
            rows, height=460, hide_index=True, on_select="rerun", selection_mode="single-row", key="documents-table"
        )
    picked = chosen.selection.rows[0] if chosen.selection.rows else 0
    document = kept[min(picked, len(kept) - 1)]
    with right, st.container(height=510, border=True):
        st.markdown(f"#### {shared.plain(document.title)}")
        st.markdown(" ".join(shared.badge(group, "gray") for group in document.groups) + f" `{document.id}`")
        st.html(f'<div class="hw-doc">{shared.html(document.text)}</div>')


def _upload(t: Texts, bot: Any) -> None:
    from verticals.support.knowledge.reading import FILE_BYTES, READERS

    files = st.file_uploader(
        t("support.knowledge.files"),
        type=[suffix.lstrip(".") for suffix in READERS],
        accept_multiple_files=True,
        max_upload_size=max(1, FILE_BYTES // 1024**2),
        key=f"upload-{st.session_state.get('upload-round', 0)}",
    )
    groups = st.multiselect(
        t("support.knowledge.groups"),
        ["public", "agents"],
        default=["public"],
        accept_new_options=True,
        help=t("support.knowledge.groups_help"),
        key="upload-groups",
    )
    ready_to_go = bool(files) and bool(groups)
    if st.button(
        t("support.knowledge.ingest"), type="primary", icon=":material/upload:", disabled=not ready_to_go, key="ingest"
    ):
        _ingest(t, bot, files or [], groups)
    report = st.session_state.get("upload-report")
    if report:
        _report(t, report)
    elif not files:
        st.caption(t("support.knowledge.upload_help"))


def _ingest(t: Texts, bot: Any, files: list[Any], groups: list[str]) -> None:
    from verticals.support.knowledge.ingest import Blob, ingest_blobs

    blobs = [Blob(f"upload:{file.name}", file.name, file.getvalue) for file in files]
    bar = st.progress(0.0, t("support.knowledge.reading", name=""))

    def progress(done: int, total: int, source: str) -> None:
        name = source.removeprefix("upload:")
        text = t("support.knowledge.reading", name=name) if name else t("support.knowledge.indexing")
        bar.progress(min(0.9, done / max(total, 1)), shared.plain(text))

    try:
        done = ingest_blobs(
            blobs, bot.settings.index, bot.retrieval.encoder, groups, bot.settings.keep_versions, progress
        )
        bot.retrieval.refresh()
    except InputError as error:
        bar.empty()
        st.error(t("common.failed", why=shared.plain(error)))
        return
    bar.progress(1.0)
    st.session_state["upload-report"] = done.to_dict()
    st.session_state["upload-round"] = st.session_state.get("upload-round", 0) + 1
    st.rerun()


def _report(t: Texts, report: dict[str, Any]) -> None:
    counts = {name: len(report[name]) for name in ("added", "changed", "removed")}
    text = t("support.knowledge.done", unchanged=report["unchanged"], version=report["version"], **counts)
    (st.warning if report["failed"] else st.success)(text)
    for failure in report["failed"]:
        source = str(failure["source"]).removeprefix("upload:")
        st.markdown(f":material/block: **{shared.plain(source)}** – {shared.plain(failure['reason'])}")


def _versions(t: Texts) -> None:
    from verticals.support.knowledge.store import versions
    from verticals.support.settings import SupportSettings

    rows = versions(SupportSettings().index)
    if not rows:
        shared.empty("inventory_2", t("support.knowledge.no_versions"), t("support.knowledge.no_versions_help"))
        return
    for row in rows:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"version-{row.number}"):
            served = f" {shared.badge(t('support.knowledge.served'), 'green')}" if row.served else ""
            changes = ", ".join(f"{t('support.knowledge.' + name)} {n}" for name, n in row.changes.items() if n)
            st.markdown(
                f"**{t('support.knowledge.version', n=row.number)}**{served}  \n"
                f":gray[{shared.plain(row.created[:16].replace('T', ' '))} UTC · "
                f"{t('support.knowledge.holds', documents=row.documents, passages=row.passages)}"
                f"{' · ' + shared.plain(changes) if changes else ''}]"
            )
            if not row.served:
                _rollback(t, row.number)
    bot = assistant().bot
    if len(rows) > 1 and bot is not None:
        _diff(t, bot, [row.number for row in rows], next(row.number for row in rows if row.served))


def _rollback(t: Texts, number: int) -> None:
    from verticals.support.knowledge.store import rollback
    from verticals.support.settings import SupportSettings

    if st.button(t("support.knowledge.rollback"), key=f"rollback-{number}", icon=":material/history:"):
        try:
            rollback(SupportSettings().index, number)
        except InputError as error:
            st.error(t("common.failed", why=shared.plain(error)))
            return
        if assistant().bot is not None:
            assistant().bot.retrieval.refresh()
        shared.flash(t("support.knowledge.rolled_back", n=number))
        st.rerun()


def _diff(t: Texts, bot: Any, numbers: list[int], served: int) -> None:
    from verticals.support.knowledge.store import diff_versions
    from verticals.support.saved import saved_questions

    with st.expander(t("support.knowledge.compare"), icon=":material/difference:"):
        others = [number for number in numbers if number != served]
        old = st.selectbox(t("support.knowledge.compare_with"), others, key="diff-old")
        if not st.button(t("support.knowledge.compare"), key="diff"):
            st.caption(t("support.knowledge.compare_help"))
            return
        try:
            with st.spinner(t("common.loading")):
                found = diff_versions(bot.settings.index, bot.retrieval.encoder, saved_questions(), old, served)
        except InputError as error:
            st.error(t("common.failed", why=shared.plain(error)))
            return
        moved = [one for one in found if one.gained or one.lost or one.moved]
        st.caption(t("support.knowledge.compared", n=len(moved), all=len(found)))
        if moved:
            rows = [
                {
                    t("support.knowledge.question"): one.query,
                    "+": ", ".join(one.gained),
                    "−": ", ".join(one.lost),
                    t("support.knowledge.overlap"): f"{one.overlap:.0%}",
                }
                for one in moved
            ]
            st.dataframe(rows, hide_index=True)
