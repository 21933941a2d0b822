"""Signing in to a dashboard: compulsory wherever others can reach it, not asked for on this machine alone.

With ``[auth]`` in Streamlit's secrets the identity provider does it (OpenID Connect, ``st.login``), and an account of
the same name as the verified e-mail address says what its owner may do. Otherwise people have local accounts
(``headwater users add``). The browser keeps a session's token in a cookie; the database knows its hash.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import streamlit as st

from core.access.audit import acting_as
from core.access.config import AccessSettings
from core.access.loopback import host_of, is_forwarded, is_loopback
from core.access.sessions import Refused, Session, Sessions
from core.access.tables import metadata
from core.errors import InputError, MissingExtra
from core.operations.database import open_database
from core.settings import get_settings
from dashboards.parts.language import Texts

COOKIE = "headwater_session"
_TOKEN = "sign_in.token"


@dataclass(frozen=True)
class Claims:
    """What the identity provider says of somebody: the account's name, which sign-in it was, and when."""

    name: str
    proof: str
    since: datetime


def compulsory() -> bool:
    """Whether somebody must sign in: the server can be reached from elsewhere, by a foreign name or through a proxy."""
    if AccessSettings().sign_in == "always":
        return True
    address = st.get_option("server.address")
    headers = st.context.headers
    host = host_of(headers.get("Host") or "localhost")
    return address is None or not is_loopback(address) or not is_loopback(host) or is_forwarded(headers)


def let_in(t: Texts, dashboard: str, role: str | None) -> bool:
    """Whether the viewer may see the dashboard. Also keeps the browser's cookie as the session is."""
    if not compulsory():
        return True
    found = _session(dashboard)
    _keep_cookie(found)
    return found is not None and _may(found, role)


def draw(t: Texts, dashboard: str, role: str | None) -> None:
    """Instead of a page: the form, the provider's button, or that this account may not see it."""
    _, middle, _ = st.columns([1, 2, 1])
    with middle:
        st.header(t(f"{dashboard}.title"), anchor=False)
        found = _session(dashboard)
        if found is not None:
            st.error(t("common.sign_in.not_yours", name=found.user.name, role=role or ""), icon=":material/block:")
        elif oidc():
            _provider(t)
        else:
            _form(t, dashboard)


def sidebar(t: Texts) -> None:
    """Who is signed in, and the way out; nothing where nobody must sign in."""
    if not compulsory():
        return
    found = _session("")
    if found is None:
        return
    st.caption(t("common.sign_in.as", name=found.user.name, roles=", ".join(found.user.roles)))
    if st.button(t("common.sign_in.out"), icon=":material/logout:", type="tertiary", key="sign-out"):
        _sign_out()

    # A page that only refreshes itself does not come by here again.
    @st.fragment(run_every=AccessSettings().look_s)
    def watch() -> None:
        if _session("") is None:
            st.rerun()

    watch()


def actor() -> str | None:
    """The signed-in name, to be recorded with what somebody does; None where nobody must sign in.

    When the session has ended meanwhile, the page begins anew, with the form; a callback cannot do that, and gets an
    InputError.
    """
    if not compulsory():
        return None
    found = _session("")
    if found is None:
        st.rerun()
        raise InputError("your session has ended; sign in again.")
    return found.user.name


def may(role: str) -> bool:
    """Whether the viewer has the role; everybody has where nobody must sign in."""
    found = _session("") if compulsory() else None
    return not compulsory() or (found is not None and _may(found, role))


def acting() -> AbstractContextManager[None]:
    """Within, what the audit log is told was done by the viewer, or by the machine's user where nobody signs in."""
    found = _session("") if compulsory() else None
    return nullcontext() if found is None else acting_as(found.user.name, found.user.role)


def oidc() -> bool:
    """Whether an identity provider is configured."""
    return bool(st.secrets.load_if_toml_exists() and "auth" in st.secrets)


