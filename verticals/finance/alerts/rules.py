"""What is watched and when it becomes an alert: typed rules, receivers and inhibitions, read from TOML."""

import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from core.errors import InputError

Scope = Literal["topic", "company", "source", "all"]
Measure = Literal["volume", "negative_volume", "negative_share", "mean_score", "outage"]
Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART = re.compile(r"(\d+)([mhdw])")


def duration(value: Any) -> Any:
    """``"90m"``, ``"36h"``, ``"1d12h"`` as a timedelta; anything else is left to pydantic."""
    if not isinstance(value, str):
        return value
    text = value.replace(" ", "")
    if not text or _PART.sub("", text):
        raise ValueError(f"{value!r} is not a duration; write it like 45m, 6h, 2d or 1d12h")
    return sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in _PART.findall(text)), timedelta())


Duration = Annotated[timedelta, BeforeValidator(duration)]


class Strict(BaseModel):
    """Base of everything in a rules file: unknown fields are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(Strict):
    """One thing to watch. Each topic, company or source in its scope has an alert of its own."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="stable name; alerts are kept under it")
    title: str = ""
    scope: Scope
    only: tuple[str, ...] = Field((), description="topics, company codes or source ids; empty: all of the scope")
    measure: Measure
    detector: str = Field("default", description="a name of verticals.finance.surges")
    sensitivity: float = Field(0.999, gt=0, lt=1, description="tail probability from which a bucket counts as unusual")
    minimum_stories: int = Field(5, ge=1, description="fewer stories in the window never raise an alert")
    window: Duration = Field(timedelta(hours=24), gt=timedelta(0), description="width of the bucket that is judged")
    severity: Severity = "warning"
    pending: Duration = Field(timedelta(0), ge=timedelta(0), description="must last so long before it fires")
    recovery: Duration = Field(
        timedelta(hours=6), ge=timedelta(0), description="calm for so long before it is resolved"
    )
    repeat: Duration = Field(timedelta(hours=24), gt=timedelta(0), description="remind while it fires unacknowledged")
    nodata: Duration = Field(timedelta(hours=6), gt=timedelta(0), description="silent source for so long: NoData")
    flap_limit: int = Field(3, ge=1, description="episodes within flap_window after which it counts as flapping")
    flap_window: Duration = Field(timedelta(days=3), gt=timedelta(0))
    group_by: tuple[str, ...] = Field((), description="labels; alerts that agree in them are sent in one message")
    group_wait: Duration = Field(timedelta(minutes=1), ge=timedelta(0), description="wait for others of the group")
    enabled: bool = True


class Receiver(Strict):
    """Where notifications go: an http(s) webhook or any Apprise address (mailto://, slack://, …)."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    url: str = Field(min_length=4, repr=False)
    minimum_severity: Severity = "info"
    scopes: tuple[Scope, ...] = ()
    resolved: bool = Field(True, description="also tell when an alert is resolved")
    batch: int = Field(50, ge=1, le=500, description="most alerts in one message")


class Matcher(Strict):
    """One condition on an alert's labels; a label with several values matches when any of them does."""

    label: str
    value: str
    regex: bool = False

    @model_validator(mode="after")
    def _compiles(self) -> "Matcher":
        if self.regex:
            try:
                re.compile(self.value)
            except re.error as error:
                raise ValueError(f"{self.value!r} is not a regular expression: {error}") from error
        return self

    def matches(self, labels: Mapping[str, Any]) -> bool:
        """Whether the labels satisfy the condition."""
        found = values_of(labels, self.label)
        if self.regex:
            return any(re.fullmatch(self.value, text) for text in found)
        return self.value in found


class Inhibition(Strict):
    """While an alert matching ``source`` is active, alerts matching ``target`` with equal labels are not sent."""

    source: tuple[Matcher, ...] = Field(min_length=1)
    target: tuple[Matcher, ...] = Field(min_length=1)
    equal: tuple[str, ...] = ()

    def mutes(self, source: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
        """Whether an active alert with labels ``source`` keeps one with labels ``target`` quiet."""
        return (
            all(m.matches(source) for m in self.source)
            and all(m.matches(target) for m in self.target)
            and all(set(values_of(source, label)) & set(values_of(target, label)) for label in self.equal)
        )


class RuleBook(Strict):
    """A whole rules file."""

    rules: tuple[Rule, ...] = ()
    receivers: tuple[Receiver, ...] = ()
    inhibitions: tuple[Inhibition, ...] = ()

    @model_validator(mode="after")
    def _names_once(self) -> "RuleBook":
        for kind, names in (("rule", [r.id for r in self.rules]), ("receiver", [r.name for r in self.receivers])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{kind} {twice[0]!r} is there twice")
        return self

    def rule(self, name: str) -> Rule | None:
        """The rule of that id."""
        return next((rule for rule in self.rules if rule.id == name), None)


def values_of(labels: Mapping[str, Any], label: str) -> tuple[str, ...]:
    """The values of one label; a missing one has none."""
    value = labels.get(label, ())
    return (value,) if isinstance(value, str) else tuple(str(v) for v in value)


def load_rules(path: Path) -> RuleBook:
    """Read a rules file. Raises InputError naming the file, the table and the field."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}.") from error
    return parse_rules(values, str(path))


def parse_rules(values: Mapping[str, Any], where: str) -> RuleBook:
    """A rule book from plain values. Raises InputError naming the place."""
    try:
        return RuleBook.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part + 1 if isinstance(part, int) else part) for part in first["loc"])
        raise InputError(f"{where}: {place or 'the file'}: {first['msg'].removeprefix('Value error, ')}.") from error
