"""What the monitor's REST routes take."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from verticals.finance.alerts.rules import Matcher
from verticals.finance.pushing import MOST, Pushed


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Pushes(_Body):
    """Articles that a sender pushes."""

    articles: list[Pushed] = Field(min_length=1, max_length=MOST)


class Texts(_Body):
    """Texts to be scored."""

    texts: list[str] = Field(min_length=1, max_length=100)


class Relabel(_Body):
    """A correction: of the article's sentiment or topic, or of the sentiment toward a company (its code)."""

    field: Literal["sentiment", "topic", "company"]
    label: str = Field(min_length=1, max_length=120)
    company: str = Field("", max_length=64)


class NewSource(_Body):
    """A source, with the fields of a ``[[sources]]`` table."""

    source: dict[str, Any]


class Switch(_Body):
    """Whether a source is polled."""

    enabled: bool


class Assignment(_Body):
    """Who takes an alert."""

    assignee: str = Field(max_length=120)


class Note(_Body):
    """A remark."""

    text: str = Field("", max_length=4000)


class Snooze(_Body):
    """When an alert may be sent again."""

    until: datetime


class Silence(_Body):
    """Conditions on labels, and until when."""

    matchers: list[Matcher] = Field(min_length=1, max_length=20)
    ends: datetime
    starts: datetime | None = None
    comment: str = Field("", max_length=1000)


class Rules(_Body):
    """A rule book as TOML."""

    text: str = Field(max_length=200_000)
    comment: str = Field("", max_length=1000)
