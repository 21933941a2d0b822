"""Signing in over HTTP: the token is a caller like a key, and nothing typed in comes back or is logged."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from fastapi.testclient import TestClient

from core.access.audit import entries
from core.access.users import Users
from core.api.keys import Keys
from core.api.logs import configure
from core.api.serve import check_bind
from core.errors import InputError
from core.settings import get_settings

GOOD = "Kelp-forest 42 lantern"


@pytest.fixture
def users() -> Users:
    made = Users.open(get_settings())
    made.add("mei", ["analyst", "agent"], GOOD)
    return made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_session_is_a_caller(client: TestClient, users: Users, keys: Keys) -> None:
    keys.create("widget", "agent")  # from now on nobody passes without saying who
    assert client.get("/session").status_code == 401
    made = client.post("/session", json={"name": "mei", "password": GOOD})
    assert made.status_code == 200 and made.headers["cache-control"] == "no-store"
    told = made.json()
    assert (told["name"], told["roles"]) == ("mei", ["agent", "analyst"])
    me = bearer(told["token"])
    assert client.get("/session", headers=me).json() == {"name": "mei", "roles": ["agent", "analyst"]}
    assert client.get("/v1/models", headers=me).status_code == 200
    assert client.delete("/session", headers=me).status_code == 204
    assert client.get("/v1/models", headers=me).status_code == 401
    assert [entry.action for entry in entries(users.engine)][:2] == ["sign-out", "sign-in"]


def test_a_wrong_token_is_nobody_even_on_loopback(client: TestClient, users: Users) -> None:
    assert client.get("/v1/models").status_code == 200
    assert client.get("/v1/models", headers=bearer("hs_" + "A" * 43)).status_code == 401


def test_disabling_an_account_shuts_the_door_at_once(client: TestClient, users: Users) -> None:
    token = client.post("/session", json={"name": "mei", "password": GOOD}).json()["token"]
    users.disable("mei")
    assert client.get("/session", headers=bearer(token)).status_code == 401


def test_guessing_is_slowed_down(client: TestClient, users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        wrong = client.post("/session", json={"name": "mei", "password": "guess"})
        assert wrong.status_code == 401 and wrong.json()["detail"] == "The name or the password is wrong."
    waits = client.post("/session", json={"name": "mei", "password": GOOD})
    assert waits.status_code == 429 and 0 < int(waits.headers["retry-after"]) <= 15 * 60


def test_no_secret_in_answers_or_logs(
    client: TestClient, users: Users, keys: Keys, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    stream = StringIO()
    configure(stream)
    _, key = keys.create("widget", "agent")
    token = client.post("/session", json={"name": "mei", "password": GOOD}).json()["token"]
    said = [
        client.post("/session", json={"name": "mei", "password": GOOD + "!"}),
        client.post("/session", json={"name": GOOD, "password": GOOD}),
        client.post("/session", json={"name": "mei", "password": [GOOD]}),
        client.post("/session", json={"name": "mei", "password": GOOD, "extra": GOOD}),
        client.get("/v1/models", headers=bearer(key)),
        client.get(f"/v1/models?key={key}", headers=bearer(key + "x")),
        client.get("/session", headers=bearer(token)),
    ]
    told = "".join(answer.text for answer in said)
    assert GOOD not in told
    captured = capfd.readouterr()
    logs = (
        stream.getvalue()
        + caplog.text
        + captured.out
        + captured.err
        + json.dumps([e.to_dict() for e in entries(users.engine)])
    )
    assert "/session" in stream.getvalue()
    for secret in (key, key.rpartition("_")[2], token):
        assert secret not in told + logs
    assert GOOD not in logs


def test_an_account_lets_the_api_be_bound_to_other_addresses(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no API key and no account"):
        check_bind("0.0.0.0", keys)
    found: Any = Users.open(get_settings())
    found.add("mei", ["agent"], GOOD)
    check_bind("0.0.0.0", keys)
    found.disable("mei")
    with pytest.raises(InputError):
        check_bind("0.0.0.0", keys)


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_what_came_through_a_proxy_is_not_local(client: TestClient, name: str) -> None:
    assert client.get("/v1/models").status_code == 200
    assert client.get("/v1/models", headers={name: "203.0.113.7"}).status_code == 401


def test_roles_of_an_account(make_client: Callable[..., TestClient], users: Users) -> None:
    from core.api.access import Caller

    both = Caller("mei", "agent", ("agent", "analyst"))
    assert both.may("analyst") and both.may("agent", "product") and not both.may("product") and both.may()
    assert Caller("root", "admin", ("agent", "admin")).may("product")
