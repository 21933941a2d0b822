import pytest

from verticals.support.followup import leans_on_history, with_history
from verticals.support.replies import Turn

HISTORY = [Turn("customer", "how long does a card take?"), Turn("agent", "5 days.")]


@pytest.mark.parametrize(
    "text", ["and to Germany?", "how much does it cost", "what about express", "Spain", "那要多久？"]
)
def test_short_questions_that_point_back_lean(text: str) -> None:
    assert leans_on_history(text, HISTORY)
    assert not leans_on_history(text, [])
    assert not leans_on_history(text, [Turn("agent", "Welcome!")])


@pytest.mark.parametrize(
    "text",
    ["please close my account for good today", "how do I change the PIN of my card when I am abroad and it is blocked"],
)
def test_whole_questions_stand_alone(text: str) -> None:
    assert not leans_on_history(text, HISTORY)


def test_only_what_the_customer_said_is_joined() -> None:
    assert with_history("and to Germany?", HISTORY) == "how long does a card take? and to Germany?"
    many = [Turn("customer", f"q{n}") for n in range(5)]
    assert with_history("x", many) == "q3 q4 x"
