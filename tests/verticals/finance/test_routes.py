from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from core.api.access import LOCAL, Caller
from verticals.finance.opening import utc_now


@pytest.fixture
def app(finance_engine: Engine) -> FastAPI:
    from core.api.app import create_app
    from verticals.finance import vertical

    made = create_app(verticals=[vertical])
    assert made.state.applications == {"finance": None}
    return made


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as opened:
        yield opened


def test_articles_are_pushed_once_and_read_again(client: TestClient) -> None:
    body = {"articles": [{"title": "Quillon cuts its forecast", "id": "x1", "source": "desk"}]}
    first, again = (client.post("/v1/finance/articles", json=body) for _ in range(2))
    assert (first.status_code, first.json()["new"], again.json()["duplicates"]) == (202, 1, 1)
    number = first.json()["articles"][0]
    assert client.get(f"/v1/finance/articles/{number}").json()["title"] == "Quillon cuts its forecast"
    assert client.get("/v1/finance/articles/999").status_code == 404
    assert client.post("/v1/finance/articles", json={"articles": []}).status_code == 422
    assert client.post("/v1/finance/articles", json={"articles": [{"title": " "}]}).status_code == 422


@pytest.mark.parametrize("date", [0, "1970-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_pushed_date_that_stands_for_none_is_refused(client: TestClient, date: object) -> None:
    told = client.post("/v1/finance/articles", json={"articles": [{"title": "Quillon reports", "published": date}]})
    assert told.status_code == 422 and "published" in told.text


def test_a_caller_from_outside_reaches_neither_files_nor_inner_addresses(client: TestClient) -> None:
    for row in (
        {"id": "passwd", "kind": "csv", "url": "/etc/passwd"},
        {"id": "key", "kind": "rss", "url": "https://example.org/", "headers": {"X-Key": "${HOME}"}},
    ):
        assert client.post("/v1/finance/sources", json={"source": row}).status_code == 422
        assert client.post("/v1/finance/sources/test", json={"source": row}).status_code == 422
    inner = {"source": {"id": "inner", "kind": "rss", "url": "http://169.254.169.254/"}}
    assert client.post("/v1/finance/sources/test", json=inner).json()["outcome"] == "address"


def test_sources_are_added_switched_and_removed(client: TestClient) -> None:
    row = {"id": "mine", "kind": "rss", "url": "https://example.org/feed.xml", "headers": {"X-Key": "secret"}}
    assert client.post("/v1/finance/sources", json={"source": row}).status_code == 201
    assert client.post("/v1/finance/sources", json={"source": row}).status_code == 422
    assert client.put("/v1/finance/sources/mine", json={"enabled": False}).status_code == 200
    listed = client.get("/v1/finance/sources")
    assert {one["id"]: one["health"] for one in listed.json()}["mine"] == "disabled"
    assert "secret" not in listed.text
    assert client.delete("/v1/finance/sources/mine").status_code == 204
    assert client.delete("/v1/finance/sources/mine").status_code == 404


def test_alerts_are_decided_over_rest(client: TestClient, finance_engine: Engine) -> None:
    from verticals.finance.alerts.rules import Rule, RuleBook
    from verticals.finance.alerts.states import Observation
    from verticals.finance.alerts.store import Target, evaluate

    now = utc_now()
    rule = Rule(id="surge", scope="topic", measure="volume", minimum_stories=1)
    found = Observation(now, anomaly=True, score=0.99, stories=9, evidence=("a headline",))
    evaluate(finance_engine, RuleBook(rules=(rule,)), [(Target(rule, "Energy", {}), found)], now)
    (alert,) = client.get("/v1/finance/alerts").json()
    base = f"/v1/finance/alerts/{alert['id']}"
    assert client.post(f"{base}/acknowledge").json()["acknowledged_by"] == LOCAL.name
    assert client.post(f"{base}/assign", json={"assignee": "mei"}).json()["assignee"] == "mei"
    assert client.post(f"{base}/note", json={"text": "seen"}).json()["trail"][-1]["detail"] == {"text": "seen"}
    until = (now + timedelta(hours=2)).isoformat()
    assert client.post(f"{base}/snooze", json={"until": until}).json()["snoozed_until"] == until
    assert client.post(f"{base}/resolve", json={"text": "done"}).json()["status"] == "resolved"
    assert client.get("/v1/finance/alerts").json() == []
    assert client.get("/v1/finance/alerts/0123456789ab").status_code == 404
    body = {"matchers": [{"label": "topic", "value": "Energy"}], "ends": until}
    number = client.post("/v1/finance/silences", json=body).json()["id"]
    assert [s["id"] for s in client.get("/v1/finance/silences").json()] == [number]
    assert client.delete(f"/v1/finance/silences/{number}").status_code == 204
    assert client.get("/v1/finance/silences").json() == []


def test_only_an_admin_changes_where_alerts_are_sent(app: FastAPI, client: TestClient) -> None:
    text = client.get("/v1/finance/rules").json()["text"]
    more = text + '\n[[receivers]]\nname = "away"\nurl = "https://example.org/hook"\n'

    class Analyst:
        async def identify(self, connection: Any) -> Caller:
            return Caller("mei", "analyst")

    admin, app.state.access = app.state.access, Analyst()
    assert client.put("/v1/finance/rules", json={"text": text}).json() == {"version": 1}
    assert client.put("/v1/finance/rules", json={"text": more}).status_code == 403
    app.state.access = admin
    assert client.put("/v1/finance/rules", json={"text": more}).json() == {"version": 2}
    assert client.put("/v1/finance/rules", json={"text": "rules = 7"}).status_code == 422


@pytest.mark.parametrize("finance_engine", ["labelled"], indirect=True)
def test_what_is_read_can_be_taken_away_as_a_file(client: TestClient, finance_engine: Engine) -> None:
    import io

    import pandas as pd

    query = "?scope=company&days=3650&step=week&subject=MRWDLB"
    rows = client.get(f"/v1/finance/trends{query}").json()
    as_csv = pd.read_csv(io.BytesIO(client.get(f"/v1/finance/trends{query}&format=csv").content))
    as_parquet = pd.read_parquet(io.BytesIO(client.get(f"/v1/finance/trends{query}&format=parquet").content))
    assert sum(r["stories"] for r in rows) == as_csv["stories"].sum() == as_parquet["stories"].sum() > 0
    stories = client.get("/v1/finance/stories?days=3650&limit=3&sentiment=negative").json()
    assert len(stories) == 3 and {s["sentiment"] for s in stories} == {"negative"}
    assert client.get(f"/v1/finance/stories/{stories[0]['id']}").json()["members"]
