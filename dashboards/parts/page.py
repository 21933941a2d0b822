"""The frame of every dashboard: page settings, language, and the pages as a menu."""

from collections.abc import Callable, Mapping

import streamlit as st

from dashboards.parts import sign_in
from dashboards.parts.language import LANGUAGES, Texts, load

_STYLE = """
<style>
.block-container { padding-top: 2.6rem; max-width: 96rem; }
[data-testid="stMetricValue"] { font-size: 1.5rem; }
</style>
"""


def run(name: str, icon: str, pages: Mapping[str, Callable[[Texts], None]], role: str | None = None) -> None:
    """Show a dashboard. ``pages``: the key of each page's title and what draws it; the first is the start page.

    ``role``: whom it is for where sign-in is compulsory; anybody with an account unless given.
    Titles are the texts ``NAME.pages.KEY`` of ``strings/NAME.toml``; ``NAME.title`` is the dashboard's own. The Studio
    comes last in each.
    """
    language = _language()
    texts = Texts(language, load("common", name))
    st.set_page_config(page_title=texts(f"{name}.title"), page_icon=icon, layout="wide")
    st.html(_STYLE)

    def page(key: str, draw: Callable[[Texts], None]) -> "st.Page":
        title = texts("common.studio.title" if draw is _studio else f"{name}.pages.{key}")
        return st.Page(lambda: draw(texts) if let_in else sign_in.draw(texts, name, role), title=title, url_path=key)

    let_in = sign_in.let_in(texts, name, role)
    chosen = st.navigation(
        [page(key, draw) for key, draw in {**pages, "studio": _studio}.items()],
        position="sidebar" if let_in else "hidden",
    )
    with st.sidebar:
        st.caption(texts(f"{name}.title"))
        st.selectbox(
            texts("common.language"),
            list(LANGUAGES),
            index=list(LANGUAGES).index(language),
            format_func=LANGUAGES.__getitem__,
            key="language",
        )
        sign_in.sidebar(texts)
    with sign_in.acting():
        chosen.run()


def _studio(t: Texts) -> None:
    from dashboards.parts import studio  # only when it is looked at

    studio.draw(t)


def _language() -> str:
    """The viewer's choice, else the address's ``?lang=``, else what the browser prefers."""
    if "language" in st.session_state:
        return str(st.session_state["language"])
    asked = st.query_params.get("lang", "")
    preferred = (getattr(st.context, "locale", None) or "en")[:2]
    return asked if asked in LANGUAGES else preferred if preferred in LANGUAGES else "en"
