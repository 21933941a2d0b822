import pytest

from tests.verticals.support.conftest import HashEncoder
from verticals.support.dialogues.logs import Dialogue, Message
from verticals.support.dialogues.pairs import learn
from verticals.support.dialogues.small_talk import is_small_talk, passes_on

FIRST = "It arrives within five working days."
SECOND = "Please tap Not received under Cards and we post another one."


def talk(*said: tuple[str, str] | tuple[str, str, bool], name: str = "d", **about: object) -> Dialogue:
    messages = tuple(Message(one[0], one[1], None, one[2] if len(one) > 2 else None) for one in said)  # type: ignore[arg-type,misc]
    return Dialogue(name, messages, **about)  # type: ignore[arg-type]


def test_the_accepted_answer_wins_over_a_later_one() -> None:
    found = learn([talk(("customer", "where is my card?"), ("agent", FIRST, True), ("agent", SECOND))])
    assert [(pair.question, pair.answer) for pair in found.pairs] == [("where is my card?", FIRST)]


def test_a_rejected_answer_is_never_learned_from() -> None:
    said = (("customer", "where is my card?"), ("agent", FIRST, False), ("agent", SECOND))
    assert [pair.answer for pair in learn([talk(*said, outcome="resolved")]).pairs] == [SECOND]
    assert not learn([talk(*said[:2], outcome="resolved")]).pairs


def test_the_question_is_what_was_asked_first_not_the_reply_to_the_agents_question() -> None:
    said = (
        ("customer", "hello"),
        ("customer", "my card was refused today"),
        ("agent", "Is there a snowflake beside it?"),
        ("customer", "yes there is a snowflake"),
        ("agent", "Then tap Unfreeze and it works again.", True),
    )
    (pair,) = learn([talk(*said)]).pairs
    assert (pair.question, pair.answer) == ("my card was refused today", "Then tap Unfreeze and it works again.")


def test_a_second_question_is_a_second_pair() -> None:
    said = (
        ("customer", "where is my card?"),
        ("agent", FIRST, True),
        ("customer", "and how do I change the pin?"),
        ("agent", "Open Cards and tap Change PIN.", True),
    )
    assert [pair.question for pair in learn([talk(*said)]).pairs] == [
        "where is my card?",
        "and how do I change the pin?",
    ]


@pytest.mark.parametrize("outcome", ["handed_over", "abandoned"])
def test_what_nobody_settled_stays_open(outcome: str) -> None:
    found = learn([talk(("customer", "can I get a loan?"), ("agent", "I am passing this on."), outcome=outcome)])
    assert not found.pairs
    assert [(one.question, one.dialogue) for one in found.unanswered] == [("can I get a loan?", "d")]


def test_the_best_rated_answer_of_several_conversations_is_kept() -> None:
    question = "where is my card?"
    dialogues = [
        talk(("customer", question), ("agent", FIRST), name="a", outcome="resolved", csat=3),
        talk(("customer", question.upper()), ("agent", SECOND), name="b", outcome="resolved", csat=5),
    ]
    for encoder in (None, HashEncoder()):
        found = learn(dialogues, encoder)
        assert [(pair.answer, pair.dialogues) for pair in found.pairs] == [(SECOND, ("b", "a"))]
        assert found.merged == 1


def test_low_ratings_are_not_learned_from() -> None:
    assert not learn([talk(("customer", "where is it?"), ("agent", FIRST), outcome="resolved", csat=1)]).pairs


def test_personal_data_goes_before_anything_is_kept() -> None:
    said = (
        ("customer", "send my card to jo@example.com please"),
        ("agent", f"Dear Jo, {FIRST} call 07700 900123", True),
    )
    found = learn([talk(*said), talk(("customer", "IBAN GB82 WEST 1234 5698 7654 32 blocked, why?"), name="e")])
    (pair,) = found.pairs
    texts = f"{pair.question} {pair.answer} {found.unanswered[0].question}"
    assert "example.com" not in texts and "07700" not in texts and "WEST" not in texts
    assert found.redacted["email"] == 1 and found.redacted["phone"] == 1 and found.redacted["iban"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "hi",
        "Hello!",
        "thanks for yesterday, all good now",
        "hello? anybody there",
        "你好，在吗",
        "谢谢您！",
        "ok",
        "[name]",
    ],
)
def test_small_talk(text: str) -> None:
    assert is_small_talk(text)


@pytest.mark.parametrize(
    "text", ["pdf statement", "hi, my card is gone", "isa account?", "我的卡丢了", "joint account??"]
)
def test_no_small_talk(text: str) -> None:
    assert not is_small_talk(text)


def test_passing_on_is_no_answer() -> None:
    assert passes_on("I am passing this to a colleague.") and passes_on("Let me ask a colleague")
    assert not passes_on("The card is free of charge and takes five working days.")
