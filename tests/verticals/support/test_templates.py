from pathlib import Path

import pytest

from core.errors import InputError
from verticals.support.templates import Template, load_templates

GOOD = """
[late]
text = "Wait{% if days %} {{ days }} days{% endif %}."
articles = ["late"]
question = "Is it late?"
[late.slots.days]
ask = "How many days?"
pattern = "([0-9]+) days?"
[late.slots.country]
ask = "Where?"
required = true
values = { UK = ["england", "u.k."], Spain = ["madrid"] }
"""


def load(tmp_path: Path, text: str) -> dict[str, Template]:
    (tmp_path / "t.toml").write_text(text, encoding="utf-8")
    return load_templates(tmp_path / "t.toml")


def test_slots_come_from_the_words_or_are_missing(tmp_path: Path) -> None:
    late = load(tmp_path, GOOD)["late"]
    known = late.known("12 days ago, to England, no, Madrid!", {})
    assert known == {"days": "12", "country": "Spain"}
    assert late.render(known) == "Wait 12 days."
    assert late.missing(late.known("where is it", {})) == ["country"]
    assert late.known("where is it", {"country": "UK"}) == {"country": "UK"}
    assert late.known("the madridista in ukraine", {}) == {}
    assert late.render({}) == "Wait."


BAD = {
    'text = ""': ("[a]\ntext = ''\narticles = ['x']", "text"),
    "no article": ("[a]\ntext = 'Hi'\narticles = []", "articles"),
    "unknown key": ("[a]\ntext = 'Hi'\narticles = ['x']\nfoo = 1", "foo"),
    "undeclared": ("[a]\ntext = 'Hi {{ name }}'\narticles = ['x']", "'name'"),
    "syntax": ("[a]\ntext = 'Hi {% if %}'\narticles = ['x']", "line 1"),
    "two ways": (
        "[a]\ntext='Hi'\narticles=['x']\n[a.slots.s]\nask='?'\npattern='(a)'\nvalues={b=[]}",
        "values or pattern",
    ),
    "no group": ("[a]\ntext='Hi'\narticles=['x']\n[a.slots.s]\nask='?'\npattern='a'", "one group"),
    "bad pattern": ("[a]\ntext='Hi'\narticles=['x']\n[a.slots.s]\nask='?'\npattern='('", "regular expression"),
    "empty": ("[a]\ntext='{% if s %}x{% endif %}'\narticles=['x']\n[a.slots.s]\nask='?'\npattern='(a)'", "empty when"),
    "not toml": ("[a", "TOML"),
    "sandbox": ("[a]\ntext = \"{{ ''.__class__.__mro__ }}\"\narticles = ['x']", "cannot be filled|unsafe"),
    "loop": ("[a]\ntext = '{% for i in range(10) %}x{% endfor %}'\narticles = ['x']", "range"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_template_is_refused_when_it_is_loaded(name: str, tmp_path: Path) -> None:
    text, reason = BAD[name]
    with pytest.raises(InputError, match=reason):
        load(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing.toml"):
        load_templates(tmp_path / "nothing.toml")


def test_a_customers_words_are_never_a_template(tmp_path: Path) -> None:
    text = "[a]\ntext = 'You said {{ s }}.'\narticles = ['x']\n[a.slots.s]\nask='?'\npattern='say (.*)'"
    template = load(tmp_path, text)["a"]
    assert template.render(template.known("say {{ 7 * 7 }}", {})) == "You said {{ 7 * 7 }}."
