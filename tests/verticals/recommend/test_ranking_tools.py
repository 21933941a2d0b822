"""Variety, rules, metrics, probabilities and off-policy estimates against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from verticals.recommend import metrics
from verticals.recommend.diversity import calibrated, dpp, mmr, unit_scores, user_mix
from verticals.recommend.evaluation import compare, impression_auc, make_bench, ratio
from verticals.recommend.histories import history_of
from verticals.recommend.items import Items
from verticals.recommend.off_policy import estimate, position_propensities
from verticals.recommend.popularity import Popular
from verticals.recommend.probability import Probability, fit_all, fit_probability
from verticals.recommend.ruled import apply_rules
from verticals.recommend.rules import Rule, check_rules, parse_rules

VECTORS = np.array([[1, 0], [1, 0], [0, 1], [0.8, 0.6]], dtype=np.float32)
SCORES = np.array([1.0, 0.9, 0.5, 0.2])


def test_full_accuracy_is_the_rankers_order() -> None:
    for rerank in (mmr, dpp):
        assert rerank(SCORES, VECTORS, 4, 1.0).tolist() == [0, 1, 2, 3]


def test_mmr_takes_what_is_unlike_before_the_twin() -> None:
    assert mmr(SCORES, VECTORS, 2, 0.5).tolist() == [0, 2]
    assert dpp(SCORES, VECTORS, 2, 0.3).tolist() == [0, 2]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12),
    st.floats(0, 1),
    st.integers(0, 14),
    st.sampled_from([mmr, dpp]),
)
def test_rerankers_return_each_position_once(values: list[float], dial: float, k: int, rerank: object) -> None:
    scores = np.array(values)
    vectors = np.random.default_rng(len(values)).normal(size=(len(values), 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = rerank(scores, vectors, k, dial).tolist()  # type: ignore[operator]
    assert len(found) == min(k, len(values)) == len(set(found))


def test_calibrated_lists_follow_the_past() -> None:
    table = np.eye(2)
    wanted = user_mix(table[[0, 0, 0, 1]], np.ones(4))
    order = calibrated(np.array([1.0, 0.9, 0.8, 0.7, 0.1]), table[[0, 0, 0, 0, 1]], wanted, 4, 0.1)
    assert 4 in order.tolist() and wanted.tolist() == [0.75, 0.25]


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="score 2"):
        mmr(np.array([1.0, np.nan]), VECTORS[:2], 2)
    assert unit_scores(np.array([2.0, -np.inf, 4.0])).tolist() == [0.0, -1e6, 1.0]


def test_pins_caps_and_quotas_hold_together(items: Items) -> None:
    numbers = np.arange(30)
    scores = np.linspace(1, 0, 30)  # home first, then travel, then invest
    rules = [
        Rule(kind="pin", ids=("invest-9",), position=3),
        Rule(kind="cap", count=2, each_category=True, top=6),
        Rule(kind="quota", category="travel", count=1, top=4),
    ]
    ruled = apply_rules(scores, numbers, items, rules, 6)
    names = [items.ids[number] for number in numbers[ruled.order]]
    groups = [name.split("-")[0] for name in names]
    assert names[2] == "invest-9" and "travel" in groups[:4]
    assert max(groups.count(group) for group in set(groups)) <= 2
    assert 0 < ruled.ndcg < 1 and ruled.score_loss > 0 and ruled.unmet == ()


def test_a_rule_the_candidates_cannot_meet_is_told(items: Items) -> None:
    rules = [Rule(kind="quota", category="travel", count=2, top=3), Rule(kind="pin", ids=("home-9",), position=1)]
    ruled = apply_rules(np.array([1.0, 0.5, 0.2]), np.array([0, 1, 10]), items, rules, 3)
    assert len(ruled.unmet) == 2


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([{"kind": "pin", "ids": ["home-1"], "position": 1}] * 2, "2 pins"),
        ([{"kind": "boost", "category": "home"}, {"kind": "bury", "ids": ["home-1"]}], "boosted and buried"),
        ([{"kind": "quota", "category": "home", "count": 11, "top": 20}], "only 10 items"),
        (
            [{"kind": "quota", "category": c, "count": 3, "top": 5} for c in ("home", "travel")],
            "ask for 6 of the first 5",
        ),
    ],
)
def test_contradictions_are_named(rules: list[dict[str, object]], message: str, items: Items) -> None:
    with pytest.raises(InputError, match=message):
        check_rules(parse_rules(rules), items)


def test_metrics_by_hand() -> None:
    ranked = np.array([[3, 1, 2, -1]])
    hits = metrics.hits_of(ranked, [np.array([1, 9])], 10)
    assert hits.tolist() == [[False, True, False, False]]
    two = np.array([2])
    assert metrics.ndcg(hits, two, 3)[0] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    assert metrics.recall(hits, two, 3)[0] == 0.5 and metrics.mrr(hits, 3)[0] == 0.5
    assert metrics.average_precision(hits, two, 3)[0] == pytest.approx(0.25)
    assert metrics.coverage(ranked, 3, 10) == 0.3
    assert metrics.novelty(np.array([[0, 1]]), np.array([4.0, 1.0]), 8, 2)[0] == pytest.approx((1 + 3) / 2)
    assert metrics.diversity(np.array([[0, 1, 2]]), VECTORS, 3)[0] == pytest.approx(1 - 1 / 3)


def test_auc_takes_ties_as_half() -> None:
    found = metrics.auc([np.array([3.0, 1.0, 1.0])], [np.array([True, True, False])])
    assert found[0] == pytest.approx(0.75)
    auc = impression_auc([np.array([1.0, 0.0])] * 4, [np.array([True, False])] * 4, ["a", "a", "b", "c"], 20)
    assert auc.value == 1.0
    with pytest.raises(InputError, match="No impression"):
        impression_auc([np.array([1.0])], [np.array([True])], ["a"])


def test_a_bench_ranks_without_what_was_had() -> None:
    past = history_of([0, 1], 5)
    bench = make_bench(past, [np.array([3])])
    good = bench.judge(Popular(np.array([9.0, 9, 0, 5, 0])), resamples=0)
    bad = bench.judge(Popular(np.array([9.0, 9, 5, 0, 3])), resamples=0)
    assert good.ranked[0, :3].tolist() == [3, 2, 4] and good.ranked[0, 3] == -1
    assert good.values["ndcg@10"].value == 1.0 and compare(good, bad, resamples=50).difference.value > 0
    assert ratio(good, bad, resamples=50).value == pytest.approx(np.log2(4))


def test_probabilities_are_calibrated_and_survive_json() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=6000)
    happened = random.random(6000) < 1 / (1 + np.exp(-(2 * scores - 1)))
    for method in ("platt", "isotonic"):
        curve = fit_probability(scores, happened, "click", method=method)  # type: ignore[arg-type]
        assert curve.ece is not None and curve.ece < 0.04
        assert curve.apply([0.5])[0] == pytest.approx(0.5, abs=0.06)
        assert (np.diff(curve.apply(np.linspace(-3, 3, 50))) >= 0).all()
        assert Probability.from_dict(curve.to_dict()).apply([0.1]) == pytest.approx(curve.apply([0.1]))
    assert set(fit_all(scores, {"click": happened, "buy": np.zeros(6000)})) == {"click"}
    with pytest.raises(InputError, match="at least 10"):
        fit_probability(scores[:5], happened[:5], "click")


def test_weights_undo_sampling() -> None:
    random = np.random.default_rng(1)
    happened = np.concatenate([np.ones(200), np.zeros(400)])
    curve = fit_probability(random.normal(size=600), happened, "click", np.where(happened > 0, 1, 49.5))
    assert curve.base_rate == pytest.approx(0.01, abs=1e-4)


def test_ips_finds_the_value_of_a_policy_it_never_ran() -> None:
    random = np.random.default_rng(0)
    logged, wanted, worth = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.1, 0.8]), np.array([0.1, 0.3, 0.6])
    shown = random.choice(3, 20_000, p=logged)
    reward = (random.random(20_000) < worth[shown]).astype(float)
    found = estimate(reward, logged[shown], wanted[shown], resamples=200)
    truth = float(wanted @ worth)
    assert found.ips.low < truth < found.ips.high and found.snips.value == pytest.approx(truth, abs=0.03)
    with pytest.raises(InputError, match="row 1: propensity"):
        estimate([1.0], [0.0], [0.5])


def test_positions_are_looked_at_less_the_lower_they_stand() -> None:
    looks = position_propensities([1, 2, 4], [1, 1, 0], eta=1.0)
    assert looks.tolist() == [1.0, 0.5, 0.25]
    with pytest.raises(InputError, match="count from 1"):
        position_propensities([0], [1])
