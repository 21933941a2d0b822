from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from verticals.finance.alerts.rules import Inhibition, Matcher, duration, load_rules, parse_rules

RULE = {"id": "negative-company", "scope": "company", "measure": "negative_share"}


@given(st.integers(0, 50), st.integers(0, 23), st.integers(0, 59))
def test_a_duration_is_the_sum_of_its_parts(days: int, hours: int, minutes: int) -> None:
    assert duration(f"{days}d{hours}h {minutes}m") == timedelta(days=days, hours=hours, minutes=minutes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rules": [{**RULE, "window": "six hours"}]}, "book: rules.1.window: 'six hours' is not a duration"),
        ({"rules": [{**RULE, "sensitivty": 0.9}]}, "book: rules.1.sensitivty: Extra inputs are not permitted"),
        ({"rules": [{**RULE, "scope": "planet"}]}, "book: rules.1.scope: Input should be 'topic'"),
        ({"rules": [RULE, RULE]}, "rule 'negative-company' is there twice"),
        ({"receivers": [{"name": "a", "url": ""}]}, "book: receivers.1.url: String should have at least 4"),
        ({"inhibitions": [{"source": [], "target": []}]}, "book: inhibitions.1.source: Tuple should have at least 1"),
    ],
)
def test_a_mistake_names_its_place(values: dict, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_rules(values, "book")
    assert message in str(error.value)


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text("[[rules]\n")
    with pytest.raises(InputError, match=r"rules\.toml: not valid TOML"):
        load_rules(file)
    with pytest.raises(InputError, match="cannot be read"):
        load_rules(tmp_path / "none.toml")


def test_a_matcher_sees_every_value_of_a_label() -> None:
    assert Matcher(label="source", value="b").matches({"source": ["a", "b"]})
    assert Matcher(label="source", value="b.*", regex=True).matches({"source": "bravo"})
    assert not Matcher(label="source", value="b").matches({"topic": "b"})
    with pytest.raises(ValueError, match="not a regular expression"):
        Matcher(label="source", value="(", regex=True)


def test_an_inhibition_wants_the_labels_equal() -> None:
    outage = Matcher(label="scope", value="source")
    topic = Matcher(label="scope", value="topic")
    rule = Inhibition(source=(outage,), target=(topic,), equal=("source",))
    down = {"scope": "source", "source": "a"}
    assert rule.mutes(down, {"scope": "topic", "source": ["a", "b"]})
    assert not rule.mutes(down, {"scope": "topic", "source": ["b"]})
    assert not rule.mutes(down, {"scope": "topic"})
