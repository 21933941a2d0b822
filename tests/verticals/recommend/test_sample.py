"""The shipped sample: the texts, the simulator's promises, the pairs it gives, and a first preparation."""

import re
import tomllib
from collections import Counter

import numpy as np
import pytest

from core.errors import InputError
from verticals.recommend import saved
from verticals.recommend.interests import RECIPE, PairDraw, draw_pairs, interest_recipe
from verticals.recommend.prepare import prepare
from verticals.recommend.sample import NOTE, sample_events, sample_interests, sample_items
from verticals.recommend.settings import SAMPLE, RecommendSettings
from verticals.recommend.simulator import Simulation, simulate
from verticals.recommend.snapshot import histories_of, strongest_of
from verticals.recommend.store import Store
from verticals.recommend.vectors import hashes_of, shipped

SMALL = Simulation(users=30, visits=8)


def test_the_catalogue_is_large_and_every_text_is_its_own() -> None:
    items = sample_items(SAMPLE)
    frame = items.frame
    assert len(items) >= 500 and items.findings == []
    assert frame["title"].is_unique and frame["description"].is_unique
    assert frame["description"].str.len().between(20, 400).all()
    assert min(Counter(frame["category"]).values()) >= 25 and np.isfinite(items.published).all()
    assert not frame["id"].map(lambda id: re.fullmatch(r"[a-z0-9-]+", id) is None).any()


def test_prices_of_plans_are_those_of_the_fact_sheet() -> None:
    facts = tomllib.loads((SAMPLE.parent / "support" / "facts.toml").read_text(encoding="utf-8"))
    items = sample_items(SAMPLE).frame.set_index("title")
    plus = items.loc["Tarnwell Plus: who it pays for"]
    assert facts["plan_plus_fee"]["value"] == "£6" and "£6" in plus["description"]
    assert str(plus["monthly_price"]) == "6"


def test_vectors_ship_for_every_text() -> None:
    known = shipped(SAMPLE / "minilm.npz", "minilm")
    assert known is not None and shipped(SAMPLE / "minilm.npz", "other") is None
    texts = sample_items(SAMPLE).texts
    with np.load(SAMPLE / "minilm.npz") as arrays:
        assert set(hashes_of(texts)) <= set(arrays["hashes"].tolist())
    made = known.of(texts)
    assert made.shape == (len(texts), 384) and np.linalg.norm(made, axis=1) == pytest.approx(1.0, abs=1e-3)


def test_the_same_seed_gives_the_same_events() -> None:
    one, other = (sample_events(SAMPLE, SMALL) for _ in range(2))
    assert one.frame.equals(other.frame) and one.shown.equals(other.shown)
    assert not one.frame.equals(sample_events(SAMPLE, SMALL.model_copy(update={"seed": 12})).frame)


def test_simulated_behaviour_keeps_its_promises() -> None:
    items, events = sample_items(SAMPLE), sample_events(SAMPLE, SMALL)
    assert events.frame["user"].str.startswith("sim-").all() and events.shown["user"].str.startswith("sim-").all()
    published = dict(zip(items.ids, items.frame["published"], strict=True))
    assert (events.shown["time"] >= events.shown["item"].map(published)).all()
    assert events.shown["propensity"].between(0, 1, inclusive="right").all()
    by_place = events.shown.groupby("position")["clicked"].mean()
    assert by_place.iloc[0] > by_place.iloc[-1]
    buys = events.frame[events.frame["event"] == "buy"]["item"].map(items.frame.set_index("id")["kind"])
    assert (buys == "product").all()


def test_users_read_what_fits_their_taste() -> None:
    interests = [one for one in sample_interests(SAMPLE) if one.name in ("First home", "Travel money")]
    events = simulate(sample_items(SAMPLE), interests, Simulation(users=40, visits=20))
    shares = (
        events.frame["item"].map(sample_items(SAMPLE).frame.set_index("id")["category"]).value_counts(normalize=True)
    )
    assert shares[["home", "travel"]].sum() > 2 * 72 / 540


def test_a_simulation_needs_interests_and_published_items() -> None:
    with pytest.raises(InputError, match="at least one interest"):
        simulate(sample_items(SAMPLE), [])
    early = Simulation(end="2020-01-01T00:00Z")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="published before its end"):
        simulate(sample_items(SAMPLE), sample_interests(SAMPLE), early)


def test_pairs_hold_true_negatives_and_leak_nothing(tmp_path: object) -> None:
    items, events = sample_items(SAMPLE), sample_events(SAMPLE, SMALL)
    users, past = histories_of(events, items, strongest_of(events))
    pairs = draw_pairs(items, past, events, users, PairDraw(rows=500, held_out=5))
    assert len(pairs.train) == 500 and len(pairs.validation) == 5
    assert list(pairs.train.columns) == ["text", "positive", "negative"]
    assert (pairs.train["text"] != pairs.train["positive"]).all()
    assert (pairs.train["negative"] != pairs.train["positive"]).all()
    again = draw_pairs(items, past, events, users, PairDraw(rows=500, held_out=5))
    assert again.train.equals(pairs.train)


def test_the_recipe_loads_with_the_pairs(tmp_path_factory: pytest.TempPathFactory) -> None:
    items, events = sample_items(SAMPLE), sample_events(SAMPLE, SMALL)
    users, past = histories_of(events, items, strongest_of(events))
    folder = tmp_path_factory.mktemp("pairs")
    recipe = interest_recipe(draw_pairs(items, past, events, users, PairDraw(rows=50)), folder, RECIPE)
    assert recipe.training.known_pairs and recipe.data.columns.negative == "negative"
    assert (folder / "train.parquet").is_file() and (folder / "validation.parquet").is_file()


def test_prepare_makes_what_is_missing_and_then_nothing(
    settings: RecommendSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "verticals.recommend.sample.simulate", lambda items, wanted, dials: simulate(items, wanted, SMALL)
    )
    monkeypatch.setenv("HEADWATER_RECOMMEND_ENCODER", "minilm")
    said: list[str] = []
    prepare(said.append)
    assert any("synthetic" in line for line in said) and saved.current(settings.folder) is not None
    assert Store.open(settings.core).changes()[0]["note"] == NOTE
    said.clear()
    prepare(said.append)
    assert said == []
    folder = saved.current(settings.folder)
    assert folder is not None
    old = (folder / "model.json").read_text(encoding="utf-8").replace('"format": 2', '"format": 1', 1)
    (folder / "model.json").write_text(old, encoding="utf-8")
    with pytest.raises(InputError, match="train again"):
        saved.load(folder)
    prepare(said.append)
    assert saved.versions(settings.folder)[-1] == 2
    assert saved.load(saved.current(settings.folder) or folder).version == 2
