"""The status over HTTP and among the figures for Prometheus."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from core.api.keys import Keys
from core.vertical import Queue, Vertical


def _queues(engine: Engine, now: datetime) -> Sequence[Queue]:
    return [Queue("orders", 3, now)]


SHOP = Vertical("shop", "a test", queues=_queues)


def test_the_status_names_what_to_see_to(make_client: Callable[..., TestClient]) -> None:
    answer = make_client(SHOP).get("/v1/status")
    assert answer.status_code == 200
    told = answer.json()
    assert told["ok"] is False and told["problems"] == ["no worker is active; start one: headwater worker."]
    assert [(q["vertical"], q["name"], q["waiting"]) for q in told["queues"]] == [("shop", "orders", 3)]


def test_it_needs_a_key_as_all_do(make_client: Callable[..., TestClient], keys: Keys) -> None:
    keys.create("widget", "agent")
    assert make_client(SHOP).get("/v1/status").status_code == 401


def test_figures_for_prometheus(make_client: Callable[..., TestClient]) -> None:
    text = make_client(SHOP).get("/metrics").text
    assert "headwater_worker_active 0.0" in text
    assert 'headwater_queue_waiting{queue="orders",vertical="shop"} 3.0' in text
    assert 'headwater_queue_age_seconds{queue="orders",vertical="shop"} 0.0' in text


def test_without_a_database_the_other_figures_remain(make_client: Callable[..., TestClient], monkeypatch: Any) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise OperationalError("SELECT 1", {}, Exception("gone"))

    client = make_client(SHOP)
    monkeypatch.setattr("core.api.app.status", away)
    monkeypatch.setattr("core.api.state.ask", away)
    assert "headwater_requests" in client.get("/metrics").text
    answer = client.get("/v1/status")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
