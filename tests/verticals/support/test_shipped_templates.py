"""The templates that ship: one for each intent, and nothing in them that the articles do not say."""

import json
import re
import tomllib

import pytest

from core.settings import PROJECT_ROOT
from verticals.support.templates import Template, load_templates

SHIPPED = PROJECT_ROOT / "data" / "support"
LABELS = json.loads((PROJECT_ROOT / "data/adapters/banking-intents/labels.json").read_text(encoding="utf-8"))
FACTS = tomllib.loads((SHIPPED / "facts.toml").read_text(encoding="utf-8"))
TEMPLATES = load_templates(SHIPPED / "templates.toml")
_NUMBER = re.compile(r"[£€$]?\d+(?:[.,:]\d+)*%?")
_AMOUNT = re.compile(r"[£€$]?\d+(?:[.,:]\d+)*%?(?: (?:working )?(?:days?|weeks?|months?|hours?|minutes?|years?))?")


def article(name: str) -> str:
    return (SHIPPED / "knowledge" / f"{name}.md").read_text(encoding="utf-8")


def fillings(template: Template) -> list[dict[str, str]]:
    return [{}, *({name: value} for name, slot in template.slots.items() for value in slot.values)]


def test_every_intent_has_one() -> None:
    assert set(TEMPLATES) == set(LABELS)


def test_no_two_are_offered_in_the_same_words() -> None:
    questions = [template.question for template in TEMPLATES.values()]
    assert all(questions) and len(set(questions)) == len(questions)


@pytest.mark.parametrize("intent", LABELS)
def test_numbers_stand_in_the_cited_public_articles(intent: str) -> None:
    template = TEMPLATES[intent]
    sources = [article(name) for name in template.articles]
    assert all('groups = ["public"]' in source for source in sources)
    stated = {number for source in sources for number in _NUMBER.findall(source)}
    for known in fillings(template):
        assert set(_NUMBER.findall(template.render(known))) <= stated


@pytest.mark.parametrize("intent", LABELS)
def test_times_and_fees_are_those_of_the_fact_sheet(intent: str) -> None:
    """An amount that the fact sheet knows is used for what it is about: one of its articles is cited."""
    template = TEMPLATES[intent]
    for amount in _AMOUNT.findall(" ".join(template.render(known) for known in fillings(template))):
        facts = [fact for fact in FACTS.values() if fact["value"] == amount]
        cited = [article(name) for name in template.articles]
        assert (
            not facts
            or any(set(template.articles) & set(fact["articles"]) for fact in facts)
            or any(amount in text for text in cited)
        ), amount


@pytest.mark.parametrize("intent", LABELS)
def test_answers_are_short_sentences(intent: str) -> None:
    template = TEMPLATES[intent]
    for known in fillings(template):
        text = template.render(known)
        assert 80 <= len(text) <= 900 and text[0].isupper() and text[-1] in ".!?" and "{" not in text


def test_slots_change_the_answer() -> None:
    template = TEMPLATES["card_arrival"]
    assert template.known("I live in the UK", {}) == {"country": "the UK"}
    assert "15 working days" in template.render(template.known("it was sent to Germany", {}))
    assert "15 working days" not in template.render({"country": "the UK"})
