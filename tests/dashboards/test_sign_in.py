"""Signing in to a dashboard in Chromium: the form, a reload, a foreign role, a session that ends; and who is asked."""

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.access.audit import entries
from core.access.users import Users
from core.errors import InputError
from core.settings import get_settings
from dashboards.parts import sign_in
from dashboards.parts.sign_in import claims
from tests.dashboards.looking import picture, sign_in_page

PATIENCE = 60_000
GOOD = "Kelp-forest 42 lantern"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The var folder of the dashboards of this file, with two accounts."""
    var = tmp_path_factory.mktemp("sign-in")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADWATER_VAR", str(var))
        users = Users.open(get_settings())
        users.add("mei", ["agent"], GOOD)
        users.add("ana", ["analyst"], GOOD)
        users.engine.dispose()
    yield var
    shutil.rmtree(var, ignore_errors=True)


@pytest.fixture(scope="module")
def address(place: Path, simple_dashboard: str, serve_script: Callable[..., str]) -> str:
    """A small dashboard on all networks, without asking for it: sign-in is compulsory there."""
    return serve_script(simple_dashboard, place, "0.0.0.0", HEADWATER_ACCESS_LOOK_S="1")


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    made = sign_in_page(browser, PATIENCE)
    yield made
    made.context.close()


def enter(page: Any, address: str, name: str, password: str) -> None:
    page.goto(address)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.browser
def test_in_again_after_a_reload_and_out(page: Any, address: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page.goto(address)
    page.get_by_role("button", name="Sign in").wait_for()
    page.get_by_label("Name").wait_for()
    assert page.get_by_text("Inside").count() == 0
    picture(page, "sign-in-form", whole=True)
    enter(page, address, "mei", "wrong")
    page.get_by_text("The name or the password is wrong.").wait_for()
    picture(page, "sign-in-wrong", whole=True)
    enter(page, address, "mei", GOOD)
    page.get_by_text("acting as mei").wait_for()
    page.get_by_text("Signed in as mei (agent)").wait_for()
    picture(page, "sign-in-inside", whole=True)
    page.wait_for_function("document.cookie.includes('headwater_session=hs_')")
    page.reload()
    page.get_by_text("acting as mei").wait_for()
    page.get_by_role("button", name="Change").click()
    page.get_by_text("changed").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").wait_for()
    page.wait_for_function("!document.cookie.includes('headwater_session')")
    page.reload()
    page.get_by_role("button", name="Sign in").wait_for()
    assert page.get_by_text("Inside").count() == 0
    monkeypatch.setenv("HEADWATER_VAR", str(place))
    acts = [entry.action for entry in reversed(entries(Users.open(get_settings()).engine)) if entry.actor == "mei"]
    assert acts == ["sign-in-failed", "sign-in", "rules-save", "sign-out"]


@pytest.mark.browser
def test_another_role_stays_outside(page: Any, address: str) -> None:
    enter(page, address, "ana", GOOD)
    page.get_by_text("ana may not use this dashboard; it needs the role agent.").wait_for()
    assert page.get_by_text("Inside").count() == 0
    picture(page, "sign-in-role", whole=True)
    page.get_by_role("button", name="Sign out").wait_for()


@pytest.mark.browser
def test_a_session_that_ends_closes_the_page(
    page: Any, address: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(page, address, "mei", GOOD)
    page.get_by_text("acting as mei").wait_for()
    monkeypatch.setenv("HEADWATER_VAR", str(place))
    Users.open(get_settings()).disable("mei")
    page.get_by_role("button", name="Sign in").wait_for()  # without anybody doing anything
    assert page.get_by_text("Inside").count() == 0
    Users.open(get_settings()).disable("mei", disabled=False)


@pytest.mark.browser
def test_the_form_in_chinese(page: Any, address: str) -> None:
    page.goto(f"{address}/?lang=zh")
    page.get_by_role("button", name="登录").wait_for()
    page.get_by_label("密码", exact=True).wait_for()
    picture(page, "sign-in-zh", whole=True)


@pytest.mark.browser
def test_a_cookie_that_somebody_made_up(page: Any, address: str) -> None:
    page.context.add_cookies([{"name": sign_in.COOKIE, "value": "hs_" + "A" * 43, "url": address}])
    page.goto(address)
    page.get_by_role("button", name="Sign in").wait_for()
    assert page.get_by_text("Inside").count() == 0


@pytest.mark.parametrize(
    ("served", "called", "asked"),
    [
        ("127.0.0.1", "127.0.0.1:8501", False),
        ("::1", "[::1]:8501", False),
        ("127.0.0.1", "localhost:8501", False),
        ("localhost", "localhost", False),
        ("0.0.0.0", "127.0.0.1:8501", True),
        (None, "localhost:8501", True),  # Streamlit without an address listens everywhere
        ("192.0.2.4", "192.0.2.4:8501", True),
        ("127.0.0.1", "desk.example.com", True),  # a proxy in front, or a name that was made to point here
        ("127.0.0.1", "127.0.0.1.example.com", True),
    ],
)
def test_who_is_asked(served: str | None, called: str, asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Context:
        headers = {"Host": called}

    monkeypatch.setattr(sign_in.st, "get_option", lambda name: served)
    monkeypatch.setattr(sign_in.st, "context", Context)
    assert sign_in.compulsory() is asked
    Context.headers = {"Host": called, "X-Forwarded-For": "203.0.113.7"}
    assert sign_in.compulsory() is True, "a proxy on this machine is not the viewer"
    Context.headers = {"Host": called}
    monkeypatch.setenv("HEADWATER_ACCESS_SIGN_IN", "always")
    assert sign_in.compulsory() is True


def test_corrections_are_recorded_under_the_signed_in_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboards.finance_pages import shared as finance
    from dashboards.parts.language import Texts
    from dashboards.support_pages import shared as support

    monkeypatch.setattr(sign_in, "actor", lambda: "mei")
    assert support.actor() == "mei" and finance.actor(Texts("en", {})) == "mei"
    monkeypatch.setattr(sign_in, "actor", lambda: None)
    assert support.actor() == finance.actor(Texts("en", {})) != "mei"


def test_after_the_session_nothing_is_done_in_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Context:
        headers = {"Host": "desk.example.com"}
        cookies = {sign_in.COOKIE: "hs_" + "A" * 43}

    monkeypatch.setattr(sign_in.st, "context", Context)
    with pytest.raises(InputError, match="your session has ended"):
        sign_in.actor()


TOKEN = {
    "is_logged_in": True,
    "iss": "https://id.example.com",
    "sub": "248289761001",
    "email": "Mei@Example.com",
    "email_verified": True,
    "iat": 1_780_000_000,
}


def test_claims_of_an_identity_provider() -> None:
    told = claims(TOKEN)
    assert told is not None and told.name == "mei@example.com"
    assert told.since == datetime.fromtimestamp(1_780_000_000, UTC)
    again = claims({**TOKEN, "iat": 1_780_000_001})
    assert again is not None and again.proof != told.proof
    for name in ("sub", "email", "iat", "email_verified", "is_logged_in"):
        assert claims({key: value for key, value in TOKEN.items() if key != name}) is None
    for change in ({"email_verified": "true"}, {"email_verified": False}, {"email": ""}, {"iat": "now"}):
        assert claims({**TOKEN, **change}) is None


def test_both_languages_have_every_text() -> None:
    from dashboards.parts.language import load

    source = Path(sign_in.__file__).read_text(encoding="utf-8")
    used = set(re.findall(r'"common\.sign_in\.(\w+)"', source)) | {"unverified", "unknown", "ended"}
    known = {key.removeprefix("common.sign_in.") for key in load("common") if key.startswith("common.sign_in.")}
    assert used == known
