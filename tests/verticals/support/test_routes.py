import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from core.api.app import create_app
from core.api.keys import Keys
from core.settings import get_settings
from tests.verticals.support.conftest import ARTICLES, HashEncoder, MakeBot, write_articles
from verticals.support import vertical
from verticals.support.bot import Bot
from verticals.support.knowledge.ingest import ingest
from verticals.support.routes import bot_of

LATE = "my card has not arrived, the delivery is late"


@pytest.fixture
def served(make_bot: MakeBot) -> Bot:
    bot = make_bot()
    secret = {"inside": ("Close an account, inside", "Close the account under profile with the inside code 4711.")}
    folder = write_articles(bot.settings.index.parent / "inside", secret, groups="agents")
    ingest([folder], bot.settings.index, HashEncoder())
    bot.retrieval.refresh()
    return bot


@pytest.fixture
def client(served: Bot) -> Iterator[TestClient]:
    app = create_app(get_settings(), [vertical])
    assert app.state.applications == {"support": None}
    app.dependency_overrides[bot_of] = lambda: served
    with TestClient(app, raise_server_exceptions=False, client=("127.0.0.1", 5000)) as made:
        yield made


def as_role(role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {Keys.open(get_settings()).create(role, role)[1]}"}


def test_a_reply_is_the_contracts_json(client: TestClient) -> None:
    answer = client.post("/v1/support/reply", json={"text": LATE})
    assert answer.status_code == 200
    values = answer.json()
    assert list(values)[:6] == ["answer", "kind", "intent", "confidence", "citations", "latency_ms"]
    assert (values["kind"], values["intent"]) == ("template", "card_arrival")


def test_a_reply_comes_in_pieces_that_make_the_whole(client: TestClient) -> None:
    answer = client.post("/v1/support/reply", json={"text": LATE}, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    named = [(lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))) for lines in events]
    assert [name for name, _ in named][:2] == ["started", "sources"] and named[-1][0] == "reply"
    assert "".join(data for name, data in named if name == "text") == named[-1][1]["answer"]


WRONG: list[dict[str, object]] = [
    {},
    {"text": ""},
    {"text": "   "},
    {"text": "x" * 5000},
    {"text": "x", "groups": []},
    {"text": "x", "foo": 1},
    {"text": "x", "history": [{"role": "robot", "text": "x"}]},
]


def test_a_wrong_question_is_a_problem(client: TestClient) -> None:
    for accept in ("application/json", "text/event-stream"):
        for body in WRONG:
            answer = client.post("/v1/support/reply", json=body, headers={"Accept": accept})
            assert answer.status_code == 422, body
            assert answer.headers["content-type"] == "application/problem+json"


def test_roles_read_what_their_groups_may(client: TestClient) -> None:
    admin, agent, analyst = as_role("admin"), as_role("agent"), as_role("analyst")
    asked = {"text": "close the account under profile inside code"}
    assert client.post("/v1/support/reply", json=asked).status_code == 401
    assert client.post("/v1/support/reply", json=asked, headers=analyst).status_code == 403
    assert "4711" in client.post("/v1/support/reply", json=asked, headers=agent).text
    public = client.post("/v1/support/reply", json={**asked, "groups": ["public"]}, headers=agent)
    assert public.status_code == 200 and "4711" not in public.text
    assert client.post("/v1/support/reply", json={**asked, "groups": ["board"]}, headers=agent).status_code == 403
    assert client.get("/v1/support/index", headers=agent).status_code == 403
    assert client.get("/v1/support/index", headers=admin).status_code == 200


def test_knowledge_is_listed_read_and_counted_by_group(client: TestClient, served: Bot) -> None:
    admin, agent = as_role("admin"), as_role("agent")
    listed = client.get("/v1/support/knowledge", params={"limit": 2}, headers=admin).json()
    assert listed["total"] == len(ARTICLES) + 1 and len(listed["documents"]) == 2
    object.__setattr__(served.settings, "role_groups", {"agent": ("public",)})
    assert client.get("/v1/support/knowledge", headers=agent).json()["total"] == len(ARTICLES)
    assert client.get("/v1/support/knowledge/inside", headers=agent).status_code == 404
    text = client.get("/v1/support/knowledge/pin", headers=agent).json()
    assert text["text"].startswith("Open Cards") and "source" not in text
    assert client.get("/v1/support/knowledge/nothing", headers=agent).status_code == 404


def test_uploads_are_in_force_at_once_and_bad_ones_are_listed(client: TestClient) -> None:
    files = [
        ("files", ("loans.txt", b"We lend no money at all, and no loan is offered.", "text/plain")),
        ("files", ("../../etc/passwd.txt", b"\0\0", "text/plain")),
    ]
    done = client.post("/v1/support/knowledge", files=files, data={"groups": ["public"]}).json()
    assert done["added"] == ["loans"] and done["version"] == 3
    assert [f["source"] for f in done["failed"]] == ["upload:passwd.txt"]
    assert client.get("/v1/support/knowledge/loans").status_code == 200
    again = client.post("/v1/support/knowledge", files=files[:1], data={"groups": ["public"]}).json()
    assert (again["version"], again["unchanged"]) == (3, 1)
    gone = client.delete("/v1/support/knowledge/loans").json()
    assert gone["removed"] == ["loans"]
    assert client.delete("/v1/support/knowledge/loans").status_code == 404


def test_versions_are_listed_rolled_back_and_compared(client: TestClient, served: Bot) -> None:
    assert [v["number"] for v in client.get("/v1/support/index").json()["versions"]] == [2, 1]
    changes = client.post("/v1/support/index/diff", json={"old": 1, "questions": ["close inside code"]}).json()
    assert changes["changes"][0]["gained"] == ["inside#0"]
    assert client.post("/v1/support/index/rollback", json={}).json()["number"] == 1
    assert served.retrieval.knowledge.version == 1
    assert client.get("/v1/support/knowledge/inside").status_code == 404
    assert client.post("/v1/support/index/rollback", json={"number": 99}).status_code == 422


def test_the_dial_cannot_promise_without_judgements(client: TestClient, small_scope: object, served: Bot) -> None:
    served.scope.save(served.settings.index.parent / "scope")
    object.__setattr__(served.settings, "scope", served.settings.index.parent / "scope")
    assert client.get("/v1/support/dial").json()["judged"] == 0
    answer = client.put("/v1/support/dial", json={"precision": 0.9})
    assert answer.status_code == 422 and "cannot be promised" in answer.json()["detail"]
