import io
import json
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from core.errors import InputError
from core.operations.feedback import corrections
from tests.verticals.support.conftest import HashEncoder, MakeBot
from verticals.support import analytics, tables
from verticals.support.annotations import Annotation, Annotations
from verticals.support.bot import Bot
from verticals.support.conversations import Conversations
from verticals.support.dialogues.logs import read_logs
from verticals.support.export import export
from verticals.support.feedback import judge
from verticals.support.replies import Citation, Reply

LATE = "my card has not arrived, the delivery is late"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def talks() -> Conversations:
    return Conversations.open()


def reply(kind: str = "template", intent: str | None = "card_arrival", **about: object) -> Reply:
    cited = (Citation("card-late", "My card is late", "A card arrives", 0.9, 0, 14),)
    values: dict[str, object] = {"confidence": 0.95, "citations": cited, "latency_ms": 10.0, **about}
    return Reply("A card arrives within 5 working days.", kind, intent, **values)  # type: ignore[arg-type]


def kept(talks: Conversations, question: str = LATE, **about: object) -> tuple[str, str]:
    name = talks.start()
    talks.say(name, "customer", question)
    return name, talks.keep(name, question, reply(**about), ("public",))  # type: ignore[arg-type]


def test_an_answer_is_kept_with_its_sources(bot: Bot, talks: Conversations) -> None:
    done = talks.answer(bot, f"{LATE}, mail jo@example.com")
    found = talks.read(done.conversation)
    assert [turn["role"] for turn in found["turns"]] == ["customer", "agent"]
    assert "example.com" not in json.dumps(found, default=str)
    (stored,) = found["replies"]
    assert stored["id"] == done.reply_id and stored["kind"] == "template" and stored["latency_ms"] > 0
    assert [row["document"] for row in stored["citations"]] == ["card-late"]


def test_the_bot_is_told_what_was_said_before(talks: Conversations) -> None:
    told = []

    class Listening:
        def reply(self, text: str, history: object = (), groups: object = (), slots: object = None) -> Reply:
            told.append(history)
            return reply()

    first = talks.answer(Listening(), "first question here")
    talks.answer(Listening(), "and a second one", first.conversation)
    assert told[0] == () and [turn.text for turn in told[1]] == ["first question here", reply().answer]


def test_handing_over_leaves_a_summary_without_personal_data(talks: Conversations) -> None:
    class Lost:
        def reply(self, text: str, *rest: object) -> Reply:
            return reply("handoff", None, summary=f"Question: {text}")

    done = talks.answer(Lost(), "call me on 07700 900123 about mars")
    found = talks.read(done.conversation)
    assert found["status"] == "handed_over" and found["summary"] == "Question: call me on [phone] about mars"


