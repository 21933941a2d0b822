"""The support desk in a browser: every page, with the shipped intent model on part of the shipped knowledge."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.settings import PROJECT_ROOT
from tests.dashboards.looking import picture, settle

pytestmark = pytest.mark.browser
WAIT = 240_000  # ms; a loaded machine is slow, and no test depends on how slow
ARTICLES = ("card-*", "cash-*", "transfer-times", "agents-card-theft")
OPEN = (
    "please open a joint account for us",
    "is a joint account possible",
    "joint account with my wife",
    "joint account?",
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, serve_dashboard: Callable[..., str]) -> Iterator[SimpleNamespace]:
    """A dashboard on a var folder of its own, and its database with two weeks of judged replies."""
    from core.operations.database import open_database
    from verticals.support.tables import metadata

    var = tmp_path_factory.mktemp("support-dashboard")
    knowledge = var / "articles"
    knowledge.mkdir()
    for pattern in ARTICLES:
        for path in (PROJECT_ROOT / "data" / "support" / "knowledge").glob(f"{pattern}.md"):
            shutil.copy(path, knowledge)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADWATER_VAR", str(var))
        patch.delenv("HEADWATER_DATABASE_URL", raising=False)
        engine = open_database(metadata)
    _fill(engine)
    # No export to ONNX: reading the network itself is quicker for a few questions.
    url = serve_dashboard("support", var, HEADWATER_SUPPORT_ENGINE="torch", HEADWATER_SUPPORT_KNOWLEDGE=str(knowledge))
    yield SimpleNamespace(url=url, engine=engine, var=var)
    engine.dispose()


def _fill(engine: Any) -> None:
    from verticals.support.annotations import Annotations
    from verticals.support.conversations import Conversations
    from verticals.support.feedback import judge
    from verticals.support.replies import Reply

    random = np.random.default_rng(7)
    talks, kinds = Conversations(engine), ("template", "passage", "template", "template", "handoff", "clarify")
    today = talks.clock()
    for number in range(90):
        time = today - timedelta(days=int(random.integers(0, 14)), minutes=number)
        talks.clock = lambda time=time: time  # type: ignore[misc]
        kind, sure = kinds[number % len(kinds)], float(random.uniform(0.5, 1.0))
        question = OPEN[number % 4] if kind == "handoff" else f"where is my card number {number}?"
        name = talks.start("api")
        talks.say(name, "customer", question)
        intent = None if kind == "handoff" else ("card_arrival", "change_pin")[number % 2]
        kept = talks.keep(name, question, Reply("An answer.", kind, intent, sure, latency_ms=20 + number), ("public",))  # type: ignore[arg-type]
        if kind in ("template", "passage"):
            judge(Annotations(engine), kept, "accepted" if random.random() < sure else "rejected", "mei", now=time)


@pytest.fixture
def look(desk: SimpleNamespace, window: Any) -> Iterator[Callable[..., Any]]:
    """``look("review", "?lang=zh")`` gives the page once the assistant is there."""
    view = window.new_page()
    view.set_default_timeout(WAIT)

    def open_page(name: str, query: str = "?lang=en") -> Any:
        view.goto(f"{desk.url}/{name}{query}")
        view.wait_for_selector("h1")
        view.wait_for_selector(
            ".st-key-desk-loading, .st-key-knowledge-loading, .st-key-insights-loading", state="detached"
        )
        settle(view)
        return view

    yield open_page
    view.close()


def ask(view: Any, text: str) -> None:
    box = view.get_by_test_id("stChatInputTextArea")
    box.fill(text)
    box.press("Enter")
    view.locator(".st-key-desk-suggestion").wait_for()
    view.locator('[data-testid="stChatMessage"]').get_by_text(text.split(",")[0]).first.wait_for()
    suggestion = view.locator(".st-key-desk-suggestion")
    suggestion.filter(has_not_text="The suggested answer appears here").wait_for()
    settle(view)


def rows(desk: SimpleNamespace, table: Any, **wanted: Any) -> list[Any]:
    from sqlalchemy import select

    with desk.engine.connect() as connection:
        found = connection.execute(select(table)).all()
    return [row for row in found if all(getattr(row, name) == value for name, value in wanted.items())]


def test_the_desk_shows_itself_before_the_assistant_is_there(desk: SimpleNamespace, window: Any) -> None:
    view = window.new_page()
    view.set_default_timeout(WAIT)
    view.goto(f"{desk.url}/?lang=en")
    view.get_by_text("Nobody waits").wait_for()
    view.get_by_test_id("stChatInputTextArea").wait_for()
    picture(view, "desk-first")
    ask(view, "my card still hasn't arrived, what now?")  # kept until the assistant is ready, then answered
    view.get_by_role("button", name="Accept").wait_for()
    view.close()


def test_accepting_sends_the_answer(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    from verticals.support import tables

    view = look("")
    ask(view, "my card has not come, mail me at jo@example.com")
    assert "example.com" not in view.locator(".st-key-desk-transcript").inner_text()
    view.locator("mark").first.wait_for()
    picture(view, "desk")
    view.keyboard.press("Alt+A")
    view.get_by_text("accepted", exact=True).wait_for()
    settle(view)
    assert view.locator('.st-key-desk-transcript [data-testid="stChatMessage"]').count() == 2
    assert rows(desk, tables.feedback, verdict="accepted")[-1].answer is None
    view.locator(".st-key-desk-resolve button").click()
    view.get_by_text("This conversation is resolved").first.wait_for()


def test_an_edited_answer_comes_back_for_the_same_question(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    view = look("")
    ask(view, "the cash machine has swallowed my card")
    view.get_by_role("button", name="Edit").click()
    box = view.get_by_role("textbox", name="Your answer")
    box.fill("Machines keep cards now and then: tap Replace and choose Swallowed.")
    view.get_by_test_id("stBaseButton-primaryFormSubmit").click()
    view.get_by_text("edited", exact=True).wait_for()
    settle(view)
    view.get_by_role("button", name="New").click()
    view.get_by_text("Nobody waits").wait_for()
    ask(view, "The cash machine has swallowed my card!")
    view.get_by_text("written by a colleague").wait_for()
    view.locator(".st-key-desk-suggestion").filter(has_text="choose Swallowed").wait_for()


def test_rejecting_and_handing_over(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    from verticals.support import tables

    view = look("")
    ask(view, "how do I order a new card?")
    view.get_by_role("button", name="Reject").click()
    view.get_by_text("out of date").click()
    view.get_by_role("textbox", name="Note").fill("prices changed")
    view.get_by_role("textbox", name="Note").press("Tab")
    view.locator('[class*="st-key-reject-it-"] button').click()
    view.get_by_text("rejected", exact=True).wait_for()
    assert rows(desk, tables.feedback, reason="outdated: prices changed")
    view.get_by_role("button", name="New").click()
    view.get_by_text("Nobody waits").wait_for()
    ask(view, "which planet has the most moons, and why?")
    picture(view, "desk-handoff")
    view.get_by_role("button", name="Hand over").click()
    view.get_by_text("This conversation has been handed over").first.wait_for()
    (found,) = rows(desk, tables.conversations, status="handed_over")
    assert "planet" in found.summary


def test_knowledge_is_uploaded_tested_and_rolled_back(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    view = look("knowledge")
    view.get_by_role("tab", name="Upload").click()
    new = {
        "name": "parrots.md",
        "mimeType": "text/markdown",
        "buffer": b"# Parrots\n\nParrots may sit on the card reader.",
    }
    broken = {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"no pdf at all"}
    view.locator('input[type="file"]').set_input_files([new, broken])
    view.get_by_text("parrots.md").first.wait_for()
    settle(view)
    view.get_by_role("button", name="Add to the knowledge base").click()
    view.get_by_text("1 added").wait_for()
    view.get_by_text("broken.pdf is no PDF").or_(view.get_by_text("broken.pdf")).first.wait_for()
    picture(view, "knowledge-upload")
    view.get_by_role("tab", name="Test a question").click()
    view.get_by_role("textbox", name="Question").fill("may parrots sit on the card reader?")
    view.get_by_role("textbox", name="Question").press("Enter")
    view.get_by_text("Passages found").wait_for()
    settle(view)
    view.get_by_text(re.compile("^Parrots ·")).first.wait_for()
    picture(view, "knowledge-test")
    view.get_by_role("tab", name="Documents").click()
    view.get_by_role("textbox", name="Filter by words").fill("Parrots may sit")
    view.get_by_role("textbox", name="Filter by words").press("Enter")
    view.get_by_text("1 of").wait_for()
    picture(view, "knowledge-documents")
    view.get_by_role("tab", name="Versions").click()
    view.get_by_role("button", name="Serve this one").first.click()
    view.get_by_text("Version 1 is served").wait_for()
    settle(view)
    view.get_by_role("tab", name="Versions").click()
    picture(view, "knowledge-versions")


def test_mined_proposals_are_decided(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    from verticals.support import tables

    view = look("review")
    view.get_by_text("Nothing waits for review").wait_for()
    lines = [
        {"id": str(n), "turns": [{"role": "customer", "text": q}], "outcome": "handed_over"} for n, q in enumerate(OPEN)
    ]
    log = "".join(json.dumps(line) + "\n" for line in lines).encode()
    view.locator('input[type="file"]').set_input_files([{"name": "log.jsonl", "mimeType": "text/plain", "buffer": log}])
    view.get_by_text("log.jsonl").first.wait_for()
    settle(view)
    view.get_by_role("button", name="Mine this file").click()
    view.get_by_text("1 proposals").first.wait_for()
    settle(view)
    picture(view, "review")
    view.get_by_role("button", name="Approve").click()
    view.get_by_text("has no answer yet").wait_for()
    view.get_by_role("textbox", name="Answer").fill("Joint accounts are not offered at present.")
    view.get_by_role("button", name="Approve").click()
    view.get_by_text("Nothing waits for review").wait_for()
    (found,) = rows(desk, tables.proposals)
    assert (found.status, found.answer) == ("approved", "Joint accounts are not offered at present.")
    assert found.document.startswith("faq-")


def test_insights_show_figures_and_the_dial(desk: SimpleNamespace, look: Callable[..., Any]) -> None:
    view = look("insights")
    for text in ("Questions", "Deflection", "Acceptance", "What nobody answers", "By intent", "Precision dial"):
        view.get_by_text(text, exact=True).first.wait_for()
    assert view.locator('[data-testid="stVegaLiteChart"]').count() == 3
    picture(view, "insights", whole=True)
    view.get_by_text("7 days").click()
    settle(view)


@pytest.mark.parametrize(
    ("name", "title"), [("", "工作台"), ("knowledge", "知识库"), ("review", "审核"), ("insights", "分析")]
)
def test_every_page_in_chinese(desk: SimpleNamespace, look: Callable[..., Any], name: str, title: str) -> None:
    view = look(name, "?lang=zh")
    assert view.locator("h1").inner_text() == title
    picture(view, f"zh-{name or 'desk'}")


def test_every_text_that_the_pages_use_is_there() -> None:
    from dashboards.parts.language import load

    known = load("common", "support")
    for path in (PROJECT_ROOT / "dashboards" / "support_pages").glob("*.py"):
        for key in re.findall(r'\bt\(\s*"([\w.]+)"\s*[,)]', path.read_text(encoding="utf-8")):
            assert key in known, f"{path.name}: {key}"
