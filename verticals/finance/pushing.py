"""Articles that come by themselves: pushed to the API, and treated as those that were fetched."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import Engine

from core.errors import InputError
from verticals.finance import store
from verticals.finance.fetching.dates import EARLIEST
from verticals.finance.fetching.items import MAX_SUMMARY, MAX_TEXT, MAX_TITLE, Item, plain_text, tag_list, web_url

MOST = 1000  # articles in one push


class Pushed(BaseModel):
    """One article as a sender writes it. ``id`` or ``url`` tells it from others; without both, its title and day do."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=5000)
    source: str = Field("push", pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    id: str | None = Field(None, max_length=500)
    url: str | None = Field(None, max_length=2048)
    published: datetime | None = Field(None, description="ISO 8601; without a zone it is UTC; a later time becomes now")
    summary: str = Field("", max_length=100_000)
    text: str = Field("", max_length=1_000_000)
    language: str | None = Field(None, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    tags: tuple[str, ...] = Field((), max_length=20)

    @field_validator("title")
    @classmethod
    def _said(cls, value: str) -> str:
        if not plain_text(value, MAX_TITLE):
            raise ValueError("the title is blank")
        return value

    @field_validator("published")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        try:
            moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError:
            raise ValueError("the date lies outside the calendar") from None
        if moment < EARLIEST:
            raise ValueError(f"{moment.date()} is before {EARLIEST.year} and stands for no date; leave it out")
        return moment


@dataclass(frozen=True)
class Accepted:
    """The article each pushed one became, in their order, and how many of them were new."""

    articles: tuple[int, ...]
    new: int
    updated: int
    duplicates: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        counts = {"new": self.new, "updated": self.updated, "duplicates": self.duplicates}
        return {"articles": list(self.articles), **counts}


def push(engine: Engine, pushed: Sequence[Pushed], now: datetime) -> Accepted:
    """Store them; the same ones again change nothing. Raises InputError when there are too many or none."""
    if not 0 < len(pushed) <= MOST:
        raise InputError(f"{len(pushed)} articles were sent; send between 1 and {MOST} at once.")
    items = [_item(one, now) for one in pushed]
    stored = store.keep(engine, items)
    return Accepted(stored.ids, len(stored.new), len(stored.updated), stored.duplicates)


def _item(one: Pushed, now: datetime) -> Item:
    return Item(
        source=one.source,
        title=plain_text(one.title, MAX_TITLE),
        found=now,
        url=web_url(one.url, "") if one.url else None,
        guid=one.id,
        published=min(one.published, now) if one.published is not None else None,
        summary=plain_text(one.summary, MAX_SUMMARY),
        text=plain_text(one.text, MAX_TEXT),
        language=one.language,
        tags=tag_list(one.tags),
    )
