"""Traces: a span for each request and job, part of the caller's trace, and nothing of what people wrote in it."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from core.api.app import create_app
from core.api.catalogue import Catalogue
from core.api.config import ApiSettings
from core.errors import InputError, MissingExtra
from core.operations import tracing
from core.operations.worker import Worker
from core.settings import PROJECT_ROOT, get_settings
from core.vertical import Job

SECRET = "my-account-number-4711"


@pytest.fixture
def spans() -> Any:
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    return memory.InMemorySpanExporter()


@pytest.fixture
def client(spans: Any, tmp_path: Any) -> Iterator[TestClient]:
    made = tracing.Tracing(spans, "api", at_once=True)
    app = create_app(get_settings(), (), ApiSettings(), Catalogue(get_settings(), tmp_path), made)
    with TestClient(app, raise_server_exceptions=False) as opened:
        yield opened


def test_a_request_is_a_span_named_by_its_template(client: TestClient, spans: Any) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    client.get("/v1/models", headers={"traceparent": parent, "x-request-id": "r-1"})
    client.get(f"/v1/{SECRET}?q={SECRET}")
    client.post("/v1/predict", json={"model": "none", "texts": [SECRET]})
    first, second, third = spans.get_finished_spans()
    assert (first.name, first.kind.name) == ("GET /v1/models", "SERVER")
    assert dict(first.attributes) == {
        "http.request.method": "GET",
        "http.route": "/v1/models",
        "http.response.status_code": 200,
        "headwater.request_id": "r-1",
    }
    assert f"{first.context.trace_id:032x}" == parent.split("-")[1]
    assert f"{first.parent.span_id:016x}" == parent.split("-")[2]
    assert second.name == "GET unmatched" and second.attributes["http.response.status_code"] == 404
    assert third.name == "POST /v1/predict" and third.parent is None
    assert SECRET not in "".join(span.to_json() for span in (first, second, third))
    assert first.resource.attributes["service.name"] == "headwater-api"


def test_an_error_of_ours_marks_the_span(client: TestClient, spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("core.api.catalogue.Catalogue.list", broken)
    assert client.get("/v1/models").status_code == 500
    (span,) = spans.get_finished_spans()
    assert span.status.status_code.name == "ERROR" and SECRET not in span.to_json()


def test_a_run_of_a_job_is_a_span(sqlite: Engine, spans: Any, clock: Any) -> None:
    def fail() -> None:
        raise RuntimeError(SECRET)

    made = tracing.Tracing(spans, "worker", at_once=True)
    jobs = {("shop", "poll"): Job("poll", lambda: None, 10), ("shop", "mail"): Job("mail", fail, 10)}
    assert list(Worker(sqlite, jobs, clock=clock, span=made.job).run_once().values()) == [True, False]
    good, bad = spans.get_finished_spans()
    assert (good.name, good.status.status_code.name) == ("shop.poll", "UNSET")
    assert dict(good.attributes) == {"headwater.vertical": "shop", "headwater.job": "poll"}
    assert (bad.name, bad.status.status_code.name) == ("shop.mail", "ERROR")
    assert bad.attributes["error.type"] == "RuntimeError" and SECRET not in bad.to_json()


def test_nothing_is_traced_or_imported_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tracing.ENDPOINT, raising=False)
    assert tracing.from_environment("api") is None
    code = "import sys, core.operations.worker, core.api.app; print('opentelemetry.sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"  # other libraries import its API


def test_without_the_packages_the_command_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.ENDPOINT, "http://127.0.0.1:4318/v1/traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MissingExtra, match=r"pip install 'headwater\[otel\]'"):
        tracing.from_environment("api")


def test_an_endpoint_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.ENDPOINT, "collector:4317")
    with pytest.raises(InputError, match="HEADWATER_OTLP_ENDPOINT: write an address"):
        tracing.from_environment("api")


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A collector's address, and the bodies it got."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", got
    server.shutdown()
    server.server_close()


def test_spans_arrive_at_a_collector(
    collector: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, Any], None]
) -> None:
    pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http.trace_exporter", reason="pip install 'headwater[otel]' to run it"
    )
    address, got = collector
    monkeypatch.setenv(tracing.ENDPOINT, address)
    made = tracing.from_environment("worker")
    assert made is not None
    with made.job("shop", "poll"):
        pass
    made.close()
    assert len(got) == 1 and b"shop.poll" in got[0] and b"headwater-worker" in got[0]
    record_property("sent", json.dumps(len(got[0])))
