"""Models over HTTP: what a name may mean, answers in order, versions, and what is refused."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from core.api.catalogue import Catalogue
from core.api.problems import NotFound
from core.api.served import Served
from core.serving.encoder import load_encoder
from core.serving.predictor import load_predictor
from core.settings import get_settings

TEXTS = ["rain and storm", "bank loan of the market", "goal"]
MakeClient = Callable[..., TestClient]


@pytest.fixture
def catalogue(models_folder: Path) -> Catalogue:
    return Catalogue(get_settings(), models_folder)


def test_what_there_is(client: TestClient) -> None:
    rows = {row["name"]: row for row in client.get("/v1/models").json()["models"]}
    assert rows["topics"] == {
        "name": "topics",
        "source": "shipped",
        "task": "classification",
        "version": None,
        "aliases": {},
    }
    assert rows["near"]["task"] == "matching" and rows["relevance"]["task"] == "ranking"
    assert rows["minilm"]["source"] == "backbone"
    assert list(rows) == sorted(rows)


def test_predictions_are_the_predictors(client: TestClient, models_folder: Path) -> None:
    answer = client.post("/v1/predict", json={"model": "topics", "texts": TEXTS, "top": 2}).json()
    assert answer["model"] == {"name": "topics", "version": None, "task": "classification"}
    for found, expected in zip(
        answer["predictions"], load_predictor(models_folder / "topics").predict(TEXTS), strict=True
    ):
        assert found["label"] == expected.label
        assert found["probability"] == pytest.approx(expected.probability, abs=1e-5)
        assert list(found["probabilities"])[0] == expected.label and len(found["probabilities"]) == 2
        assert found["truncated"] is False


def test_pairs(client: TestClient, models_folder: Path) -> None:
    pairs = [["rain", "storm and wind"], ["rain", "goal of the team"]]
    answer = client.post("/v1/predict", json={"model": "relevance", "texts": pairs}).json()
    expected = load_predictor(models_folder / "relevance").score(*zip(*pairs, strict=True))
    found = [p["probabilities"]["relevant"] for p in answer["predictions"]]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_vectors_are_the_encoders(client: TestClient, models_folder: Path) -> None:
    answer = client.post("/v1/embed", json={"model": "near", "texts": TEXTS, "kind": "passage"}).json()
    assert answer["dimension"] == 32
    expected = load_encoder(models_folder / "near").encode(TEXTS, passages=True)
    np.testing.assert_allclose(answer["vectors"], expected, atol=1e-5)


def test_many_callers_at_once_get_their_own_answers(make_client: MakeClient) -> None:
    client = make_client(max_wait_ms=20)
    texts = [f"{word} {other}" for word in ("rain", "goal", "bank", "storm") for other in ("team", "loan", "fog")]

    def ask(text: str) -> Any:
        return client.post("/v1/embed", json={"model": "near", "texts": [text]}).json()["vectors"][0]

    together = client.post("/v1/embed", json={"model": "near", "texts": texts}).json()["vectors"]
    with ThreadPoolExecutor(8) as pool:
        alone = list(pool.map(ask, texts))
    np.testing.assert_allclose(alone, together, atol=1e-5)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("predict", {"model": "nothing", "texts": ["a"]}, 404, "There is no model 'nothing'"),
        ("predict", {"model": "topics@production", "texts": ["a"]}, 404, "There is no model"),
        ("predict", {"model": "smollm2", "texts": ["a"]}, 404, "There is no model"),
        ("predict", {"model": "near", "texts": ["a"]}, 422, "use /v1/embed"),
        ("predict", {"model": "topics", "texts": ["a", ["b", "c"]]}, 422, "texts[1] is a pair"),
        ("predict", {"model": "relevance", "texts": ["a"]}, 422, "texts[0] must be [text, text]"),
        ("embed", {"model": "topics", "texts": ["a"]}, 422, "use /v1/predict"),
        ("predict", {"model": "topics", "texts": []}, 422, "see errors"),
        ("predict", {"model": "topics", "texts": [" \n"]}, 422, "see errors"),
        ("predict", {"model": "topics", "texts": ["a"] * 257}, 422, "see errors"),
        ("predict", {"model": "topics", "texts": ["a" * 20_001]}, 422, "see errors"),
        ("predict", {"model": "topics", "texts": ["a"], "nonsense": 1}, 422, "see errors"),
        ("embed", {"model": "near", "texts": [["a", "b"]]}, 422, "see errors"),
        ("embed", {"model": "near", "texts": ["a"], "kind": "x"}, 422, "see errors"),
    ],
)
def test_refused(client: TestClient, path: str, body: Any, status: int, words: str) -> None:
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    "name",
    ["../topics", "./topics", "/etc", "topics/../near", "topics%2f..", "~", "..", ".", "", "to\\pics", "Topics", "ａ"],
)
def test_a_path_is_never_a_model(client: TestClient, catalogue: Catalogue, name: str) -> None:
    assert client.post("/v1/predict", json={"model": name, "texts": ["a"]}).status_code == 422
    with pytest.raises(NotFound):
        catalogue.find(name)


def test_a_folder_here_is_not_a_model(
    client: TestClient, models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").symlink_to(models_folder / "topics")
    monkeypatch.chdir(tmp_path)
    assert client.post("/v1/predict", json={"model": "mine", "texts": ["a"]}).status_code == 404


def test_a_promoted_version_answers(make_client: MakeClient, models_folder: Path, tracked_var: Path) -> None:
    from core.serving.registry import Registry

    registry = Registry(get_settings())
    for fingerprint in ("one", "two"):
        recipe = (models_folder / "topics" / "recipe.toml").read_text()
        registry.register("topics", models_folder / "topics", {}, recipe, fingerprint)
    client = make_client(fresh_s=0)

    def version(name: str) -> int:
        return client.post("/v1/predict", json={"model": name, "texts": ["rain"]}).json()["model"]["version"]

    assert version("topics") == 1  # one's own comes before what ships
    assert (version("topics@challenger"), version("topics:2")) == (2, 2)
    registry.promote("topics", 2)
    assert (version("topics"), version("topics@previous")) == (2, 1)
    row = next(r for r in client.get("/v1/models").json()["models"] if r["name"] == "topics")
    assert row["source"] == "registered" and row["version"] == 2 and row["aliases"]["previous"] == 1


def test_the_model_longest_unused_leaves(make_client: MakeClient) -> None:
    client = make_client(max_models=1)
    for name, path in (("topics", "predict"), ("near", "embed"), ("topics", "predict")):
        assert client.post(f"/v1/{path}", json={"model": name, "texts": ["rain"]}).status_code == 200
        assert list(client.get("/readyz").json()["models"]) == [name]


def test_a_damaged_model_is_told_and_the_rest_answers(
    make_client: MakeClient, models_folder: Path, catalogue: Catalogue, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(models_folder, tmp_path / "models")
    (tmp_path / "models" / "topics" / "labels.json").write_text("{")
    catalogue.shipped = tmp_path / "models"
    client = make_client()
    for _ in range(2):
        answer = client.post("/v1/predict", json={"model": "topics", "texts": ["rain"]})
        assert answer.status_code == 503 and "retry-after" in answer.headers
        assert str(tmp_path) not in answer.text
    assert client.post("/v1/embed", json={"model": "near", "texts": ["rain"]}).status_code == 200
    ready = client.get("/readyz").json()
    assert ready["status"] == "degraded"
    assert {name: part["status"] for name, part in ready["models"].items()} == {"topics": "failed", "near": "ready"}
    assert 'headwater_model{model="topics",state="failed"} 1.0' in client.get("/metrics").text


class Blocked:
    """Holds a model's computation until told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        real = Served._embed

        def embed(served: Served, items: Any) -> Any:
            self.entered.set()
            assert self.go.wait(60)
            return real(served, items)

        monkeypatch.setattr(Served, "_embed", embed)