def claims(user: Any) -> Claims | None:
    """What counts of an ID token (OpenID Connect Core 1.0, 2): a verified address, issuer, subject and time."""
    if not user.get("is_logged_in") or user.get("email_verified") is not True:
        return None
    email, subject, issued = user.get("email"), user.get("sub"), user.get("iat")
    if not email or not subject or not isinstance(issued, int | float):
        return None
    proof = f"{user.get('iss', '')}\0{subject}\0{issued}"
    return Claims(str(email).lower(), proof, datetime.fromtimestamp(issued, UTC))


@st.cache_resource(show_spinner=False)
def _sessions(database: str) -> Sessions:
    return Sessions(open_database(metadata))


def _open() -> Sessions:
    return _sessions(get_settings().database)


def _may(found: Session, role: str | None) -> bool:
    return role is None or found.user.may(role)


def _session(dashboard: str) -> Session | None:
    if oidc():
        told = claims(st.user)
        where = f"dashboard {dashboard}" if dashboard else "dashboard"
        return None if told is None else _open().admit(told.name, told.proof, told.since, where)
    return _open().find(_token())


def _token() -> str | None:
    token = st.session_state.get(_TOKEN) or st.context.cookies.get(COOKIE)
    return None if token is None else str(token)


def _form(t: Texts, dashboard: str) -> None:
    with st.form("sign-in"):
        name = st.text_input(t("common.sign_in.name"), max_chars=64, autocomplete="username")
        password = st.text_input(
            t("common.sign_in.password"), type="password", max_chars=256, autocomplete="current-password"
        )
        asked = st.form_submit_button(t("common.sign_in.in"), type="primary", width="stretch")
    if not asked:
        st.caption(t("common.sign_in.help"))
        return
    try:
        address = st.context.ip_address or ""
        _, token = _open().sign_in((name or "").strip(), password or "", address, f"dashboard {dashboard}")
    except Refused as refused:
        if refused.wait_s:
            st.error(t("common.sign_in.wait", minutes=int(refused.wait_s // 60) + 1), icon=":material/hourglass:")
        else:
            st.error(t("common.sign_in.wrong"), icon=":material/error:")
        return
    st.session_state[_TOKEN] = token
    st.rerun()


def _provider(t: Texts) -> None:
    told = claims(st.user)
    if st.user.get("is_logged_in"):
        known = None if told is None else _open().users.find(told.name)
        key = "unverified" if told is None else "unknown" if known is None or known.disabled else "ended"
        st.error(t(f"common.sign_in.{key}", name=told.name if told else ""), icon=":material/block:")
        if st.button(t("common.sign_in.again"), type="primary", width="stretch"):
            st.logout()
        return
    if st.button(t("common.sign_in.provider"), type="primary", icon=":material/login:", width="stretch"):
        if find_spec("authlib") is None:  # st.login needs it, and would show a traceback
            missing = MissingExtra("signing in through an identity provider", "pip install 'headwater[oidc]'")
            st.error(t("common.failed", why=missing), icon=":material/error:")
            return
        st.login()


def _sign_out() -> None:
    if oidc():
        st.logout()
        return
    _open().sign_out(_token())
    st.session_state.pop(_TOKEN, None)
    st.rerun()


def _keep_cookie(found: Session | None) -> None:
    """Let the browser remember the session over a reload, or forget one that has ended.

    Only a script can set a cookie from here, so it is not HttpOnly; SameSite and the short life bound what that costs.
    """
    if oidc():
        return
    kept, token = st.context.cookies.get(COOKIE), _token()
    if found is not None and token != kept:
        left = max(0, int((found.expires - datetime.now(UTC)).total_seconds()))
        _run_script(f"{COOKIE}={token}; max-age={left}")
    elif found is None and kept is not None:
        _run_script(f"{COOKIE}=; max-age=0")


def _run_script(cookie: str) -> None:
    # The token's alphabet was checked when it was found; nothing else of the viewer's is in the script.
    st.html(
        f"<script>document.cookie = '{cookie}; path=/; samesite=strict' + "
        "(location.protocol === 'https:' ? '; secure' : '');</script>",
        unsafe_allow_javascript=True,
    )
