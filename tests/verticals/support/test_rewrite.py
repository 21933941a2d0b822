import re

import httpx
import pytest

from core.errors import InputError
from verticals.support.generators import Endpoint, open_generator
from verticals.support.rewrite import Rewriter, unfaithful
from verticals.support.settings import SupportSettings

QUOTES = (
    "Cash abroad costs 2% above £250 a month. Paying by card abroad is free. "
    "You cannot cancel a transfer after it has been sent. Tarnwell answers within 2 working days."
)

FAITHFUL = [
    "Paying by card abroad is free.",
    "Cash abroad costs 2% above £250 a month.",
    "Simply paying by card abroad is free. Cash abroad costs 2% above £250 a month.",
    "Tarnwell answers within 2 working days.",
    "You cannot cancel a transfer after it has been sent.",
]
UNFAITHFUL = {
    "Cash abroad costs 3% above £250 a month.": "number 3",
    "Cash abroad costs 2% above £2 a month.": "number £2",
    "Tarnwell answers within 2 hours.": "do not say",
    "Paying by card abroad is free. Call Barclays.": "name Barclays",
    "You can cancel a transfer after it has been sent.": "otherwise|do not say",
    "Paying by card abroad is not free.": "otherwise|do not say",
    "Cash abroad is free.": "do not say|otherwise",
    "Your refund has been approved.": "do not say",
    "Paying by card abroad is free and insured.": "do not say",
    "You cannot cancel a transfer before it has been sent.": "otherwise|do not say",
    "Cash costs 2% abroad above £250 a month.": "do not say",
    "Cash abroad costs 2% a month.": "otherwise|do not say",
    "": "empty",
    "Paying by card abroad is free. " * 40: "longer",
}


@pytest.mark.parametrize("text", FAITHFUL)
def test_what_the_quotes_say_may_be_said(text: str) -> None:
    assert unfaithful(text, QUOTES) == ""


@pytest.mark.parametrize("text", UNFAITHFUL)
def test_what_they_do_not_say_may_not(text: str) -> None:
    reason = unfaithful(text, QUOTES)
    assert re.search(UNFAITHFUL[text], reason), reason


def test_a_refused_rewrite_leaves_the_quotes() -> None:
    refused = Rewriter(lambda system, prompt: "It is all free, says Bob.").rewrite("fees?", QUOTES)
    assert refused.text == "" and refused.reason
    taken = Rewriter(lambda system, prompt: "Paying by card abroad is free.").rewrite("fees?", QUOTES)
    assert (taken.text, taken.reason) == ("Paying by card abroad is free.", "")


def test_a_model_that_fails_leaves_the_quotes() -> None:
    def fail(system: str, prompt: str) -> str:
        raise OSError("down")

    assert Rewriter(fail).rewrite("fees?", QUOTES).reason.startswith("the language model gave no answer")


def test_an_endpoint_is_asked_in_the_chat_protocol() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"choices": [{"message": {"content": "Free."}}]})

    endpoint = Endpoint("http://models.example/v1", "m", "secret", 5, httpx.MockTransport(answer))
    assert endpoint("rules", "question") == "Free."
    assert str(asked[0].url) == "http://models.example/v1/chat/completions"
    assert asked[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize("response", [httpx.Response(500), httpx.Response(200, json={"choices": []})])
def test_an_endpoint_that_fails_is_no_answer(response: httpx.Response) -> None:
    endpoint = Endpoint("http://models.example/v1", "", "", 5, httpx.MockTransport(lambda request: response))
    with pytest.raises((OSError, ValueError)):
        endpoint("rules", "question")


def test_an_unknown_rewriter_is_refused() -> None:
    assert open_generator(SupportSettings(rewriter="")) is None
    with pytest.raises(InputError, match="gpt-9"):
        open_generator(SupportSettings(rewriter="gpt-9"))
