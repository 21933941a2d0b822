"""Who passes: keys, roles, loopback, and names that only pretend to be it."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError
from starlette.requests import HTTPConnection

from core.api.access import Access, Caller, is_local, is_loopback, require
from core.api.keys import Keys
from core.vertical import Vertical


def _routes() -> APIRouter:
    router = APIRouter(prefix="/v1/desk")

    @router.get("/agents")
    def agents(caller: Annotated[Caller, Depends(require("agent"))]) -> dict[str, str]:
        return {"name": caller.name, "role": caller.role}

    @router.get("/either")
    def either(caller: Annotated[Caller, Depends(require("agent", "analyst"))]) -> dict[str, str]:
        return {"name": caller.name, "role": caller.role}

    @router.get("/forgotten")
    def forgotten() -> dict[str, str]:
        return {}

    return router


DESK = Vertical("desk", "a test", routes=_routes)


def _with(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_without_keys_the_local_caller_passes(make_client: Callable[..., TestClient]) -> None:
    client = make_client(DESK)
    assert client.get("/v1/desk/agents").json() == {"name": "local", "role": "admin"}


def test_with_a_key_made_everybody_needs_one(make_client: Callable[..., TestClient], keys: Keys) -> None:
    _, key = keys.create("ana", "agent")
    client = make_client(DESK)
    for headers in ({}, _with("hw_no"), _with(key[:-1]), {"Authorization": key}, {"Authorization": f"Basic {key}"}):
        for path in ("/v1/desk/agents", "/v1/desk/forgotten", "/v1/models", "/v1/no/such/path", "/metrics"):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 401, (path, headers)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/desk/agents", headers=_with(key)).json() == {"name": "ana", "role": "agent"}
    assert client.get("/v1/desk/agents", headers={"Authorization": f"bearer  {key}"}).status_code == 200


def test_roles(make_client: Callable[..., TestClient], keys: Keys) -> None:
    made = {role: keys.create(role, role)[1] for role in ("agent", "analyst", "product", "admin")}
    client = make_client(DESK)
    passes = {
        path: [role for role, key in made.items() if client.get(path, headers=_with(key)).status_code == 200]
        for path in ("/v1/desk/agents", "/v1/desk/either", "/v1/desk/forgotten")
    }
    assert passes == {
        "/v1/desk/agents": ["agent", "admin"],
        "/v1/desk/either": ["agent", "analyst", "admin"],
        "/v1/desk/forgotten": ["agent", "analyst", "product", "admin"],
    }
    refused = client.get("/v1/desk/agents", headers=_with(made["product"]))
    assert refused.status_code == 403
    assert refused.json()["detail"] == "This needs the role agent or admin; yours is product."


def test_a_role_there_is_not() -> None:
    with pytest.raises(ValueError, match="agnet"):
        require("agnet")


def test_a_router_alone_finds_the_configured_database(keys: Keys) -> None:
    app = FastAPI()
    app.include_router(_routes())
    client = TestClient(app)
    assert client.get("/v1/desk/agents").status_code == 200
    _, key = keys.create("ana", "agent")
    app.state.access = Access(keys)
    assert client.get("/v1/desk/agents").status_code == 401
    assert client.get("/v1/desk/agents", headers=_with(key)).status_code == 200


def _connection(server: Any, host: str = "", authorization: str = "") -> HTTPConnection:
    headers = [(b"host", host.encode())] if host else []
    if authorization:
        headers.append((b"authorization", authorization.encode()))
    return HTTPConnection({"type": "http", "server": server, "headers": headers})


@pytest.mark.parametrize(
    ("server", "host", "local"),
    [
        (("127.0.0.1", 8000), "127.0.0.1:8000", True),
        (("127.0.0.1", 8000), "localhost:8000", True),
        (("127.0.0.1", 8000), "localhost", True),
        (("::1", 8000), "[::1]:8000", True),
        (("127.0.0.1", 8000), "", True),
        (("127.0.0.1", 8000), "evil.example:8000", False),  # a name that was made to point here
        (("127.0.0.1", 8000), "localhost.evil.example", False),
        (("192.168.1.7", 8000), "localhost:8000", False),
        (("192.168.1.7", 8000), "192.168.1.7:8000", False),
        (("::ffff:192.168.1.7", 8000), "localhost", False),
        (("0.0.0.0", 8000), "localhost", False),
        (("testserver", 80), "testserver", True),
        (("/run/api.sock", None), "anything", True),
        (None, "anything", True),
    ],
)
def test_what_is_local(server: Any, host: str, local: bool) -> None:
    assert is_local(_connection(server, host)) is local


def test_loopback_names() -> None:
    assert all(
        map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST.", "::ffff:127.0.0.1"])
    )
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "example.com", "", "localhost.example.com"]))


@pytest.mark.anyio
async def test_another_address_needs_a_key_always(keys: Keys) -> None:
    access = Access(keys)
    assert await access.identify(_connection(("127.0.0.1", 80), "127.0.0.1")) == Caller("local", "admin")
    assert await access.identify(_connection(("192.168.1.7", 80), "192.168.1.7")) is None


@pytest.mark.anyio
async def test_a_revoked_key_lives_two_seconds_at_most(keys: Keys) -> None:
    now = 0.0
    access = Access(keys, clock=lambda: now)
    _, key = keys.create("ana", "agent")
    caller = _connection(("127.0.0.1", 80), "127.0.0.1", f"Bearer {key}")
    assert await access.identify(caller) == Caller("ana", "agent")
    keys.revoke("ana")
    now = 2.1
    assert await access.identify(caller) is None
    # The last key is gone, and the door stays shut.
    assert await access.identify(_connection(("127.0.0.1", 80), "127.0.0.1")) is None


def test_no_database_is_not_an_open_door(make_client: Callable[..., TestClient], monkeypatch: Any) -> None:
    client = make_client(DESK)

    def gone(self: Keys) -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(Keys, "in_force", gone)
    answer = client.get("/v1/desk/agents")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
