"""The recommender over HTTP: shapes, refusals, and that changes count at once."""

import io
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from core.errors import InputError
from verticals.recommend.routes import router
from verticals.recommend.settings import RecommendSettings


@pytest.fixture
def client(trained: RecommendSettings) -> Iterator[TestClient]:
    """The router alone, with the caller let in and refusals as the API gives them."""
    from fastapi.responses import JSONResponse

    app = FastAPI()
    app.include_router(router)
    for dependency in router.dependencies:
        app.dependency_overrides[dependency.dependency] = lambda: None  # type: ignore[index]

    @app.exception_handler(InputError)
    def refuse(request: Any, error: InputError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    with TestClient(app) as made:
        yield made


def test_score_for_a_user_a_history_and_an_interest(client: TestClient) -> None:
    for who, basis in (
        ({"user": "u00"}, "history"),
        ({"history": ["home-1", "home-2", "home-3"]}, "history"),
        ({"interest": "mortgage lender"}, "interest"),
        ({}, "popular"),
    ):
        body = {"candidates": ["home-4", "travel-1"], **who}
        found = client.post("/v1/recommend/score", json=body)
        assert found.status_code == 200, found.text
        assert found.json()["basis"] == basis and len(found.json()["candidates"]) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"candidates": ["gone"]},
        {"candidates": []},
        {"candidates": ["home-1"], "weights": {"tide": 1}},
        {"candidates": ["home-1"], "rules": [{"kind": "pin"}]},
        {"candidates": ["home-1"], "unknown": 1},
        {"candidates": "home-1"},
    ],
)
def test_odd_bodies_are_refused(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post("/v1/recommend/score", json=body).status_code == 422


def test_users_know_their_past_and_what_is_next(client: TestClient) -> None:
    found = client.get("/v1/recommend/users/u02", params={"k": 3}).json()
    assert found["known"] and found["events"] == 8 and len(found["recommended"]["candidates"]) == 3
    assert not client.get("/v1/recommend/users/nobody").json()["known"]


def test_items_and_events_count_at_once(client: TestClient) -> None:
    item = {"id": "late", "title": "flight beach hostel", "category": "travel", "tags": "travel|summer"}
    assert client.put("/v1/recommend/items", json={"items": [item]}).json()["added"] == 1
    event = {"user": "z", "item": "late", "event": "like", "time": "2026-06-01T00:00Z"}
    assert client.post("/v1/recommend/events", json={"events": [event]}).json()["added"] == 1
    assert client.get("/v1/recommend/users/z").json()["recent"][0]["item"] == "late"
    near = client.get("/v1/recommend/items/late/similar", params={"k": 3}).json()
    assert len(near) == 3 and all(row["item"].startswith("travel") for row in near)
    assert client.get("/v1/recommend/search", params={"q": "flight beach hostel"}).json()[0]["item"] == "late"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"item": "home-1", "event": "view", "time": "2026-06-01"}, "row 1: user"),
        ({"user": "a", "item": "home-1", "event": "stare", "time": "2026-06-01"}, "'stare'"),
        ({"user": "a", "item": "home-1", "event": "view", "time": "soon"}, "'soon'"),
        ({"user": "a", "item": "gone", "event": "view", "time": "2026-06-01"}, "'gone'"),
    ],
)
def test_odd_events_are_refused_with_their_row(client: TestClient, row: dict[str, Any], message: str) -> None:
    found = client.post("/v1/recommend/events", json={"events": [row]})
    assert found.status_code == 422 and message in found.json()["detail"]


def test_export_has_a_row_a_user_and_item(client: TestClient) -> None:
    found = client.post("/v1/recommend/export", json={"users": ["u00", "u01"], "k": 3})
    frame = pd.read_csv(io.BytesIO(found.content))
    assert frame["user"].tolist() == ["u00"] * 3 + ["u01"] * 3 and frame["rank"].tolist() == [1, 2, 3] * 2
    parquet = client.post("/v1/recommend/export", json={"users": ["u00"], "k": 2, "format": "parquet"})
    assert len(pd.read_parquet(io.BytesIO(parquet.content))) == 2


def test_status_names_versions_and_features(client: TestClient) -> None:
    found = client.get("/v1/recommend/status").json()
    assert found["model"] == 1 and found["items"] == 30 and "text" in found["features"]
