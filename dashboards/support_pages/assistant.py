"""The bot, opened once in the background: no page waits for it before it shows something."""

import threading
import time
from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboards.parts.language import Texts
from dashboards.support_pages import shared

POLL_S = 1.5
_WAIT_S = 900.0


class Assistant:
    """``bot`` is None while it is being opened; ``error`` says why it could not be."""

    def __init__(self, make: Callable[[], Any]) -> None:
        """Begin at once."""
        self.bot: Any = None
        self.error = ""
        self.started = time.monotonic()
        self._make = make
        self._thread = threading.Thread(target=self._open, name="support-assistant", daemon=True)
        self._thread.start()

    def _open(self) -> None:
        try:
            bot = self._make()
            bot.encode("warm up")  # the first run of a network is slow; nobody should wait for it twice
            self.bot = bot
        except Exception as error:
            self.error = str(error) or type(error).__name__

    def wait(self) -> Any:
        """The bot. Raises RuntimeError when it cannot be opened."""
        self._thread.join(_WAIT_S)
        if self.bot is None:
            raise RuntimeError(self.error or "the assistant is still being loaded")
        return self.bot


def _open_default() -> Any:
    from verticals.support.opening import open_default

    return open_default()


@st.cache_resource(show_spinner=False)
def assistant() -> Assistant:
    """One for all viewers."""
    return Assistant(_open_default)


def ready(t: Texts, where: str) -> Any:
    """The bot, or None with a note in its place that goes away by itself as soon as the bot is there."""
    found = assistant()
    if found.bot is not None:
        return found.bot
    if found.error:
        st.error(t("support.assistant.failed", why=found.error), icon=":material/error:")
        if st.button(t("support.assistant.again"), key=f"{where}-again", icon=":material/refresh:"):
            assistant.clear()
            st.rerun()
        return None
    _loading(t, where)
    return None


@st.fragment(run_every=POLL_S)
def _loading(t: Texts, where: str) -> None:
    found = assistant()
    if found.bot is not None or found.error:
        st.rerun()
    with st.container(border=True, key=f"{where}-loading"):
        st.markdown(f":material/hourglass_top: **{t('support.assistant.loading')}**")
        seconds = int(time.monotonic() - found.started)
        st.caption(t("support.assistant.loading_help") + f" · {shared.plain(seconds)} s")
