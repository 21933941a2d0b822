"""``headwater import movielens``: a folder in the published layout takes the sample's place."""

import json
from pathlib import Path

import pytest

from core.cli import main
from core.errors import InputError
from tests.verticals.recommend.conftest import make_events, make_items
from verticals.recommend.recommender import Recommender
from verticals.recommend.sample import NOTE
from verticals.recommend.settings import RecommendSettings
from verticals.recommend.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two made-up films and the ratings of two made-up users."""
    home = tmp_path / "films"
    home.mkdir()
    films = [
        {"movielens_id": 1, "title": "Rain", "plot": "It rains.", "genres": "Drama", "year": 1990},
        {"movielens_id": 2, "title": "Sun", "plot": "It shines.", "genres": "Comedy, Drama", "year": 1991},
    ]
    (home / "items_info.json").write_text(json.dumps(films), encoding="utf-8")
    rows = ["user_id,item_id,rating,timestamp", "7,1,5,880000000", "7,2,3,880000100", "8,2,4,880000200"]
    (home / "ratings.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return home


def test_the_sample_makes_way(settings: RecommendSettings, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = Store.open(settings.core)
    store.upsert_items(make_items(), NOTE)
    store.append_events(make_events(), NOTE)
    assert main(["import", "movielens", str(folder), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["sample_replaced"] and told["items"] == 2 and told["users"] == 2
    back = store.items()
    assert back is not None and back.ids == ("1", "2") and back.frame["tags"].iloc[1] == ["Comedy", "Drama"]


def test_other_data_stay(store: Store, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "movielens", str(folder), "--json"]) == 0
    assert not json.loads(capfd.readouterr().out)["sample_replaced"]
    assert store.counts()["items"] == 32


def test_an_open_recommender_asks_for_training_when_its_items_are_gone(trained: RecommendSettings) -> None:
    recommender = Recommender.open(trained)
    recommender.store.clear()
    recommender.store.upsert_items(make_items([{"id": "other", "title": "x", "tags": [], "category": "c",
                                                "description": "", "published": None}]))  # fmt: skip
    with pytest.raises(InputError, match="headwater recommend train"):
        recommender.score(["other"])


@pytest.mark.parametrize(
    ("words", "message"),
    [(["stars", "."], "movielens"), (["movielens", "nowhere"], "no such"), (["mind", "."], "news.tsv")],
)
def test_what_cannot_be_imported_is_named(words: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["import", *words]) == 2
    assert message in capfd.readouterr().err