def test_a_full_queue_is_refused_at_once_and_nobody_is_lost(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = Blocked(monkeypatch)
    client = make_client(queue=256, max_batch=256, deadline_s=60)

    def ask(count: int) -> Any:
        return client.post("/v1/embed", json={"model": "near", "texts": ["rain"] * count})

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, 200)
        assert blocked.entered.wait(60)
        refused = ask(100)  # the last 44 have no room, so none of them is taken
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        assert 'headwater_queue_texts{model="near"}' in client.get("/metrics").text
        blocked.go.set()
        assert len(first.result().json()["vectors"]) == 200
    assert ask(256).status_code == 200


def test_a_late_answer_is_a_503_not_a_hang(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = Blocked(monkeypatch)
    client = make_client(deadline_s=0.1)
    answer = client.post("/v1/embed", json={"model": "near", "texts": ["rain"]})
    blocked.go.set()
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert "deadline" in answer.json()["detail"]


def test_slow_loading_is_a_503_not_a_hang(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    real = Served.__init__

    def slow(self: Served, *args: Any) -> None:
        assert go.wait(60)
        real(self, *args)

    monkeypatch.setattr(Served, "__init__", slow)
    client = make_client(load_timeout_s=0.05)
    answer = client.post("/v1/embed", json={"model": "near", "texts": ["rain"]})
    assert answer.status_code == 503 and "being loaded" in answer.json()["detail"]
    assert client.get("/readyz").json()["models"] == {"near": {"status": "loading", "reason": None}}
    go.set()
    while answer.status_code == 503:
        answer = client.post("/v1/embed", json={"model": "near", "texts": ["rain"]})
    assert answer.status_code == 200


def test_a_challenger_answers_in_the_shadow(
    make_client: MakeClient, models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.operations.shadow import Challenger, summaries

    monkeypatch.setenv("HEADWATER_SHADOW_SAMPLE", "1")
    client = make_client()
    shadow = client.app.state.shadow  # type: ignore[attr-defined]
    shadow._challenger_of = lambda model, champion: Challenger(2, load_predictor(models_folder / "topics").predict)
    assert client.post("/v1/predict", json={"model": "topics", "texts": TEXTS}).status_code == 200
    shadow.settle()
    found = summaries(get_settings().var / "shadow")["topics"]
    assert (found.n, found.agreed, found.champion, found.challenger) == (3, 3, None, 2)
