from collections.abc import Sequence

import numpy as np
import pytest

from core.errors import InputError
from tests.verticals.support.conftest import ARTICLES, MakeBot, write_articles
from verticals.support.bot import Bot
from verticals.support.knowledge.ingest import ingest
from verticals.support.replies import AnnotatedAnswer, Turn

CONTRACT = ["answer", "kind", "intent", "confidence", "citations", "latency_ms"]


def test_a_sure_intent_gets_its_template_with_a_citation(bot: Bot) -> None:
    reply = bot.reply("my card has not arrived, the delivery is late")
    assert (reply.kind, reply.intent) == ("template", "card_arrival")
    assert reply.answer == "A card arrives within 5 working days."
    assert reply.citations[0].document == "card-late"
    assert reply.confidence >= 0.5


def test_the_contract_comes_first_and_a_citation_is_a_quote_at_its_position(bot: Bot) -> None:
    values = bot.reply("my card has not arrived, the delivery is late").to_dict()
    assert list(values)[:6] == CONTRACT
    assert {"document", "title", "quote", "score"} <= set(values["citations"][0])
    for citation in values["citations"]:
        text = bot.retrieval.knowledge.document(citation["document"]).text
        assert text[citation["start"] : citation["end"]] == citation["quote"]


def test_slots_are_found_asked_for_and_filled_by_the_next_message(bot: Bot) -> None:
    assert "in Spain" in bot.reply("my card is late, delivery to Madrid").answer
    asked = bot.reply("which fee for cash withdrawal abroad")
    assert (asked.kind, asked.missing_slots, asked.answer) == ("clarify", ("amount",), "How much did you take out?")
    history = [Turn("customer", "which fee for cash withdrawal abroad"), Turn("agent", asked.answer)]
    filled = bot.reply("£300", history)
    assert (filled.kind, filled.answer) == ("template", "You took out £300: above £250 a month it costs 2%.")
    given = bot.reply("which fee for cash withdrawal abroad", slots={"amount": "40"})
    assert given.answer.startswith("You took out £40")


def test_what_no_template_covers_is_quoted_from_the_knowledge(bot: Bot) -> None:
    reply = bot.reply("close the account under profile")
    assert reply.kind == "passage"
    assert "tap Close account under Profile" in reply.answer
    assert [c.document for c in reply.citations] == ["close"]


def test_foreign_questions_are_handed_over_with_a_summary(bot: Bot) -> None:
    reply = bot.reply("which movie has good guitar music")
    assert (reply.kind, reply.citations) == ("handoff", ())
    assert "Question: which movie has good guitar music" in reply.summary
    assert "Handed over because" in reply.summary


def test_a_question_between_two_intents_is_asked_back(make_bot: MakeBot) -> None:
    from verticals.support.precision import Thresholds

    bot = make_bot(thresholds=Thresholds(scope=0.2, template=1.0, passage=1.0))
    reply = bot.reply("card pin")
    assert reply.kind == "clarify"
    assert 2 <= len(reply.choices) <= 3
    assert "Is my card late?" in reply.choices


def test_a_follow_up_is_understood_by_the_question_before_it(bot: Bot) -> None:
    history = [Turn("customer", "my card has not arrived, the delivery is late"), Turn("agent", "…")]
    assert bot.reply("and to Spain?").kind == "handoff"
    reply = bot.reply("and to Spain?", history)
    assert (reply.kind, reply.intent) == ("template", "card_arrival")
    assert "in Spain" in reply.answer


def test_a_new_question_is_not_mixed_with_the_one_before(bot: Bot) -> None:
    history = [Turn("customer", "my card has not arrived, the delivery is late"), Turn("agent", "…")]
    reply = bot.reply("how do I change the pin code of it", history)
    assert reply.intent == "change_pin"


def test_documents_of_other_groups_are_neither_quoted_nor_named(make_bot: MakeBot, tmp_path: object) -> None:
    bot = make_bot()
    secret = {"secret": ("Close an account, inside", "Close the account under profile with the inside code 4711.")}
    folder = write_articles(bot.settings.index.parent / "inside", secret, groups="agents")
    ingest([folder], bot.settings.index, bot.retrieval.encoder)
    bot.retrieval.refresh()
    seen = str(bot.reply("close the account under profile inside code").to_dict())
    assert "4711" not in seen and "secret" not in seen and "inside, " not in seen
    allowed = bot.reply("close the account under profile inside code", groups=("public", "agents"))
    assert "4711" in allowed.answer


def test_a_template_is_not_used_where_its_article_may_not_be_read(bot: Bot) -> None:
    reply = bot.reply("my card has not arrived, the delivery is late", groups=("partners",))
    assert reply.kind == "handoff"
    assert reply.citations == ()


class OneAnnotation:
    def __init__(self, similarity: float) -> None:
        self.similarity = similarity

    def find(self, question_vector: np.ndarray, groups: Sequence[str] | None = None) -> AnnotatedAnswer | None:
        assert groups == ("public",)
        return AnnotatedAnswer("a1", "late card", "An agent wrote this.", self.similarity)


@pytest.mark.parametrize(("similarity", "used"), [(0.95, True), (0.85, False)])
def test_an_agents_answer_to_nearly_the_same_question_comes_first(
    make_bot: MakeBot, similarity: float, used: bool
) -> None:
    reply = make_bot(annotated=OneAnnotation(similarity)).reply("my card has not arrived, the delivery is late")
    assert (reply.answer == "An agent wrote this.") is used
    assert reply.kind == "template"


def test_chinese_questions_are_answered_in_chinese(bot: Bot) -> None:
    assert "同事" in bot.reply("今天天气怎么样").answer


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_blank_question_is_refused(bot: Bot, text: str) -> None:
    with pytest.raises(InputError, match="blank"):
        bot.reply(text)


def test_without_a_group_nothing_may_be_read(bot: Bot) -> None:
    with pytest.raises(InputError, match="group"):
        bot.reply("card", groups=())


def test_any_text_gets_a_reply(bot: Bot) -> None:
    for text in ["?", "💳", "\0", "a" * 10_000, "{{ 7 * 7 }}", "'; DROP TABLE x; --", "\u202e", "卡 card"]:
        reply = bot.reply(text)
        assert reply.answer and 0 <= reply.confidence <= 1


def test_the_articles_are_those_of_the_small_bank(bot: Bot) -> None:
    assert {d.id for d in bot.retrieval.knowledge.documents(("public",))} == set(ARTICLES)
