"""Features of items against the plain formulas, and that a part of a list gets what the whole list gives it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.verticals.recommend.conftest import WordHashes
from verticals.recommend.behaviour import Events
from verticals.recommend.ease import fit_ease
from verticals.recommend.features import make_features, tag_vectors
from verticals.recommend.histories import Histories, histories, history_of
from verticals.recommend.items import Items
from verticals.recommend.popularity import fit_popular
from verticals.recommend.taste import TextTaste, centred
from verticals.recommend.text_ease import fit_text_ease

YEAR = 365.25 * 86_400


@pytest.fixture
def past(events: Events, items: Items) -> Histories:
    return histories(events, items)[1]


def test_tags_are_unit_vectors_of_what_stands_there(items: Items) -> None:
    tags = tag_vectors(items).toarray()
    assert np.linalg.norm(tags, axis=1) == pytest.approx(np.ones(len(items)))
    same = np.array(items.frame["category"])[:, None] == np.array(items.frame["category"])[None]
    assert tags @ tags.T == pytest.approx(same.astype(float))


def test_item_features_are_the_formulas(items: Items, past: Histories) -> None:
    made = make_features(items, past, [fit_popular(past)])
    one = past.take(np.array([3]))
    weights = one.matrix(made.recency).toarray()[0].astype(float)
    weights /= weights.sum()
    level = np.log1p(made.popularity)
    tags = made.tags.toarray()
    expected = {
        "popular": level,
        "popularity fit": -np.abs(level - weights @ level),
        "category fit": tags @ (weights @ tags),
        "freshness": -np.log1p(np.maximum(one.last_times[0] - items.published, 0) / YEAR),
        "date fit": -np.abs(items.published - weights @ items.published) / YEAR,
    }
    columns = made.columns(one)
    for name, maker in zip(made.names, columns.makers, strict=True):
        if name in expected:
            assert maker(None)[0] == pytest.approx(expected.pop(name), abs=1e-5), name
    assert not expected


def test_an_unknown_date_is_the_middle_one_and_a_user_without_events_is_served(items: Items, past: Histories) -> None:
    frame = items.frame.copy()
    frame.loc[frame.index[0], "published"] = None
    some = Items(frame)
    made = make_features(some, past, [fit_popular(past)])
    values = made.make(history_of([], past.n_items))
    assert np.isfinite(values).all()
    by_name = dict(zip(made.names, np.moveaxis(values[0], 1, 0), strict=True))
    assert not by_name["popularity fit"].any()
    assert by_name["freshness"][0] == pytest.approx(np.median(by_name["freshness"][1:]), abs=0.1)


def test_a_part_of_a_list_gets_what_the_whole_gives_it(items: Items, past: Histories) -> None:
    made = make_features(items, past, [fit_popular(past)])
    users, few = past.take(np.array([0, 7])), np.array([4, 2, 25])
    assert made.make(users, few) == pytest.approx(made.make(users)[:, few], abs=1e-5)
    columns = made.columns(users)
    assert not columns.factors
    weights = np.linspace(0, 1, len(made.names))
    assert columns.weighted(weights) == pytest.approx(made.make(users) @ weights, abs=1e-4)


@pytest.mark.parametrize("candidates", [None, np.array([4, 2, 25]), np.arange(29)])
def test_features_of_the_same_vectors_are_weighed_in_one_product(
    items: Items, past: Histories, candidates: np.ndarray | None
) -> None:
    vectors = centred(np.asarray(WordHashes().encode(items.texts)))
    sources = [fit_popular(past), TextTaste(vectors), fit_text_ease(past, vectors, fit_ease(past, 5.0), 1.0)]
    made = make_features(items, past, sources)
    few = replace(made, reference=np.array([0, 3, 11, 28]))  # as for a catalogue of more than REFERENCE
    for features in (made, few):
        columns = features.columns(past.take(np.array([5])), candidates)
        weights = np.linspace(0.5, 1, len(made.names))
        assert set(columns.factors) == {1, 2}
        assert columns.weighted(weights) == pytest.approx(columns.picked() @ weights, abs=1e-4)


def test_a_number_that_is_blank_or_nan_counts_as_the_mean(items: Items, past: Histories) -> None:
    prices = [None, "NaN", float("nan"), *(10.0 + n for n in range(len(items) - 3))]
    made = make_features(Items(items.frame.assign(price=prices)), past, [fit_popular(past)])
    values = made.make(past)
    assert np.isfinite(values).all()
    price = values[0, :, made.names.index("price")]
    assert price[:3] == pytest.approx([0.0, 0.0, 0.0], abs=1e-5) and (np.diff(price[3:]) > 0).all()


def test_a_column_without_a_finite_number_is_no_feature(items: Items, past: Histories) -> None:
    frame = items.frame.assign(price=[float("nan")] * len(items), stock=["inf"] * len(items))
    assert not {"price", "stock"} & set(make_features(Items(frame), past, [fit_popular(past)]).names)
