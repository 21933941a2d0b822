from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from verticals.finance.alerts.rules import Rule
from verticals.finance.alerts.states import AlertState, Observation, Step, advance

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULE = Rule(
    id="r",
    scope="topic",
    measure="volume",
    minimum_stories=3,
    pending=2 * HOUR,
    recovery=3 * HOUR,
    repeat=10 * HOUR,
    nodata=4 * HOUR,
    flap_limit=3,
)
WHAT = st.sampled_from(["calm", "surge", "few", "nodata", "error"])


def seen(hour: int, what: str) -> Observation:
    at = START + hour * HOUR
    if what in ("nodata", "error"):
        return Observation(at, what)  # type: ignore[arg-type]
    return Observation(at, anomaly=what != "calm", score=0.9, stories=1 if what == "few" else 8, evidence=(f"s{hour}",))


def run(plan: str, rule: Rule = RULE, muted: frozenset[int] = frozenset()) -> list[Step]:
    names = {".": "calm", "!": "surge", "f": "few", "-": "nodata", "x": "error"}
    steps, state = [], AlertState()
    for hour, sign in enumerate(plan):
        steps.append(advance(state, seen(hour, names[sign]), rule, muted=hour in muted))
        state = steps[-1].state
    return steps


def statuses(steps: list[Step]) -> str:
    short = {
        "normal": "N",
        "pending": "P",
        "firing": "F",
        "recovering": "r",
        "resolved": "R",
        "nodata": "D",
        "error": "E",
    }
    return "".join(short[step.state.status] for step in steps)


def told(steps: list[Step]) -> list[tuple[int, str]]:
    return [(hour, kind) for hour, step in enumerate(steps) for kind in step.notifications]


def test_a_surge_must_last_and_calm_must_last() -> None:
    steps = run("..!!!!.!....." + "..")
    assert statuses(steps) == "NNPPFFrFrrrRNNN"
    assert told(steps) == [(4, "firing"), (11, "resolved")]
    assert steps[5].state.evidence == ("s2", "s3", "s4", "s5")


def test_a_short_or_small_surge_is_never_told() -> None:
    assert told(run(".!!.ffffffff.")) == []


def test_a_reminder_comes_until_somebody_acknowledges() -> None:
    steps = run("!" * 26)
    assert told(steps) == [(2, "firing"), (12, "reminder"), (22, "reminder")]
    seen_by_someone = replace(steps[5].state, acknowledged=START)
    for hour in range(6, 40):
        step = advance(seen_by_someone, seen(hour, "surge"), RULE)
        seen_by_someone = step.state
        assert step.notifications == ()


def test_silence_of_a_source_is_not_calm() -> None:
    steps = run("!!!!------!!.....")
    assert statuses(steps) == "PPFFFFFFDDFFrrrRN"  # four hours without data: NoData, and firing is remembered
    assert told(steps) == [(2, "firing"), (15, "resolved")]


def test_no_data_on_a_quiet_alert_is_told_and_taken_back() -> None:
    steps = run("..------..")
    assert told(steps) == [(6, "nodata"), (8, "resolved")]
    assert statuses(run("..xxxxxx..")) == "NNNNNNEENN"


def test_what_was_muted_is_told_when_the_silence_ends() -> None:
    steps = run("!!!!!!.....", muted=frozenset(range(4)))
    assert told(steps)[0] == (4, "firing")
    assert [step.muted for step in steps[2:4]] == [("firing",), ("firing",)]
    # an episode that nobody heard of needs no end
    assert told(run("!!!!......", muted=frozenset(range(5)))) == [(5, "firing"), (7, "resolved")]
    assert told(run("!!!!......", muted=frozenset(range(20)))) == []


def test_an_alert_that_comes_and_goes_is_damped_and_told_again_when_calm() -> None:
    rule = RULE.model_copy(update={"pending": timedelta(0), "recovery": timedelta(0), "flap_window": 20 * HOUR})
    steps = run("!..!..!..!..!..!..", rule)
    fired = [hour for hour, kind in told(steps) if kind == "firing"]
    assert fired == [0, 3, 6]
    assert {hour for hour, step in enumerate(steps) if "firing" in step.muted} >= {9, 12, 15}
    late = run("!..!..!..!" + "." * 40 + "!", rule)
    assert told(late)[-1] == (50, "firing")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(WHAT, st.booleans()), max_size=60))
def test_whatever_comes_the_story_told_is_consistent(plan: list[tuple[str, bool]]) -> None:
    state, open_for_receivers, episodes_told = AlertState(), False, []
    for hour, (what, muted) in enumerate(plan):
        step = advance(state, seen(hour, what), RULE, muted=muted)
        again = advance(step.state, seen(hour, what), RULE)
        assert again == Step(step.state), "the same observation twice changes nothing"
        assert AlertState.from_dict(step.state.to_dict()) == step.state
        assert not (muted and step.notifications)
        for kind in step.notifications:
            if kind == "firing":
                episodes_told.append(step.state.episode)
                open_for_receivers = True
            elif kind == "reminder":
                assert open_for_receivers
            elif kind == "resolved":
                open_for_receivers = False
        state = step.state
        # an unmuted firing alert that is not flapping is known to the receivers, always
        if state.status == "firing" and not muted and not step.muted:
            assert state.told == "firing"
        assert state.status != "firing" or (state.fired is not None and state.started is not None)
    assert len(episodes_told) == len(set(episodes_told)), "one firing message an episode"


@settings(max_examples=100, deadline=None)
@given(st.lists(WHAT, max_size=50), st.integers(1, 7))
def test_older_observations_never_count(plan: list[str], back: int) -> None:
    state = AlertState()
    for hour, what in enumerate(plan):
        state = advance(state, seen(hour, what), RULE).state
        assert advance(state, seen(hour - back, "surge"), RULE) == Step(state)
