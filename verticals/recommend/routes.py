"""The recommender over HTTP: score a caller's candidates, users, items, events, export."""

import io
from typing import Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from core.api.access import require
from core.errors import InputError
from verticals.recommend.rows import events_of, items_of
from verticals.recommend.rules import parse_rules
from verticals.recommend.scored import frame_of
from verticals.recommend.served import served

router = APIRouter(prefix="/v1/recommend", tags=["recommend"], dependencies=[Depends(require("product"))])
Method = Literal["mmr", "dpp", "calibrated"]
MOST_USERS = 2000


class Asked(BaseModel):
    """For whom and how; nothing about the user need be known."""

    model_config = ConfigDict(extra="forbid")

    user: str | None = None
    history: list[str] | None = Field(default=None, description="ids of past items, oldest first")
    interest: str | None = Field(default=None, max_length=5000, description="what somebody is interested in, in words")
    weights: dict[str, float] | None = Field(default=None, description="weights of the blend set by hand")
    variety: float = Field(default=0.0, description="0: the ranker's order, 1: variety alone")
    method: Method = "mmr"
    rules: list[dict[str, Any]] = Field(default=[], description="pin, boost, bury, exclude, quota, cap")
    explain: int = Field(default=20, ge=0, le=1000, description="rows with reasons")

    def options(self) -> dict[str, Any]:
        """Arguments of the recommender."""
        given = self.model_dump(exclude={"rules", "candidates", "k"})
        return {**given, "rules": parse_rules(self.rules)}


class ScoreRequest(Asked):
    """A list to rank."""

    candidates: list[str]


class BestRequest(Asked):
    """A list to be made."""

    k: int = Field(default=10, ge=1, le=1000)


class ItemRows(BaseModel):
    """Items to add or replace; further columns are kept."""

    model_config = ConfigDict(extra="forbid")

    items: list[dict[str, Any]] = Field(max_length=100_000)


class EventRows(BaseModel):
    """Events to append; one without ``event`` is an item that was shown and left alone."""

    model_config = ConfigDict(extra="forbid")

    events: list[dict[str, Any]]


class ExportRequest(Asked):
    """Lists of many users in one file."""

    users: list[str] | None = Field(default=None, description="all known users unless given")
    k: int = Field(default=10, ge=1, le=100)
    format: Literal["csv", "parquet"] = "csv"


@router.post("/score", summary="Score candidates for a user, a history or an interest")
def score(asked: ScoreRequest) -> dict[str, Any]:
    """Ranks, scores, probabilities, reasons, and the cost of rules."""
    return served().score(asked.candidates, **asked.options()).to_dict()


@router.post("/best", summary="The best items of the catalogue")
def best(asked: BestRequest) -> dict[str, Any]:
    """As score, over everything the user has not had."""
    return served().recommend(k=asked.k, **asked.options()).to_dict()


@router.get("/users/{user}", summary="What is known of a user, and what to show next")
def user(user: str, k: int = Query(default=10, ge=1, le=100), recent: int = Query(default=20, ge=0, le=500)) -> Any:
    """``{"user", "known", "events", "recent": […], "recommended": {…}}``."""
    opened = served()
    return {**opened.profile(user, recent), "recommended": opened.recommend(user, k).to_dict()}


@router.put("/items", summary="Add or replace items")
def upsert(rows: ItemRows) -> dict[str, Any]:
    """All or none; they can be scored when this returns."""
    return served().upsert_items(items_of(rows.items), "REST").to_dict()


@router.get("/items/{item}/similar", summary="The nearest items")
def similar(
    item: str, k: int = Query(default=10, ge=1, le=100), by: Literal["text", "behaviour"] = "text"
) -> list[dict[str, Any]]:
    """By text, or by who engaged with both."""
    return served().similar(item, k, by)


@router.get("/search", summary="Items by meaning")
def search(q: str = Query(min_length=1, max_length=2000), k: int = Query(default=10, ge=1, le=100)) -> Any:
    """Items whose text means what ``q`` says."""
    return served().search(q, k)


@router.post("/events", summary="Append events")
def append(rows: EventRows) -> dict[str, Any]:
    """All or none; users' tastes follow at once, nothing is learnt again."""
    opened = served()
    if len(rows.events) > opened.settings.max_events:
        raise InputError(f"{len(rows.events)} events at once; at most {opened.settings.max_events} are taken.")
    return opened.append_events(events_of(rows.events), "REST").to_dict()


@router.post("/export", summary="Lists of many users as CSV or Parquet")
def export(asked: ExportRequest) -> Response:
    """One row a user and item, best first."""
    opened = served()
    users = asked.users if asked.users is not None else sorted(opened.snapshot.users)
    if len(users) > MOST_USERS:
        raise InputError(f"{len(users)} users in one export; at most {MOST_USERS}, so ask in parts.")
    given = asked.model_dump(include={"weights", "variety", "method"})
    rules = parse_rules(asked.rules)
    frame = frame_of([opened.recommend(name, asked.k, **given, rules=rules, explain=0) for name in users])
    buffer = io.BytesIO()
    if asked.format == "csv":
        frame.to_csv(buffer, index=False)
        return Response(buffer.getvalue(), media_type="text/csv")
    frame.to_parquet(buffer, index=False)
    return Response(buffer.getvalue(), media_type="application/vnd.apache.parquet")


@router.get("/status", summary="What is loaded and trained")
def status() -> dict[str, Any]:
    """Versions, counts, and the features of the ranker."""
    return served().status()
