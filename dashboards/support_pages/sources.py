"""The sources of an answer, with the sentences it rests on highlighted, and cases like it."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.errors import InputError
from dashboards.parts.language import Texts
from dashboards.support_pages import shared

_AROUND = 220  # characters shown before and after a quote


def citations(t: Texts, bot: Any, rows: Sequence[Any], key: str) -> None:
    """Each document once, its quotes marked in their surroundings; the whole text one click away."""
    if not rows:
        st.caption(t("support.desk.no_sources"))
        return
    documents: dict[str, list[Any]] = {}
    for row in rows:
        documents.setdefault(row["document"], []).append(row)
    for number, (name, quotes) in enumerate(documents.items()):
        title = f"{shared.plain(quotes[0]['title'])} · {max(quote['score'] for quote in quotes):.2f}"
        with st.expander(title, expanded=number == 0, icon=":material/description:"):
            text = _text(bot, name)
            spans = sorted((quote["start"], quote["end"]) for quote in quotes)
            if text is None or not _fits(text, quotes):
                # The document has changed since: what was quoted is still what the answer rests on.
                for quote in quotes:
                    st.html(f'<div class="hw-doc"><mark>{shared.html(quote["quote"])}</mark></div>')
                st.caption(t("support.desk.changed_since"))
                continue
            first, last = max(0, spans[0][0] - _AROUND), min(len(text), spans[-1][1] + _AROUND)
            st.html(_marked(text, spans, first, last))
            about = f"`{name}`"
            if quotes[0].get("url"):
                about += f" · {shared.plain(quotes[0]['url'])}"
            st.caption(about)
            if (first, last) != (0, len(text)):
                whole = st.popover(t("support.desk.whole"), icon=":material/menu_book:", key=f"{key}-{name}")
                with whole, st.container(height=420, border=False):
                    st.html(_marked(text, spans, 0, len(text)))


def _text(bot: Any, name: str) -> str | None:
    try:
        return str(bot.retrieval.knowledge.document(name, shared.GROUPS).text) if bot is not None else None
    except InputError:
        return None


def _fits(text: str, quotes: Sequence[Any]) -> bool:
    return all(text[quote["start"] : quote["end"]] == quote["quote"] for quote in quotes)


def _marked(text: str, spans: Sequence[tuple[int, int]], first: int, last: int) -> str:
    pieces, at = ["…" if first else ""], first
    for start, end in spans:
        if start < at:
            continue
        pieces += [shared.html(text[at:start]), f"<mark>{shared.html(text[start:end])}</mark>"]
        at = end
    pieces += [shared.html(text[at:last]), "…" if last < len(text) else ""]
    return f'<div class="hw-doc">{"".join(pieces)}</div>'


def similar(t: Texts, bot: Any, question: str) -> None:
    """Cases of the logs that were resolved."""
    if bot is None or bot.similar is None:
        return
    found = [case for case in bot.similar.find(bot.encode(question)) if case["similarity"] >= 0.45]
    st.markdown(f"**{t('support.desk.similar')}**")
    if not found:
        st.caption(t("support.desk.no_similar"))
    for case in found:
        head = f"{shared.plain(shared.line(case['question'], 70))} · {case['similarity']:.2f}"
        with st.expander(head, icon=":material/history:"):
            st.html(f'<div class="hw-answer">{shared.html(case["answer"])}</div>')
