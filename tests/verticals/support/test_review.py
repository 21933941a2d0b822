import pytest

from core.errors import InputError
from core.operations.feedback import corrections
from verticals.support.bot import Bot
from verticals.support.review import Proposal, Publication, Review, publisher

QUESTIONS = ("can I open a joint account?", "joint account with my wife", "shared account for us")


def proposal(kind: str = "faq", questions: tuple[str, ...] = QUESTIONS, answer: str = "") -> Proposal:
    return Proposal(kind, questions[0], "joint_account", questions, ("d1", "d2"), 0.6, answer)  # type: ignore[arg-type]


def refuse(entry: Publication) -> str:
    raise AssertionError("nothing may be published")


@pytest.fixture
def queue() -> Review:
    return Review.open()


def test_an_approved_entry_is_found_by_the_bot(queue: Review, bot: Bot) -> None:
    (name,) = queue.propose([proposal()])
    queue.edit(name, "mei", answer="Joint accounts come for couples: open Profile and tap Joint account.")
    version = bot.retrieval.knowledge.version
    done = queue.approve(name, "mei", publisher(bot))
    assert done["status"] == "approved" and bot.retrieval.knowledge.version == version + 1
    document = bot.retrieval.knowledge.document(done["document"], ("public",))
    assert document.title == QUESTIONS[0] and "Joint accounts come" in document.text
    assert done["document"] in {one.document.id for one in bot.retrieval.search("joint account", ("public",))}


def test_an_entry_for_agents_stays_with_them(queue: Review, bot: Bot) -> None:
    (name,) = queue.propose([proposal(answer="Only for agents: the joint account form.")])
    done = queue.approve(name, "mei", publisher(bot), ("agents",))
    with pytest.raises(InputError):
        bot.retrieval.knowledge.document(done["document"], ("public",))


def test_nothing_is_published_without_an_answer_or_twice(queue: Review) -> None:
    (name,) = queue.propose([proposal()])
    with pytest.raises(InputError, match="no answer yet"):
        queue.approve(name, "mei", refuse)
    queue.reject(name, "mei", "ask jo@example.com first")
    assert queue.read(name)["reason"] == "ask [email] first"
    for act in (
        lambda: queue.approve(name, "jo", refuse),
        lambda: queue.reject(name, "jo"),
        lambda: queue.edit(name, "jo", answer="x"),
    ):
        with pytest.raises(InputError, match="rejected by mei already"):
            act()


def test_an_approved_intent_becomes_training_rows(queue: Review) -> None:
    (name,) = queue.propose([proposal("intent")])
    queue.edit(name, "mei", label="joint_account", questions=list(QUESTIONS[:2]))
    queue.approve(name, "mei", refuse)
    rows = [(one.text, one.label, one.actor) for one in corrections(queue.engine, "support", "intents")]
    assert rows == [(question, "joint_account", "mei") for question in QUESTIONS[:2]]


def test_what_was_proposed_before_grows_and_what_was_rejected_stays_away(queue: Review) -> None:
    (name,) = queue.propose([proposal()])
    assert queue.propose([proposal()]) == []
    assert queue.propose([proposal(questions=(*QUESTIONS, "a fourth"))]) == [name]
    assert queue.read(name)["size"] == 4
    queue.reject(name, "mei")
    assert queue.propose([proposal(questions=(*QUESTIONS, "a fourth", "a fifth"))]) == []
    more = (*QUESTIONS, *(f"question {n}" for n in range(5)))
    assert len(queue.propose([proposal(questions=more)])) == 1


def test_personal_data_in_an_edit_goes(queue: Review) -> None:
    (name,) = queue.propose([proposal()])
    queue.edit(name, "mei", name="may jo@example.com join?", questions=["is 07700 900123 joined?"])
    found = queue.read(name)
    assert found["name"] == "may [email] join?" and found["questions"] == ["is [phone] joined?"]
    for values in ({"name": " "}, {"questions": []}, {"status": "approved"}):
        with pytest.raises(InputError):
            queue.edit(name, "mei", **values)
    with pytest.raises(InputError, match="no proposal"):
        queue.read("none")
