"""One article or story: what it says, how it was judged and why, what is like it, and correcting it."""

from datetime import timedelta
from typing import Any

import streamlit as st

from core.errors import InputError
from dashboards.finance_pages import shared
from dashboards.finance_pages.trends import story_table
from dashboards.parts.language import Texts
from verticals.finance import reading, relabelling
from verticals.finance.opening import utc_now

SENTIMENTS = ("negative", "neutral", "positive")


def draw(t: Texts) -> None:
    """The page: what the address asks for, else a search."""
    shared.ask_actor(t)
    shared.title(t, "article")
    asked_story, asked_article = st.query_params.get("story", ""), st.query_params.get("article", "")
    try:
        if asked_article.isdigit():
            return _article(t, reading.article(shared.engine(), int(asked_article)))
        if asked_story.isdigit():
            story = reading.story(shared.engine(), int(asked_story))
            return _article(t, reading.article(shared.engine(), story["members"][0]["id"]), story)
    except (InputError, IndexError):
        st.warning(t("finance.article.gone"))
    _search(t)


def _search(t: Texts) -> None:
    now = utc_now()
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        words = st.text_input(t("finance.article.search"), key="words", icon=":material/search:", width=420)
        days = st.selectbox(
            t("finance.trends.span"), (7, 30, 90, 365), index=1, format_func=lambda n: t("finance.days", n=n), width=160
        )
    rows = reading.stories(shared.engine(), now - timedelta(days=days), now, containing=words.strip(), limit=200)
    story_table(t, rows, "found")
    shared.downloads(t, rows, "stories")


def _article(t: Texts, article: dict[str, Any], story: dict[str, Any] | None = None) -> None:
    if st.button(t("finance.article.back"), icon=":material/arrow_back:", type="tertiary"):
        st.query_params.clear()
        st.rerun()
    labels = article["labels"]
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.header(shared.plain(article["title"]), anchor=False)
        parts = [
            article["source"].removeprefix("sample-"),
            f"{shared.moment(article['time'])} UTC",
            article["language"] or "",
        ]
        st.caption(shared.plain(" · ".join(part for part in parts if part)))
        if article["url"] and article["url"].startswith(("http://", "https://")):
            st.link_button(
                t("finance.article.original"), article["url"], icon=":material/open_in_new:", type="tertiary"
            )
        if labels:
            _why(t, article)
        if article["summary"] and not article["text"].startswith(article["summary"]):
            st.markdown(f"*{shared.plain(article['summary'])}*")
        for paragraph in (article["text"] or "").split("\n"):
            if paragraph.strip():
                st.markdown(shared.plain(paragraph))
        if story is None and article["story"] is not None:
            story = reading.story(shared.engine(), article["story"])
        if story is not None:
            _members(t, story, article["id"])
        _similar(t, article["id"])
    with right:
        if not labels:
            st.info(t("finance.article.unlabelled"), icon=":material/hourglass_empty:")
            return
        _labels(t, labels)
        _relabel(t, article)
        with st.expander(t("finance.article.versions", n=len(article["versions"])), icon=":material/history:"):
            for version in article["versions"]:
                said = shared.sentiment(t, version["sentiment"])
                st.markdown(f"{shared.plain(version['model'])} {said} · {shared.moment(version['made'])}")


def _labels(t: Texts, labels: dict[str, Any]) -> None:
    with st.container(border=True):
        corrected = labels.get("corrected", {})
        said = f"{shared.sentiment(t, labels['sentiment'])} {_by(t, corrected, 'sentiment')}"
        st.markdown(f"**{t('finance.article.sentiment')}** {said}")
        _bar({name: labels[name] for name in SENTIMENTS}, t)
        chance = f" ({labels['topic_probability']:.0%})" if labels["topic_probability"] else ""
        said = f"{shared.plain(labels['topic'] or '–')}{chance} {_by(t, corrected, 'topic')}"
        st.markdown(f"**{t('finance.article.topic')}** {said}")
        st.markdown(f"**{t('finance.article.companies')}**")
        if not labels["companies"]:
            st.caption(t("finance.article.no_companies"))
        for company in labels["companies"]:
            name = company.get("name") or company["code"]
            by = _by(t, corrected, f"company:{company['code']}")
            st.markdown(f"{shared.plain(name)} {shared.sentiment(t, company['sentiment'])} {by}")
            _bar(company["probabilities"], t)


def _by(t: Texts, corrected: dict[str, str], field: str) -> str:
    return (
        f":gray[{t('finance.article.corrected_by', name=shared.plain(corrected[field]))}]" if field in corrected else ""
    )


def _bar(probabilities: dict[str, float], t: Texts) -> None:
    """The three probabilities as one bar."""
    parts = "".join(
        f'<div title="{shared.html(t("finance.sentiment." + name))} {probabilities[name]:.1%}" '
        f'style="width:{probabilities[name] * 100:.2f}%;background:{shared.COLOURS[name]}"></div>'
        for name in SENTIMENTS
    )
    legend = " · ".join(f"{t('finance.sentiment.' + name)} {probabilities[name]:.0%}" for name in SENTIMENTS)
    st.html(
        f'<div style="display:flex;height:.55rem;border-radius:.3rem;overflow:hidden">{parts}</div>'
        f'<div style="font-size:.75rem;opacity:.7;margin-top:.15rem">{shared.html(legend)}</div>'
    )


