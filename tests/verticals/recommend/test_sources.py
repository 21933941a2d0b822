"""Histories and every source: what they learn, that they know no future, and that a new item has a text."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from core.errors import InputError
from tests.verticals.recommend.conftest import PER_TOPIC, WordHashes
from verticals.recommend.behaviour import Events
from verticals.recommend.candidates import Editorial, gather, products, seen_mask, top_k
from verticals.recommend.ease import fit_ease
from verticals.recommend.histories import Histories, Recency, histories, history_of, hold_out
from verticals.recommend.hybrid import HybridConfig as Config
from verticals.recommend.hybrid import fit_hybrid, fit_newcomers, last_events
from verticals.recommend.item_knn import fit_item_knn
from verticals.recommend.items import Items
from verticals.recommend.popularity import fit_popular, fit_trending
from verticals.recommend.snapshot import extended
from verticals.recommend.taste import (
    Running,
    TextTaste,
    centred,
    check_vectors,
    main_directions,
    user_vectors,
)
from verticals.recommend.text_ease import fit_text_ease
from verticals.recommend.transitions import fit_transitions
from verticals.recommend.weights import dense_where_small

HOME, COLD = slice(0, PER_TOPIC), PER_TOPIC - 1


@pytest.fixture
def past(events: Events, items: Items) -> Histories:
    return histories(events, items)[1]


@pytest.fixture
def vectors(items: Items) -> np.ndarray:
    return centred(np.asarray(WordHashes().encode(items.texts)))


def test_histories_are_oldest_first_with_strengths_by_kind(past: Histories) -> None:
    assert len(past) == 30 and past.lengths.tolist() == [8] * 30
    items, times, strengths = past.of(4)
    assert (np.diff(times) > 0).all() and len(items) == 8
    assert strengths[:3] == pytest.approx([1 / 3, 0.5, 1.0])


def test_recency_halves(past: Histories) -> None:
    items, _, _ = past.of(0)
    row = past.matrix(Recency(1, "events"), equal=True)[[0]].toarray()[0]
    assert row[items] == pytest.approx(0.5 ** np.arange(7, -1, -1))


def test_extending_by_parts_is_the_same_as_at_once(events: Events, items: Items) -> None:
    names, whole = histories(events, items)
    cut = events.frame["time"] < events.frame["time"].median()
    early_names, early = histories(events.where(cut), items)
    late_names, late = histories(events.where(~cut), items)
    users = {name: number for number, name in enumerate(early_names)}
    both = extended(early, users, {name: n for n, name in enumerate(late_names)}, late)
    for number, name in enumerate(names):
        for a, b in zip(whole.of(number), both.of(users[name]), strict=True):
            assert a == pytest.approx(b)


def test_held_out_items_are_the_last_and_new(past: Histories) -> None:
    earlier, later = hold_out(past, 0.25)
    for user in range(len(past)):
        items, _, _ = past.of(user)
        assert set(later[user]) == set(items[-2:]) and earlier.of(user)[0].tolist() == items[:-2].tolist()


def test_ease_is_the_ridge_regression_it_says(past: Histories) -> None:
    ease = fit_ease(past, 5.0)
    x = past.matrix()[:, ease.active].toarray().astype(float)
    for item in range(0, len(ease.active), 7):
        others = np.delete(np.arange(len(ease.active)), item)
        a = x[:, others]
        direct = np.linalg.solve(a.T @ a + 5.0 * np.eye(len(others)), a.T @ x[:, item])
        assert ease.weights[others, item] == pytest.approx(direct, abs=1e-4)
    assert np.diag(ease.weights).tolist() == [0.0] * len(ease.active)


def test_item_knn_is_the_cosine(past: Histories) -> None:
    knn = fit_item_knn(past, k=5)
    x = past.matrix().toarray()
    norms = np.linalg.norm(x, axis=0)
    row = knn.similarities[[3]].toarray()[0]
    cosine = x[:, 3] @ x / np.where(norms * norms[3] > 0, norms * norms[3], 1)
    cosine[3] = 0
    assert np.flatnonzero(row).size <= 5 and row[row > 0] == pytest.approx(cosine[row > 0], abs=1e-5)
    assert row.max() == pytest.approx(cosine.max(), abs=1e-5)


def test_popular_counts_users_and_trending_knows_no_future(past: Histories) -> None:
    assert fit_popular(past).counts.sum() == 240
    trending = fit_trending(past)
    first = Histories(np.array([0, 1]), past.items[:1], np.array([past.times.min()]), past.strengths[:1], past.n_items)
    scores = trending.score(first)[0]
    assert (scores > 0).sum() <= (past.times <= past.times.min()).sum()


def test_transitions_go_one_way() -> None:
    past = history_of([0, 1, 2, 0, 1, 2], 4, times=[0, 1, 2, 3, 4, 5])
    one = fit_transitions(past, window=1, shrink=0.0)
    assert one.weights[0, 1] > 0 and one.weights[1, 0] == 0
    assert fit_transitions(past, window=1, both_ways=True, shrink=0.0).weights[1, 0] > 0


@pytest.mark.parametrize("kind", ["ease", "knn", "text", "text ease"])
def test_sources_put_the_users_topic_first(kind: str, past: Histories, vectors: np.ndarray) -> None:
    ease = fit_ease(past, 5.0)
    source = {
        "ease": ease,
        "knn": fit_item_knn(past),
        "text": TextTaste(vectors),
        "text ease": fit_text_ease(past, vectors, ease, 1.0),
    }[kind]
    scores = source.score(past.take(np.array([0])))[0]
    assert scores[HOME].mean() > scores[PER_TOPIC:].mean()
    few = np.array([0, 12, 25])
    assert source.score(past.take(np.array([0])), few)[0] == pytest.approx(scores[few], abs=1e-5)


def test_an_item_without_events_is_found_by_text_and_not_by_behaviour(past: Histories, vectors: np.ndarray) -> None:
    ease = fit_ease(past, 5.0)
    one = past.take(np.array([0]))
    assert ease.score(one)[0, COLD] == 0
    by_text = fit_text_ease(past, vectors, ease, 1.0).score(one)[0]
    assert by_text[COLD] > np.median(by_text[PER_TOPIC:])


def test_a_user_vector_follows_events_one_by_one(vectors: np.ndarray) -> None:
    running = Running(np.zeros(vectors.shape[1], dtype=np.float32), half_life=2.0)
    assert not running.unit.any()
    for item in (0, 1, 25, 26, 27, 28):
        running = running.after(vectors[item])
    assert np.linalg.norm(running.unit) == pytest.approx(1.0, abs=1e-5)
    assert running.unit @ vectors[28] > running.unit @ vectors[0]
    whole = user_vectors(history_of([25, 26, 27, 28], 30), vectors)[0]
    assert whole @ vectors[28] > whole @ vectors[0]


def test_vectors_that_do_not_fit_are_refused(vectors: np.ndarray) -> None:
    with pytest.raises(InputError, match="do not fit"):
        check_vectors(vectors, 7)
    broken = vectors.copy()
    broken[3, 0] = np.nan
    with pytest.raises(InputError, match="item 4"):
        check_vectors(broken, len(vectors))


def test_top_k_breaks_ties_by_number_and_marks_the_excluded() -> None:
    scores = np.array([[1.0, 3.0, 3.0, 3.0, 0.0]], dtype=np.float32)
    items, best = top_k(scores, 2)
    assert items.tolist() == [[1, 2]]
    items, best = top_k(scores, 5, np.array([[False, True, False, False, False]]))
    assert items[0, -1] == 1 and best[0, -1] == -np.inf


def test_gather_tells_who_brought_what(past: Histories) -> None:
    editorial = Editorial(np.array([29, 28]), 30)
    found = gather(past.take(np.array([0])), [fit_popular(past), editorial], per_source=3)[0]
    assert dict(zip(found.items.tolist(), found.sources, strict=True))[29] == ("editorial",)
    assert not seen_mask(past.take(np.array([0])))[0, found.items].any()


def test_the_hybrid_explains_its_scores_and_beats_its_parts(items: Items, past: Histories, vectors: np.ndarray) -> None:
    earlier, later = hold_out(past, 0.25)
    for ranker in ("blend", "lambdamart"):
        hybrid = fit_hybrid(items, earlier, vectors, Config(ranker=ranker, trees=20))  # type: ignore[arg-type]
        ranked, _ = hybrid.recommend(earlier, 5)
        hits = np.mean([np.isin(ranked[user], later[user]).sum() for user in range(len(past))])
        assert hits > 1.0  # by chance it would be 5 * 2 / 24
        _, shares = hybrid.contributions(earlier.take(np.array([0])), np.arange(30))
        assert np.isfinite(shares).all()
    blend = hybrid.with_weights({})
    _, shares = blend.contributions(earlier.take(np.array([0])), np.arange(30))
    assert shares.sum(axis=2)[0] == pytest.approx(blend.score(earlier.take(np.array([0])))[0], abs=1e-4)


@pytest.mark.parametrize("shortlist", [8, 100])
def test_the_top_is_that_of_all_scores(items: Items, past: Histories, vectors: np.ndarray, shortlist: int) -> None:
    hybrid = fit_hybrid(items, past, vectors, Config(ranker="lambdamart", trees=20, shortlist=shortlist))
    assert hybrid.ranker is not None
    for k in (5, 8, 20):
        ranked, scores = hybrid.recommend(past, k)
        plain, expected = top_k(hybrid.score(past), k, seen_mask(past))
        assert ranked.tolist() == plain.tolist() and scores == pytest.approx(expected, abs=1e-5)


def test_newcomers_lean_on_what_still_speaks(items: Items, past: Histories, vectors: np.ndarray) -> None:
    few = last_events(past, 2)
    assert few.lengths.tolist() == [2] * 30 and few.of(3)[0].tolist() == past.of(3)[0][-2:].tolist()
    blend = fit_newcomers(items, past, vectors, Config(), 2)
    assert sum(blend.weights) > 0 and min(blend.weights) >= 0


@pytest.mark.parametrize("candidates", [None, np.array([3, 0, 29, 3])])
def test_dense_weights_add_up_what_sparse_ones_do(past: Histories, candidates: np.ndarray | None) -> None:
    weights = fit_item_knn(past).similarities
    dense = dense_where_small(weights)
    assert dense is not None and len(dense.active) < past.n_items  # some items have no event
    history = past.matrix(Recency(2, "events"))
    plain = (history @ weights).toarray()
    plain = plain if candidates is None else plain[:, candidates]
    assert dense.sums(history, candidates) == pytest.approx(plain, abs=1e-6)


def test_weights_stay_sparse_where_most_are_nothing() -> None:
    ring = csr_array((np.ones(100, np.float32), (np.arange(100), np.roll(np.arange(100), 1))), shape=(100, 100))
    assert dense_where_small(ring) is None
    assert dense_where_small(csr_array((5, 5), dtype=np.float32)) is None


def test_what_has_faded_to_nothing_is_left_out() -> None:
    long = history_of(np.arange(300) % 200, 200)
    assert long.matrix(Recency(5, "events")).nnz < long.matrix().nnz == 200
    assert long.matrix(Recency(0.5, "share")).nnz == 200


def test_main_directions_keep_the_cosines_that_vary() -> None:
    random = np.random.default_rng(0)
    plane, _ = np.linalg.qr(random.normal(size=(20, 3)))
    texts = centred((random.normal(size=(50, 3)) @ plane.T + 0.01 * random.normal(size=(50, 20))).astype(np.float32))
    directions = main_directions(texts, most=3)
    assert directions.shape == (20, 3) and directions.T @ directions == pytest.approx(np.eye(3), abs=1e-5)
    along = texts @ directions
    assert along @ along.T == pytest.approx(texts @ texts.T, abs=0.01)
    for few in (texts[:11], texts[:, :3]):
        assert main_directions(few, most=3).tolist() == np.eye(few.shape[1]).tolist()


@pytest.mark.parametrize("candidates", [[7, 3], [9, 0, 1, 2, 3, 4, 4], list(range(10))])
def test_products_of_some_are_some_of_the_products(candidates: list[int]) -> None:
    random = np.random.default_rng(0)
    users, items = random.normal(size=(2, 4)).astype(np.float32), random.normal(size=(10, 4)).astype(np.float32)
    assert products(users, items, np.array(candidates)) == pytest.approx((users @ items.T)[:, candidates], abs=1e-6)
