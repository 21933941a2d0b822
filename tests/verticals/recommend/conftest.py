"""A small catalogue with behaviour that follows topics, and an encoder made of word hashes."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from verticals.recommend.behaviour import Events
from verticals.recommend.behaviour import tidy as tidy_events
from verticals.recommend.items import Items, tidy
from verticals.recommend.settings import RecommendSettings, recommend_settings
from verticals.recommend.store import Store
from verticals.recommend.training import train
from verticals.recommend.vectors import ItemVectors

WORDS = {
    "home": ["mortgage", "deposit", "flat", "survey", "lender", "rent"],
    "travel": ["flight", "hostel", "currency", "passport", "train", "beach"],
    "invest": ["fund", "shares", "dividend", "risk", "index", "bond"],
}
PER_TOPIC = 10


class WordHashes:
    """Each word is a fixed random direction: texts that share words lie close."""

    fingerprint = "word-hashes"

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts: list[str], passages: bool = False) -> Any:
        self.encoded += texts
        rows = []
        for text in texts:
            words = text.casefold().replace(".", " ").replace(",", " ").split() or ["-"]
            rows.append(np.sum([_direction(word) for word in words], axis=0))
        made = np.array(rows, dtype=np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)


def _direction(word: str) -> Any:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).normal(size=32)


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> WordHashes:
    """No network is loaded: every encoder is the same made-up one, which remembers what it encoded."""
    made = WordHashes()
    monkeypatch.setattr(ItemVectors, "model", property(lambda self: made))
    monkeypatch.setenv("HEADWATER_RECOMMEND_ENCODER", "words")
    monkeypatch.setenv("HEADWATER_RECOMMEND_RANKER", "blend")
    return made


def item_rows() -> list[dict[str, Any]]:
    random = np.random.default_rng(1)
    rows = []
    for topic, words in WORDS.items():
        for number in range(PER_TOPIC):
            title = " ".join(random.choice(words, 3, replace=False))
            published = f"2026-01-{number + 1:02d}T00:00Z"
            rows.append(
                {
                    "id": f"{topic}-{number}", "title": f"{title} {number}", "description": f"about {topic}",
                    "tags": [topic], "category": topic, "published": published, "minutes": number + 1,
                }
            )  # fmt: skip
    return rows


def make_items(rows: list[dict[str, Any]] | None = None) -> Items:
    frame = pd.DataFrame(rows or item_rows())
    return tidy(frame.assign(file="test", row=np.arange(1, len(frame) + 1)))


def event_rows(users: int = 30, each: int = 8, seed: int = 2) -> list[dict[str, Any]]:
    """Users keep to one topic; the last item of each topic is never touched."""
    random = np.random.default_rng(seed)
    topics = list(WORDS)
    rows = []
    for user in range(users):
        topic = topics[user % len(topics)]
        for step, number in enumerate(random.choice(PER_TOPIC - 1, each, replace=False)):
            time = pd.Timestamp("2026-02-01", tz="UTC") + pd.Timedelta(days=step, minutes=user)
            kind = ["click", "like", "buy"][step % 3]
            rows.append({"user": f"u{user:02d}", "item": f"{topic}-{number}", "event": kind, "time": time.isoformat()})
    return rows


def make_events(rows: list[dict[str, Any]] | None = None) -> Events:
    frame = pd.DataFrame(rows if rows is not None else event_rows())
    return tidy_events(frame.assign(file="test", row=np.arange(1, len(frame) + 1)))


@pytest.fixture
def items() -> Items:
    return make_items()


@pytest.fixture
def events() -> Events:
    return make_events()


@pytest.fixture
def settings(private_var: Path) -> RecommendSettings:
    return recommend_settings()


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two var folders: ``stored`` with the catalogue and the behaviour, ``trained`` with a first version as well."""
    root = tmp_path_factory.mktemp("recommend")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ItemVectors, "model", property(lambda self: WordHashes()))
        patch.setenv("HEADWATER_RECOMMEND_ENCODER", "words")
        patch.setenv("HEADWATER_RECOMMEND_RANKER", "blend")
        patch.setenv("HEADWATER_VAR", str(root / "stored"))
        made = Store.open(recommend_settings().core)
        made.upsert_items(make_items())
        made.append_events(make_events())
        made.engine.dispose()
        shutil.copytree(root / "stored", root / "trained")
        patch.setenv("HEADWATER_VAR", str(root / "trained"))
        train(recommend_settings())
    return root


@pytest.fixture
def store(settings: RecommendSettings, ready: Path, private_var: Path) -> Store:
    """The catalogue and the behaviour, stored."""
    shutil.copytree(ready / "stored", private_var, dirs_exist_ok=True)
    return Store.open(settings.core)


@pytest.fixture
def trained(settings: RecommendSettings, ready: Path, private_var: Path) -> RecommendSettings:
    """A first version in use."""
    shutil.copytree(ready / "trained", private_var, dirs_exist_ok=True)
    return settings