def _why(t: Texts, article: dict[str, Any]) -> None:
    """The words that decided, marked when asked for: the model is loaded then."""
    key = f"why-{article['id']}"
    if st.button(t("finance.article.why"), key=f"{key}-ask", icon=":material/ink_highlighter:"):
        with st.spinner(t("finance.article.reading")):
            from verticals.finance.highlights import explain

            try:
                st.session_state[key] = [part.to_dict() for part in explain(article["title"])]
            except InputError as error:
                st.error(t("common.failed", why=str(error)))
    if st.session_state.get(key):
        st.html(_marked(article["title"], st.session_state[key]))
        st.caption(t("finance.article.why_help"))


def _marked(text: str, parts: list[dict[str, Any]]) -> str:
    """The text with each word on a ground whose strength is its weight: red for, green against a negative reading."""
    most = max((abs(part["weight"]) for part in parts), default=0.0) or 1.0
    out, place = [], 0
    for part in sorted(parts, key=lambda p: p["start"]):
        if part["start"] < place:
            continue
        strength = abs(part["weight"]) / most
        rgb = "200,85,61" if part["weight"] < 0 else "42,140,130"
        out.append(shared.html(text[place : part["start"]]))
        word = shared.html(text[part["start"] : part["end"]])
        style = f"background:rgba({rgb},{strength * 0.75:.2f});border-radius:.2rem;padding:0 .1rem"
        out.append(f'<mark style="{style}">{word}</mark>')
        place = part["end"]
    out.append(shared.html(text[place:]))
    return f'<div style="font-size:1.15rem;line-height:1.9" data-testid="highlights">{"".join(out)}</div>'


def _members(t: Texts, story: dict[str, Any], current: int) -> None:
    if len(story["members"]) < 2:
        return
    st.subheader(t("finance.article.story", n=len(story["members"])), anchor=False)
    for member in story["members"]:
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.markdown(shared.sentiment(t, member["sentiment"]), width="content")
            if member["id"] == current:
                st.markdown(f"**{shared.plain(member['title'])}**", width="content")
            else:
                shared.stay(member["title"], article=member["id"])
            st.caption(f"{shared.plain(member['source'].removeprefix('sample-'))} · {shared.moment(member['time'])}")


def _similar(t: Texts, article: int) -> None:
    rows = reading.similar(shared.engine(), article, limit=6)
    if not rows:
        return
    st.subheader(t("finance.article.similar"), anchor=False)
    for row in rows:
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.markdown(f"`{row['similarity']:.2f}` {shared.sentiment(t, row['sentiment'])}", width="content")
            shared.stay(row["title"], article=row["id"])
            st.caption(shared.moment(row["time"])[:10])


def _relabel(t: Texts, article: dict[str, Any]) -> None:
    labels, key = article["labels"], article["id"]
    with st.container(border=True):
        st.markdown(f"**{t('finance.article.relabel')}**")
        st.caption(t("finance.article.relabel_help"))
        chosen = st.segmented_control(
            t("finance.article.sentiment"),
            SENTIMENTS,
            default=labels["sentiment"] if labels["sentiment"] in SENTIMENTS else None,
            format_func=lambda value: t(f"finance.sentiment.{value}"),
            key=f"sent-{key}",
        )
        toward = {}
        for company in labels["companies"]:
            toward[company["code"]] = st.segmented_control(
                t("finance.article.toward", name=company.get("name") or company["code"]),
                SENTIMENTS,
                key=f"c-{key}-{company['code']}",
                default=company["sentiment"] if company["sentiment"] in SENTIMENTS else None,
                format_func=lambda value: t(f"finance.sentiment.{value}"),
            )
        now = utc_now()
        known = [name for name, _ in reading.subjects(shared.engine(), "topic", now - timedelta(days=365), now)]
        topics = list(dict.fromkeys([*([labels["topic"]] if labels["topic"] else []), *known]))
        topic = st.selectbox(
            t("finance.article.topic"), topics, index=0 if topics else None, key=f"topic-{key}", accept_new_options=True
        )
        if st.button(t("finance.article.save"), type="primary", key=f"relabel-{key}", icon=":material/check:"):
            _save(t, article, chosen, toward, topic)


def _save(
    t: Texts, article: dict[str, Any], sentiment: str | None, toward: dict[str, str | None], topic: str | None
) -> None:
    labels, who, now = article["labels"], shared.actor(t), utc_now()
    wanted = [("sentiment", sentiment, "", labels["sentiment"]), ("topic", topic, "", labels["topic"])]
    before = {company["code"]: company["sentiment"] for company in labels["companies"]}
    wanted += [("company", value, code, before[code]) for code, value in toward.items()]
    changed = 0
    try:
        for field, value, code, was in wanted:
            if value and value != was:
                changed += relabelling.relabel(shared.engine(), article["id"], field, value, who, now, code)
    except InputError as error:
        st.error(t("common.failed", why=str(error)))
        return
    st.toast(t("finance.article.saved", n=changed), icon=":material/check:")
    if changed:
        st.rerun()
