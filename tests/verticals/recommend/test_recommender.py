"""The facade: lists for known and unknown people, what is refused, and what follows a change at once."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from core.settings import PROJECT_ROOT
from tests.verticals.recommend.conftest import WordHashes, event_rows, item_rows, make_events, make_items
from verticals.recommend import saved
from verticals.recommend.recommender import Recommender
from verticals.recommend.rules import Rule
from verticals.recommend.settings import RecommendSettings
from verticals.recommend.training import train

EVERY = [row["id"] for row in item_rows()]


@pytest.fixture
def recommender(trained: RecommendSettings) -> Recommender:
    return Recommender.open(trained)


def topics(found: object, count: int) -> list[str]:
    return [row.category for row in found.rows[:count]]  # type: ignore[attr-defined]


def test_before_training_it_says_how(settings: RecommendSettings) -> None:
    with pytest.raises(InputError, match="headwater recommend train"):
        Recommender.open(settings)


def test_a_known_user_gets_their_topic_first_with_reasons(recommender: Recommender) -> None:
    found = recommender.score(EVERY, "u00")
    assert found.basis == "history" and [row.rank for row in found.rows] == list(range(1, 31))
    assert topics(found, 6) == ["home"] * 6
    reason = found.rows[0].reason
    assert reason is not None and reason.closest and dict(reason.contributions)
    total = sum(value for _, value in reason.contributions)
    assert total == pytest.approx(found.rows[0].score, abs=1e-3)
    for row in found.rows:
        assert all(0 <= value <= 1 for value in row.probabilities.values())


def test_probabilities_rise_with_the_score(recommender: Recommender) -> None:
    found = recommender.score(EVERY, "u00")
    clicks = [row.probabilities["click"] for row in found.rows]
    assert clicks == sorted(clicks, reverse=True) and clicks[0] > clicks[-1]


def test_recommend_leaves_out_what_was_had(recommender: Recommender) -> None:
    had = {row["item"] for row in recommender.profile("u00", 100)["recent"]}
    found = recommender.recommend("u00", 10)
    assert len(found.rows) == 10 and not had & {row.item for row in found.rows}
    assert not any(row.seen for row in found.rows)


def test_an_unknown_user_is_a_newcomer_and_told(recommender: Recommender) -> None:
    found = recommender.recommend("nobody", 5)
    assert found.basis == "popular" and "newcomer" in found.notes[0] and found.ranker.endswith("newcomers")


def test_an_interest_in_words_ranks_for_somebody_unknown(recommender: Recommender) -> None:
    found = recommender.recommend(k=5, interest="flight hostel beach train", weights={"text": 5.0})
    assert found.basis == "interest" and topics(found, 5) == ["travel"] * 5


def test_a_history_by_hand_counts_as_a_history(recommender: Recommender) -> None:
    found = recommender.recommend(k=4, history=["invest-0", "invest-1", "invest-2", "invest-3"])
    assert found.basis == "history" and topics(found, 4) == ["invest"] * 4


def test_weights_by_hand_change_the_order_and_not_the_probabilities(recommender: Recommender) -> None:
    plain = recommender.score(EVERY, "u00")
    zero = dict.fromkeys(plain.weights, 0.0)
    short = recommender.score(EVERY, "u00", weights={**zero, "minutes": 1.0})
    assert short.rows[0].item.endswith("-9") and short.rows[-1].item.endswith("-0")
    before = {row.item: row.probabilities for row in plain.rows}
    assert all(before[row.item] == row.probabilities for row in short.rows)


def test_variety_makes_the_first_places_less_alike(recommender: Recommender) -> None:
    plain, varied = (recommender.score(EVERY, "u00", variety=dial) for dial in (0.0, 0.8))
    assert varied.ild > plain.ild and {r.item for r in varied.rows} == {r.item for r in plain.rows}
    for method in ("dpp", "calibrated"):
        again = recommender.score(EVERY, "u00", variety=0.5, method=method)  # type: ignore[arg-type]
        assert sorted(row.item for row in again.rows) == sorted(EVERY)


def test_rules_are_applied_and_their_cost_told(recommender: Recommender) -> None:
    rules = [
        Rule(kind="exclude", category="invest"),
        Rule(kind="pin", ids=("travel-3",), position=2, name="campaign"),
    ]
    found = recommender.score(EVERY, "u00", rules=rules)
    assert found.rows[1].item == "travel-3" and found.rows[1].rules == ("campaign",)
    assert "invest" not in topics(found, 30) and 0 < found.rules["ndcg"] < 1
    assert any("excluded" in note for note in found.notes)


def test_contradictory_rules_are_refused(recommender: Recommender) -> None:
    rules = [Rule(kind="pin", ids=("home-1",), position=1), Rule(kind="exclude", category="home")]
    with pytest.raises(InputError, match="pinned and excluded"):
        recommender.score(EVERY, "u00", rules=rules)


def test_a_candidate_listed_twice_counts_once_and_is_told(recommender: Recommender) -> None:
    found = recommender.score(["home-1", "home-2", "home-1"], "u00")
    assert len(found.rows) == 2 and "'home-1'" in found.notes[0]


@pytest.mark.parametrize(
    ("candidates", "message"),
    [([], "empty"), (["home-1", "gone"], "candidates, entry 2: there is no item 'gone'"), (["home-1"] * 21, "at most")],
)
def test_lists_that_cannot_be_scored_are_refused(recommender: Recommender, candidates: list[str], message: str) -> None:
    recommender.settings = recommender.settings.model_copy(update={"max_candidates": 20})
    with pytest.raises(InputError, match=message):
        recommender.score(candidates, "u00")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"variety": 1.5}, "variety"),
        ({"variety": float("nan")}, "variety"),
        ({"weights": {"tide": 1.0}}, "'tide'"),
        ({"weights": {"text": float("nan")}}, "not a number"),
        ({"interest": "  "}, "blank"),
        ({"history": ["gone"]}, "'gone'"),
        ({"history": ["home-1"], "user": "u00"}, "not both"),
        ({"method": "magic", "variety": 0.5}, "magic"),
    ],
)
def test_odd_requests_are_refused_in_a_sentence(
    recommender: Recommender, asked: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        recommender.recommend(**{"k": 5, **asked})  # type: ignore[arg-type]


def test_an_empty_history_is_served_by_popularity(recommender: Recommender) -> None:
    assert recommender.recommend(k=3, history=[]).basis == "popular"


def test_a_new_item_is_rankable_at_once_and_only_it_is_encoded(recommender: Recommender, encoder: WordHashes) -> None:
    encoder.encoded.clear()
    row = {
        **item_rows()[0],
        "id": "home-new",
        "title": "mortgage deposit lender flat",
        "published": "2026-03-01T00:00Z",
    }
    recommender.upsert_items(make_items([row]))
    assert len(encoder.encoded) == 1 and "lender" in encoder.encoded[0]
    found = recommender.score([*EVERY, "home-new"], "u00")
    assert {row.item for row in found.rows} == {*EVERY, "home-new"}
    assert "home-new" in [row["item"] for row in recommender.similar("home-1", 29)]
    assert recommender.search("mortgage deposit lender flat", 3)[0]["item"] == "home-new"


def test_an_edited_item_moves(recommender: Recommender) -> None:
    row = {**item_rows()[0], "title": "flight hostel beach passport", "description": "about travel", "tags": ["travel"]}
    recommender.upsert_items(make_items([row]))
    assert {one["item"].split("-")[0] for one in recommender.similar("home-0", 4)} == {"travel"}


def test_events_move_a_user_without_training(recommender: Recommender) -> None:
    rows = [
        {"user": "fresh", "item": f"travel-{number}", "event": "like", "time": f"2026-04-0{number + 1}T00:00Z"}
        for number in range(4)
    ]
    assert recommender.recommend("fresh", 3).basis == "popular"
    recommender.append_events(make_events(rows))
    found = recommender.recommend("fresh", 3)
    assert found.basis == "history" and topics(found, 3) == ["travel"] * 3
    assert recommender.profile("fresh")["events"] == 4


def test_events_of_unknown_items_and_floods_are_refused_whole(recommender: Recommender) -> None:
    before = recommender.store.counts()
    good = {"user": "a", "item": "home-1", "event": "view", "time": "2026-04-01T00:00Z"}
    with pytest.raises(InputError, match="'gone'"):
        recommender.append_events(make_events([good, {**good, "item": "gone"}]))
    recommender.settings = recommender.settings.model_copy(update={"max_events": 1})
    with pytest.raises(InputError, match="at most 1"):
        recommender.append_events(make_events([good, {**good, "item": "home-2"}]))
    assert recommender.store.counts() == before


def test_another_process_sees_what_was_added(trained: RecommendSettings) -> None:
    one, other = Recommender.open(trained), Recommender.open(trained)
    one.upsert_items(make_items([{**item_rows()[0], "id": "home-late"}]))
    assert other.score(["home-late", "home-1"], "u00").rows
    version = train(trained).version
    assert other.score(["home-1"], "u00").model == version


def test_scoring_goes_on_while_items_and_events_come_in(recommender: Recommender) -> None:
    failures: list[Exception] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                found = recommender.score(EVERY, "u00")
                assert len(found.rows) == 30 and np.isfinite([row.score for row in found.rows]).all()
            except Exception as error:
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    for number in range(6):
        recommender.upsert_items(make_items([{**item_rows()[number], "id": f"extra-{number}"}]))
        event = {"user": f"w{number}", "item": f"extra-{number}", "event": "buy", "time": "2026-05-01T00:00Z"}
        recommender.append_events(make_events([event]))
    stop.set()
    for thread in readers:
        thread.join()
    assert not failures
    assert len(recommender.score([*EVERY, *(f"extra-{n}" for n in range(6))], "w3").rows) == 36


def test_updates_one_by_one_give_what_opening_anew_gives(recommender: Recommender, trained: RecommendSettings) -> None:
    recommender.upsert_items(make_items([{**item_rows()[2], "id": "extra"}]))
    for number in range(3):
        event = {"user": "u00", "item": "extra", "event": "like", "time": f"2026-05-0{number + 1}T00:00Z"}
        recommender.append_events(make_events([event]))
    candidates = [*EVERY, "extra"]
    for user in ("u00", "u01"):
        grown, fresh = recommender.score(candidates, user), Recommender.open(trained).score(candidates, user)
        assert [r.item for r in grown.rows] == [r.item for r in fresh.rows]
        assert [r.score for r in grown.rows] == pytest.approx([r.score for r in fresh.rows], abs=1e-4)


KILLED = """
import os, signal
from verticals.recommend import saved
from verticals.recommend.settings import recommend_settings
from verticals.recommend.training import train
from verticals.recommend.vectors import ItemVectors
from tests.verticals.recommend.conftest import WordHashes
made = WordHashes()
ItemVectors.model = property(lambda self: made)
saved.json.dumps = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
train(recommend_settings())
"""


def test_kill_in_training_leaves_the_version_before_in_use(trained: RecommendSettings, private_var: Path) -> None:
    before = Recommender.open(trained).score(EVERY, "u00")
    environment = {**os.environ, "HEADWATER_VAR": str(private_var), "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, cwd=PROJECT_ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    after = Recommender.open(trained).score(EVERY, "u00")
    assert after.model == before.model and [r.score for r in after.rows] == [r.score for r in before.rows]
    assert train(trained).version == before.model + 1


def test_training_needs_items_and_events(settings: RecommendSettings) -> None:
    from verticals.recommend.store import Store

    with pytest.raises(InputError, match="no items"):
        train(settings)
    store = Store.open(settings.core)
    store.upsert_items(make_items())
    store.append_events(make_events(event_rows(users=2)))
    with pytest.raises(InputError, match="too few"):
        train(settings)


def test_a_damaged_version_is_named(trained: RecommendSettings) -> None:
    folder = saved.current(trained.folder)
    assert folder is not None
    (folder / "model.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="train again"):
        Recommender.open(trained)


def test_two_configurations_are_judged_on_the_same_users(trained: RecommendSettings) -> None:
    from verticals.recommend.comparing import Configuration, compare_on_held_out, held_out, variety_curve

    given = held_out(trained)
    found = compare_on_held_out(given, [Configuration("blend"), Configuration("popular")], 50)
    assert found["users"] == 30 and found["difference"]["difference"]["value"] > 0
    curve = variety_curve(given, "blend", (0.0, 0.9))
    assert curve[1]["ndcg@10"] < curve[0]["ndcg@10"] and curve[1]["variety"] == 0.9
    with pytest.raises(InputError, match="magic"):
        variety_curve(given, "magic")
