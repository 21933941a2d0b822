"""Personal data of a question and of a conversation never reach what a reply carries."""

import pytest

from tests.verticals.support.conftest import MakeBot
from verticals.support.bot import Bot
from verticals.support.replies import Turn

SECRETS = [
    "4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009", "6011000000000004", "4242424242424242",
    "GB29 NWBK 6016 1331 9268 19", "DE89370400440532013000", "FR14 2004 1010 0505 0001 3M02 606", "NL91ABNA0417164300",
    "jane.doe@mail.example.com", "x_y+tag@bank.co.uk", "jane(at)mail.example.com", "UPPER.CASE@MAIL.EXAMPLE.ORG",
    "+44 20 7946 0958", "07700 900123", "+1 (212) 555-0199", "+86 138 0013 8000", "0049 30 901820",
]  # fmt: skip
FRAMES = [
    "my card has not arrived, reach me at {}, the delivery is late",
    "which movie has good guitar music? my details: {}",
    "close the account under profile, contact {}",
    "{}",
]


@pytest.fixture(scope="module")
def cases() -> list[str]:
    return [frame.format(secret) for secret in SECRETS for frame in FRAMES]


def test_there_are_at_least_sixty(cases: list[str]) -> None:
    assert len(cases) >= 60


@pytest.mark.parametrize("frame", FRAMES)
def test_no_secret_is_in_a_reply(bot: Bot, frame: str) -> None:
    for secret in SECRETS:
        shown = str(bot.reply(frame.format(secret)).to_dict())
        digits = "".join(c for c in secret if c.isalnum())
        assert secret not in shown
        assert digits not in shown.replace(" ", "").replace("-", "")


def test_no_secret_of_the_history_is_in_a_summary(bot: Bot) -> None:
    for secret in SECRETS:
        history = [Turn("customer", f"hello, I am at {secret}"), Turn("agent", "Hello!")]
        reply = bot.reply("which movie has good guitar music", history)
        assert reply.kind == "handoff" and "Before: 2 messages" in reply.summary
        assert secret not in str(reply.to_dict())


def test_what_was_taken_out_is_counted_and_the_question_still_answered(make_bot: MakeBot) -> None:
    reply = make_bot().reply("my card has not arrived, the delivery is late, mail me at jane@mail.example.com")
    assert (reply.kind, reply.intent) == ("template", "card_arrival")
    assert reply.detail["redacted"] == {"email": 1}
