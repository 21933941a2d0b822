from tests.verticals.support.conftest import MakeBot
from verticals.support.answers import cite, extract

LONG = {
    "refunds": (
        "Refunds",
        "Shops send refunds back to the card. A refund takes 7 working days to appear. "
        "It is not a new payment. We never ask for your code. Birds sing in the garden outside.",
    ),
    "post": ("Post", "Letters come on Mondays. Parcels come on Fridays."),
}


def test_the_answer_is_the_run_of_sentences_around_the_nearest(make_bot: MakeBot) -> None:
    bot = make_bot(LONG)
    found = bot.retrieval.search("how many working days does a refund take to appear", ("public",))
    one = extract(
        bot.encode("how many working days does a refund take to appear"), found[0], bot.retrieval.knowledge, 2
    )
    assert "A refund takes 7 working days to appear." in one.citation.quote
    assert "Birds" not in one.citation.quote
    text = bot.retrieval.knowledge.document("refunds").text
    assert text[one.citation.start : one.citation.end] == one.citation.quote
    assert 0 < one.best_sentence <= 1


def test_a_sentence_that_leans_on_the_one_before_brings_it_along(make_bot: MakeBot) -> None:
    bot = make_bot(LONG)
    question = "is it a new payment"
    found = bot.retrieval.search(question, ("public",))
    quote = extract(bot.encode(question), found[0], bot.retrieval.knowledge, 2).citation.quote
    assert quote.startswith("A refund takes 7 working days")
    assert quote.endswith("It is not a new payment.")


def test_each_document_is_cited_once(make_bot: MakeBot) -> None:
    bot = make_bot(LONG)
    found = bot.retrieval.search("refund parcels letters", ("public",))
    quotes = cite(bot.encode("refund parcels letters"), [*found, *found], bot.retrieval.knowledge)
    assert sorted(quote.document for quote in quotes) == ["post", "refunds"]
