"""Signing in through an identity provider: a small one of this test's own, and Streamlit's real login against it."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from core.access.audit import entries
from core.access.users import Users
from core.settings import get_settings
from tests.dashboards.looking import sign_in_page

pytestmark = pytest.mark.browser
PATIENCE = 60_000
CLIENT = "headwater-desk"


class Provider:
    """OpenID Connect's authorization code flow for one person at a time; ``claims`` are put into the next ID token."""

    def __init__(self) -> None:
        from joserfc.jwk import RSAKey

        self.claims: dict[str, Any] = {}
        self._key = RSAKey.generate_key(2048, parameters={"kid": "k1"})
        self._nonces: dict[str, str] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
                if place == "/authorize":
                    code = f"c{len(provider._nonces)}"
                    provider._nonces[code] = query["nonce"][0]
                    back = urlencode({"code": code, "state": query["state"][0]})
                    self.send_response(302)
                    self.send_header("location", f"{query['redirect_uri'][0]}?{back}")
                    self.end_headers()
                    return
                self._tell(provider.documents()[place])

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                self._tell(provider.token(form["code"][0]))

            def _tell(self, document: Any) -> None:
                body = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def documents(self) -> dict[str, Any]:
        keys = {"keys": [{**self._key.as_dict(private=False), "use": "sig", "alg": "RS256"}]}
        configuration = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return {"/.well-known/openid-configuration": configuration, "/keys": keys}

    def token(self, code: str) -> dict[str, Any]:
        from joserfc import jwt

        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "u1", "iat": now, "exp": now + 600, **self.claims}
        signed = jwt.encode({"alg": "RS256", "kid": "k1"}, {**claims, "nonce": self._nonces.pop(code)}, self._key)
        return {"access_token": "opaque", "token_type": "Bearer", "expires_in": 600, "id_token": signed}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    pytest.importorskip("authlib", reason="pip install 'headwater[oidc]' to run it")
    made = Provider()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The var folder, with accounts for whom the provider knows."""
    var = tmp_path_factory.mktemp("provider-var")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADWATER_VAR", str(var))
        users = Users.open(get_settings())
        users.add("mei@example.com", ["agent"], None)
        users.add("ana@example.com", ["analyst"], None)
        users.engine.dispose()
        yield var


@pytest.fixture(scope="module")
def address(
    provider: Provider,
    place: Path,
    simple_dashboard: str,
    tmp_path_factory: pytest.TempPathFactory,
    serve_script: Callable[..., str],
) -> str:
    """A dashboard on all networks with [auth] in its secrets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("home")
    secrets = home / ".streamlit" / "secrets.toml"
    secrets.parent.mkdir()
    secrets.write_text(
        f"""
[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "{"c" * 40}"
client_id = "{CLIENT}"
client_secret = "{"s" * 40}"
server_metadata_url = "{provider.issuer}/.well-known/openid-configuration"
"""
    )
    return serve_script(simple_dashboard, place, "0.0.0.0", port, HOME=str(home))


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    made = sign_in_page(browser, PATIENCE)
    yield made
    made.context.close()


def enter(page: Any, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Sign in with your organisation").click()


def test_in_and_out(page: Any, address: str, provider: Provider, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page.goto(address)
    page.get_by_role("button", name="Sign in with your organisation").wait_for()
    assert page.get_by_text("Inside").count() == 0 and page.get_by_label("Password").count() == 0
    provider.claims = {"email": "Mei@example.com", "email_verified": True}
    enter(page, address)
    page.get_by_text("acting as mei@example.com").wait_for()
    page.reload()
    page.get_by_text("acting as mei@example.com").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in with your organisation").wait_for()
    monkeypatch.setenv("HEADWATER_VAR", str(place))
    acts = [entry.action for entry in entries(Users.open(get_settings()).engine, actor="mei@example.com")]
    assert acts.count("sign-in") == 1, "a reload is not another sign-in"


def test_those_who_may_not(page: Any, address: str, provider: Provider) -> None:
    provider.claims = {"email": "eve@example.com", "email_verified": True}
    enter(page, address)
    page.get_by_text("eve@example.com has no account here").wait_for()
    provider.claims = {"email": "mei@example.com", "email_verified": False}
    page.get_by_role("button", name="Sign in again").click()
    page.get_by_role("button", name="Sign in with your organisation").click()
    page.get_by_text("did not verify your e-mail address").wait_for()
    provider.claims = {"email": "ana@example.com", "email_verified": True}
    page.get_by_role("button", name="Sign in again").click()
    page.get_by_role("button", name="Sign in with your organisation").click()
    page.get_by_text("ana@example.com may not use this dashboard; it needs the role agent.").wait_for()
    assert page.get_by_text("Inside").count() == 0


def test_a_sign_in_of_yesterday_has_ended(page: Any, address: str, provider: Provider) -> None:
    now = int(time.time())
    provider.claims = {"email": "mei@example.com", "email_verified": True, "iat": now - 9 * 3600, "exp": now + 600}
    enter(page, address)
    page.get_by_text("Your session has ended.").wait_for()
    assert page.get_by_text("Inside").count() == 0
