"""Ready answers, one an intent: checked when they are loaded, filled in a sandbox when they are used."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import InputError

_LONGEST = 4_000  # characters of a filled template


class Slot(BaseModel):
    """Something a template needs to know: found in the customer's words by ``values`` or ``pattern``, else asked for.

    ``values``: value to the words that mean it. ``pattern``: a regular expression whose first group is the value.
    """

    model_config = ConfigDict(extra="forbid")

    ask: str = Field(min_length=1)
    required: bool = False
    values: dict[str, list[str]] = Field(default_factory=dict)
    pattern: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Slot":
        if bool(self.values) == bool(self.pattern):
            raise ValueError("give either values or pattern")
        if self.pattern is not None:
            try:
                groups = re.compile(self.pattern).groups
            except re.error as error:
                raise ValueError(f"pattern is not a regular expression: {error}") from error
            if groups != 1:
                raise ValueError("pattern needs exactly one group: the value")
        return self

    def find(self, text: str) -> str | None:
        """The value in the text; the word that stands last wins, since people correct themselves."""
        if self.pattern is not None:
            found = re.findall(self.pattern, text[:2_000], re.IGNORECASE)
            return str(found[-1]) if found else None
        best: tuple[int, str] | None = None
        for value, words in self.values.items():
            for word in (value, *words):
                for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE):
                    if best is None or match.start() >= best[0]:
                        best = (match.start(), value)
        return best[1] if best else None


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1)
    articles: list[str] = Field(min_length=1)
    question: str = ""
    slots: dict[str, Slot] = Field(default_factory=dict)


@dataclass(frozen=True)
class Template:
    """An intent's answer, the articles that say so, and its slots.

    ``question`` is how a customer would be asked whether they mean this; empty: the first article's title.
    """

    intent: str
    text: str
    articles: tuple[str, ...]
    slots: Mapping[str, Slot] = field(default_factory=dict)
    question: str = ""

    @cached_property
    def _compiled(self) -> Any:
        return _environment().from_string(self.text)

    def known(self, text: str, given: Mapping[str, str]) -> dict[str, str]:
        """Slot values that were given or that the text tells."""
        found = {name: given.get(name) or slot.find(text) for name, slot in self.slots.items()}
        return {name: value for name, value in found.items() if value}

    def missing(self, known: Mapping[str, str]) -> list[str]:
        """Required slots without a value."""
        return [name for name, slot in self.slots.items() if slot.required and not known.get(name)]

    def render(self, known: Mapping[str, str]) -> str:
        """The answer; an optional slot without a value is empty. Raises InputError when it cannot be filled."""
        from jinja2 import TemplateError

        values = {name: known.get(name, "") for name in self.slots}
        try:
            filled = self._compiled.render(values)
        except (TemplateError, TypeError, ValueError, ArithmeticError, OverflowError) as error:
            raise InputError(f"the template of {self.intent} cannot be filled: {error}.") from error
        return re.sub(r"[ \t]*\n[ \t]*", "\n", re.sub(r"[ \t]+", " ", filled)).strip()[:_LONGEST]


def load_templates(path: Path) -> dict[str, Template]:
    """Templates by intent. Raises InputError naming the intent and the field that is wrong.

    Every template is filled once with all its slots empty and once with each value, so that none fails in use.
    """
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.") from error
    return {intent: _checked(path, intent, row) for intent, row in rows.items()}


def _checked(path: Path, intent: str, values: Any) -> Template:
    try:
        row = _Row.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in ("", *first["loc"]))
        raise InputError(f"{path}: [{intent}]{place}: {first['msg']}.") from error
    template = Template(intent, row.text, tuple(row.articles), row.slots, row.question)
    undeclared = _undeclared(path, intent, row.text) - set(row.slots)
    if undeclared:
        raise InputError(f"{path}: [{intent}] uses {sorted(undeclared)}, which are none of its slots; declare them.")
    tries = [{}, *({name: value} for name, slot in row.slots.items() for value in slot.values or ["1"])]
    for known in tries:
        if not template.render(known):
            raise InputError(f"{path}: [{intent}] is empty when {known or 'nothing'} is known; write an answer for it.")
    return template


def _undeclared(path: Path, intent: str, text: str) -> set[str]:
    from jinja2 import TemplateSyntaxError, meta

    try:
        return set(meta.find_undeclared_variables(_environment().parse(text)))
    except TemplateSyntaxError as error:
        raise InputError(f"{path}: [{intent}].text, line {error.lineno}: {error.message}.") from error


def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    # A template writes sentences: loops over ranges and the like are only good for exhausting memory.
    environment.globals.clear()
    return environment
