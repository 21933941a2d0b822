"""The application around the routes: ids, logs, problems, limits, verticals that fail."""

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import APIRouter, HTTPException, Request
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from core.api import logs
from core.api.app import create_app
from core.api.config import ApiSettings, rate_of
from core.api.events import event, stream
from core.api.texts import _SUSPECT
from core.errors import InputError, MissingExtra
from core.settings import get_settings
from core.vertical import Vertical

MakeClient = Callable[..., TestClient]
SECRET = "my mother's maiden name is Kowalska"


class Note(BaseModel):
    text: str = ""
    number: float = 0
    anything: Any = None


def _routes() -> APIRouter:
    router = APIRouter(prefix="/v1/desk")

    @router.post("/notes")
    def notes(note: Note) -> Note:
        return note

    @router.get("/fails/{what}")
    def fails(what: str) -> None:
        raise {
            "input": InputError("a sentence"),
            "missing": MissingExtra("that", "pip install it"),
            "conflict": HTTPException(409, "not now"),
            "ours": RuntimeError(SECRET),
        }[what]

    @router.get("/stream")
    def streamed(fail: bool = False) -> Any:
        def pieces() -> Iterator[tuple[str, Any]]:
            yield "piece", {"text": "é\n"}
            if fail:
                raise RuntimeError(SECRET)
            yield "end", None

        return stream(pieces())

    @router.post("/upload", max_body_size=5000)
    async def upload(request: Request) -> int:
        return len(await request.body())

    inner = APIRouter(prefix="/inner")
    inner.add_api_route("/{what}", lambda what: what)
    router.include_router(inner)
    return router


DESK = Vertical("desk", "a test", routes=_routes)