def test_messages_at_once_all_arrive(talks: Conversations) -> None:
    name = talks.start()
    threads = [threading.Thread(target=talks.say, args=(name, "customer", f"message {n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [turn["number"] for turn in talks.read(name)["turns"]] == list(range(1, 9))


def test_forgetting_leaves_nothing(talks: Conversations) -> None:
    name, reply_id = kept(talks)
    judge(Annotations(talks.engine), reply_id, "accepted", "mei")
    talks.forget(name)
    with talks.engine.connect() as connection:
        for table in (tables.conversations, tables.turns, tables.replies, tables.citations, tables.feedback):
            assert connection.execute(select(table)).all() == []


@pytest.mark.parametrize("act", ["say", "read", "forget", "set_status"])
def test_an_unknown_conversation_is_named(talks: Conversations, act: str) -> None:
    arguments = {"say": ("customer", "x"), "set_status": ("closed",)}.get(act, ())
    with pytest.raises(InputError, match="no conversation 'none'"):
        getattr(talks, act)("none", *arguments)


def test_an_edit_answers_the_same_question_from_then_on(make_bot: MakeBot, talks: Conversations) -> None:
    annotations = Annotations(talks.engine)
    bot = make_bot(annotated=annotations)
    done = talks.answer(bot, LATE, send=False)
    assert done.reply.detail["source"] == "template"
    own = "Sorry! Please wait two more days, then tap Not received."
    judged = judge(annotations, done.reply_id, "edited", "mei", own, vector=bot.encode(LATE))
    assert judged.annotation and judged.trained == ("matching",)
    again = bot.reply(LATE.upper())
    assert (again.answer, again.detail["source"]) == (own, "annotated")
    assert bot.reply("change my pin code").detail["source"] != "annotated"
    annotations.remove(judged.annotation)
    assert bot.reply(LATE).detail["source"] == "template"


def test_a_newer_edit_replaces_the_older(talks: Conversations) -> None:
    annotations, vector = Annotations(talks.engine), HashEncoder().encode([LATE])[0]
    first = annotations.save(Annotation(LATE, "the older answer"), vector, "mei")
    assert annotations.save(Annotation(LATE, "the newer answer"), vector, "jo") == first
    assert [row["answer"] for row in annotations.list()] == ["the newer answer"]
    found = annotations.find(vector)
    assert found is not None and found.answer == "the newer answer" and found.similarity > 0.99


def test_an_answer_from_inside_never_reaches_a_customer(talks: Conversations) -> None:
    annotations, vector = Annotations(talks.engine), HashEncoder().encode([LATE])[0]
    annotations.save(Annotation(LATE, "the inside answer", groups=("agents",)), vector, "mei")
    assert annotations.find(vector) is None and annotations.find(vector, ("public",)) is None
    assert annotations.find(vector, ("public", "agents")) is not None
    annotations.save(Annotation(LATE, "the answer for all"), vector, "mei")
    found = annotations.find(vector, ("public",))
    assert found is not None and found.answer == "the answer for all"


def test_vectors_of_another_encoder_are_not_looked_at(talks: Conversations) -> None:
    annotations = Annotations(talks.engine)
    annotations.save(Annotation(LATE, "an answer"), HashEncoder().encode([LATE])[0], "mei")
    assert annotations.find(np.ones(7, np.float32) / 7**0.5) is None


def test_an_answer_for_one_person_is_not_used_again(talks: Conversations) -> None:
    _, reply_id = kept(talks)
    annotations, vector = Annotations(talks.engine), HashEncoder().encode([LATE])[0]
    done = judge(annotations, reply_id, "edited", "mei", "We wrote to jo@example.com.", vector=vector)
    assert done.annotation is None and done.note == "personal" and done.trained == ()
    assert annotations.find(vector) is None
    with pytest.raises(InputError, match="personal data"):
        annotations.save(Annotation(LATE, "Call 07700 900123."), vector, "mei")


def test_verdicts_become_training_rows_once(talks: Conversations) -> None:
    annotations = Annotations(talks.engine)
    _, reply_id = kept(talks)
    for _ in range(2):
        judge(annotations, reply_id, "accepted", "mei")
    _, other = kept(talks, "an odd question about cash")
    judge(annotations, other, "rejected", "mei", reason="wrong: jo@example.com", intent="cash_fees")
    rows = [(one.text, one.label) for one in corrections(talks.engine, "support", "intents")]
    assert rows == [(LATE, "card_arrival"), ("an odd question about cash", "cash_fees")]
    assert [one.pair for one in corrections(talks.engine, "support", "matching")] == [reply().answer]
    with talks.engine.connect() as connection:
        reasons = [row.reason for row in connection.execute(select(tables.feedback))]
    assert "wrong: [email]" in reasons


@pytest.mark.parametrize(
    ("verdict", "answer", "message"),
    [("praised", "", "no verdict"), ("edited", " ", "needs the answer"), ("accepted", "", "no reply 'none'")],
)
def test_wrong_verdicts(talks: Conversations, verdict: str, answer: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        judge(Annotations(talks.engine), "none", verdict, "mei", answer)  # type: ignore[arg-type]


def test_figures_by_day_and_intent(talks: Conversations) -> None:
    annotations = Annotations(talks.engine)
    for day, kinds in enumerate([("template", "passage"), ("clarify", "handoff", "template")]):
        talks.clock = lambda day=day: NOON + timedelta(days=day)  # type: ignore[misc]
        for number, kind in enumerate(kinds):
            latency = 100.0 * (number + 1)
            _, name = kept(talks, kind=kind, intent=None if kind == "handoff" else "card_arrival", latency_ms=latency)
            if kind == "template":
                judge(annotations, name, "accepted" if day else "rejected", "mei")
    found = analytics.summary(talks.engine)
    assert [found[key] for key in ("questions", "answered", "clarified", "handed_over")] == [5, 3, 1, 1]
    assert (found["acceptance"], found["deflection"]) == (0.5, 0.8)
    assert [(day["day"], day["questions"], day["acceptance"]) for day in found["by_day"]] == [
        ("2026-05-04", 2, 0.0),
        ("2026-05-05", 3, 1.0),
    ]
    assert [(row["intent"], row["questions"]) for row in found["by_intent"]] == [("card_arrival", 4), ("", 1)]
    assert found["by_day"][0]["latency_ms"] == {"p50": 150.0, "p95": 195.0}
    later = analytics.summary(talks.engine, since=NOON + timedelta(hours=1))
    assert later["questions"] == 3
    none = analytics.summary(talks.engine, until=NOON)
    assert none["questions"] == 0 and none["acceptance"] is None and none["latency_ms"]["p95"] is None


def test_open_questions_are_grouped(talks: Conversations) -> None:
    for word in ("today", "tomorrow", "soon"):
        kept(talks, f"open a joint account {word}", kind="handoff", intent=None)
    kept(talks, LATE)
    (group,) = analytics.unanswered(talks.engine, HashEncoder())
    assert group["size"] == 3 and "joint" in group["name"] and len(group["examples"]) == 3


def test_an_export_can_be_mined_again(talks: Conversations, tmp_path: object) -> None:
    name, reply_id = kept(talks, 'where is it, "quoted", with commas?')
    talks.say(name, "agent", "It is on its way to you.", reply_id)
    judge(Annotations(talks.engine), reply_id, "accepted", "mei")
    talks.set_status(name, "closed")
    for format in ("csv", "jsonl"):
        path = tmp_path / f"log.{format}"  # type: ignore[operator]
        path.write_bytes(export(talks.engine, "turns", format))  # type: ignore[arg-type]
        (found,) = read_logs(path)
        assert found.outcome == "resolved" and found.messages[1].accepted is True
    frame = pd.read_parquet(io.BytesIO(export(talks.engine, "replies", "parquet")))
    assert frame.loc[0, "verdict"] == "accepted" and frame.loc[0, "documents"] == "card-late"
    assert export(talks.engine, "annotations", "jsonl") == b""
    with pytest.raises(InputError, match="no export format"):
        export(talks.engine, "turns", "xlsx")  # type: ignore[arg-type]