@pytest.fixture
def desk(make_client: MakeClient) -> TestClient:
    return make_client(DESK)


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The log lines so far, as objects."""
    stream, names = io.StringIO(), ("headwater.api", "uvicorn", "uvicorn.error")
    before = {n: (logging.getLogger(n).handlers, logging.getLogger(n).propagate) for n in names}
    logs.configure(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    for name, (handlers, propagate) in before.items():
        logging.getLogger(name).handlers, logging.getLogger(name).propagate = handlers, propagate


@pytest.mark.parametrize(
    ("what", "status", "title", "detail"),
    [
        ("input", 422, "Unprocessable Content", "a sentence"),
        ("missing", 503, "Service Unavailable", "that needs a package that is not installed. Run: pip install it"),
        ("conflict", 409, "Conflict", "not now"),
        ("ours", 500, "Internal Server Error", "An error of ours; it is in the log under this request id."),
    ],
)
def test_what_handlers_raise_becomes_a_problem(
    desk: TestClient, what: str, status: int, title: str, detail: str
) -> None:
    answer = desk.get(f"/v1/desk/fails/{what}", headers={"X-Request-ID": "abc-1"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": "abc-1",
    }


def test_paths_and_methods_there_are_not(client: TestClient) -> None:
    unknown, method = client.get("/nothing"), client.delete("/v1/predict")
    assert (unknown.status_code, method.status_code, method.headers["allow"]) == (404, 405, "POST")
    for answer in (unknown, method):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


def test_allow_names_every_method_of_a_path(make_client: MakeClient) -> None:
    def routes() -> APIRouter:
        router, inner = APIRouter(prefix="/v1/many"), APIRouter()
        router.add_api_route("/things/{x}", lambda x: x, methods=["GET"])
        router.add_api_route("/things/{x}", lambda x: x, methods=["DELETE"])
        inner.add_api_route("/things/{x}", lambda x: x, methods=["PUT"])
        router.include_router(inner)
        return router

    answer = make_client(Vertical("many", "", routes=routes)).post("/v1/many/things/a")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, PUT")


def test_request_ids(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "order-66.b_1"}).headers["x-request-id"] == "order-66.b_1"
    made = {
        client.get("/healthz", headers={"X-Request-ID": bad}).headers["x-request-id"] for bad in ("", "a b", "x" * 65)
    }
    assert len(made) == 3 and all(len(number) == 32 for number in made)


def test_one_line_per_request_without_the_callers_words(
    desk: TestClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    desk.post("/v1/desk/notes", json={"text": SECRET}, headers={"X-Request-ID": "one"})
    desk.post(f"/v1/desk/notes?q={SECRET}", json={"number": SECRET, SECRET: 1}, headers={"X-Request-ID": "two"})
    desk.get(f"/v1/desk/fails/{SECRET}", headers={"X-Request-ID": "three"})
    desk.get("/v1/desk/fails/ours", headers={"X-Request-ID": "four"})
    desk.get(f"/{SECRET}", headers={"X-Request-ID": "five"})
    desk.get("/v1/desk/stream?fail=1", headers={"X-Request-ID": "six"})
    found = {line["request_id"]: line for line in lines() if line["event"] == "request"}
    assert [found[n]["status"] for n in ("one", "two", "three", "four", "five", "six")] == [
        200,
        422,
        500,
        500,
        404,
        200,
    ]
    assert found["one"]["route"] == "/v1/desk/notes" and found["one"]["caller"] == "local" and found["one"]["ms"] >= 0
    assert found["three"]["route"] == "/v1/desk/fails/{what}" and found["five"]["route"] == "unmatched"
    assert found["four"]["error"] == "RuntimeError" and any("test_app.py" in place for place in found["four"]["at"])
    assert not any("Kowalska" in json.dumps(line) for line in lines())


def test_a_problem_does_not_repeat_the_callers_text(desk: TestClient) -> None:
    answer = desk.post("/v1/desk/notes", json={"number": SECRET})
    assert answer.status_code == 422 and "Kowalska" not in answer.text
    assert answer.json()["errors"][0]["location"] == ["body", "number"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"text": "fine", "number": 1e5}', 200),
        (b'{"text": "a backslash and u0000: \\\\u0000"}', 200),
        (b'{"text": "\\ud83d\\ude00"}', 200),
        (b'{"text": "a\\u0000b"}', 422),
        (b'{"a\\u0000b": 1}', 422),
        ('{"text": "a\\u0000b"}'.encode("utf-16"), 422),
        (b'{"anything": [{"deep": "\\udc00"}]}', 422),
        (b'{"\\ud800": 1}', 422),
        (b'{"number": NaN}', 422),
        (b'{"anything": -Infinity}', 422),
        (b'{"number": 1e999}', 422),
        (b'{"anything": 1' + b"0" * 400 + b".0}", 422),
        (b'{"anything": 1' + b"0" * 5000 + b"}", 400),
        (b'{"text": "\xff\xfe"}', 400),
        (b"[" * 100_000, 400),
        (b"{", 422),
        (b"", 422),
        (b"\x00", 422),
    ],
)
def test_bodies_no_one_should_send(desk: TestClient, body: bytes, status: int) -> None:
    answer = desk.post("/v1/desk/notes", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.json()["status"] == status


def test_a_nul_in_the_address(desk: TestClient) -> None:
    assert desk.get("/v1/desk/fails/input%00").status_code == 422
    assert desk.get("/v1/desk/stream?fail=%00").status_code == 422
    assert desk.get("/v1/models?x=%FF%FE").status_code == 200


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False), lambda inner: st.lists(inner)))
def test_what_is_not_looked_through_is_clean(value: Any) -> None:
    body = json.dumps({"anything": value}).encode()
    if _SUSPECT.search(body) is None:
        assert "\x00" not in str(value) and "\\x00" not in repr(value).replace("\\\\", "")
        json.dumps(json.loads(body), ensure_ascii=False, allow_nan=False).encode()


def test_bodies_are_bounded(make_client: MakeClient) -> None:
    client = make_client(DESK, body_limit=2000)

    def pieces(count: int) -> Iterator[bytes]:
        yield b'{"text": "'
        for _ in range(count):
            yield b"a" * 100
        yield b'"}'

    headers = {"Content-Type": "application/json"}
    assert client.post("/v1/desk/notes", content=pieces(10), headers=headers).status_code == 200
    for content in (b"".join(pieces(100_000)), pieces(100)):
        answer = client.post("/v1/desk/notes", content=content, headers=headers)
        assert answer.status_code == 413 and answer.headers["content-type"] == "application/problem+json"
    # A route that says so takes more, and no more than that.
    assert client.post("/v1/desk/upload", content=b"a" * 5000).json() == 5000
    for content in (b"a" * 5001, pieces(100)):
        answer = client.post("/v1/desk/upload", content=content)
        assert answer.status_code == 413 and answer.headers["content-type"] == "application/problem+json"
        assert "5,000" in answer.json()["detail"]
    long = {"Content-Length": "9" * 5000, **headers}
    assert client.post("/v1/desk/notes", content=pieces(1), headers=long).status_code == 413


def test_too_many_requests(make_client: MakeClient, keys: Any) -> None:
    made = {name: {"Authorization": f"Bearer {keys.create(name, 'agent')[1]}"} for name in ("a", "b")}
    client = make_client(DESK, rate="3/day")
    body = {"text": "a"}
    codes = [client.post("/v1/desk/notes", json=body, headers=made["a"]).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    answer = client.post("/v1/desk/notes", json=body, headers=made["a"])
    assert 1 <= int(answer.headers["retry-after"]) <= 86_400 and answer.json()["status"] == 429
    # Another key has its own count; so has the address of those who have none, or guess.
    assert client.post("/v1/desk/notes", json=body, headers=made["b"]).status_code == 200
    guesses = [client.get("/v1/models", headers={"Authorization": f"Bearer {i}"}).status_code for i in range(5)]
    assert guesses == [401, 401, 401, 429, 429]
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_a_rate_that_is_none() -> None:
    with pytest.raises(InputError, match="20/second"):
        rate_of("often")


def test_verticals_that_fail_leave_the_rest_standing(make_client: MakeClient, keys: Any) -> None:
    def broken() -> Any:
        raise ImportError("no module named teapot")

    def elsewhere() -> APIRouter:
        router = APIRouter(prefix="/v1/deskchair")
        router.add_api_route("/x", lambda: {})
        return router

    client = make_client(
        DESK, Vertical("teapot", "", routes=broken), Vertical("quiet", ""), Vertical("desk2", "", routes=elsewhere)
    )
    ready = client.get("/readyz")
    assert ready.status_code == 200 and ready.json()["status"] == "degraded"
    assert ready.json()["applications"] == {
        "desk": {"status": "ready", "reason": None},
        "teapot": {"status": "failed", "reason": "no module named teapot"},
        "quiet": {"status": "ready", "reason": None},
        "desk2": {"status": "failed", "reason": "/v1/deskchair/x is not under /v1/desk2; give the router that prefix."},
    }
    assert client.post("/v1/desk/notes", json={}).status_code == 200
    assert client.get("/v1/deskchair/x").status_code == 404


def test_strangers_are_told_no_reasons(make_client: MakeClient, keys: Any) -> None:
    def broken() -> Any:
        raise ImportError("/home/somebody/secret")

    keys.create("a", "agent")
    client = make_client(Vertical("teapot", "", routes=broken))
    assert client.get("/readyz").json()["applications"] == {"teapot": {"status": "failed", "reason": None}}


def test_not_ready_without_a_database(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(engine: Any) -> None:
        raise OSError("gone")

    monkeypatch.setattr("core.api.health._ping", gone)
    answer = client.get("/readyz")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
    assert client.get("/healthz").json() == {"status": "ok"}


def test_metrics_know_routes_not_paths(desk: TestClient) -> None:
    desk.get("/v1/desk/fails/input")
    desk.get("/v1/desk/fails/ours")
    desk.request("BREW", "/nothing")
    desk.get("/v1/desk/inner/x")
    text = desk.get("/metrics").text
    assert 'headwater_requests_total{method="GET",route="/v1/desk/fails/{what}",status="422"} 1.0' in text
    assert 'headwater_requests_total{method="GET",route="/v1/desk/fails/{what}",status="500"} 1.0' in text
    assert 'headwater_requests_total{method="GET",route="/v1/desk/inner/{what}",status="200"} 1.0' in text
    assert 'headwater_requests_total{method="OTHER",route="unmatched",status="404"} 1.0' in text
    assert 'headwater_request_seconds_count{method="GET",route="/v1/desk/fails/{what}"} 2.0' in text


def test_events(desk: TestClient) -> None:
    answer = desk.get("/v1/desk/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == 'event: piece\ndata: {"text":"é\\n"}\n\nevent: end\ndata: null\n\n'
    failed = desk.get("/v1/desk/stream?fail=1").text
    assert failed.endswith('event: error\ndata: {"title":"Internal Server Error","status":500}\n\n')
    assert "Kowalska" not in failed


@settings(max_examples=40, deadline=None)
@given(st.text())
def test_an_event_is_one_line_of_data(text: str) -> None:
    made = event("x", {"text": text}).decode()
    assert made.count("\n") == 3 and made.endswith("\n\n")


def test_the_installed_verticals_are_all_accounted_for() -> None:
    from core.vertical import installed

    app = create_app(get_settings(), config=ApiSettings())
    assert set(app.state.applications) == set(installed())


def test_no_request_hangs(make_client: MakeClient, lines: Callable[[], list[dict[str, Any]]]) -> None:
    go = threading.Event()

    def routes() -> APIRouter:
        router = APIRouter(prefix="/v1/slow")

        @router.get("/answer")
        def answer() -> None:
            go.wait(60)

        @router.get("/stream")
        def streamed() -> Any:
            def pieces() -> Iterator[tuple[str, Any]]:
                yield "begun", None
                assert not go.wait(0.3)  # far beyond the deadline, but the answer has begun
                yield "end", None

            return stream(pieces())

        return router

    client = make_client(Vertical("slow", "", routes=routes), answer_timeout_s=0.1)
    assert client.get("/v1/slow/stream").text.endswith("event: end\ndata: null\n\n")
    answer = client.get("/v1/slow/answer")
    go.set()
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json" and "x-request-id" in answer.headers
    assert [line["status"] for line in lines() if line["event"] == "request"] == [200, 503]
