"""``/v1/triage``: nurses use the role agent."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from core.api.access import Caller, require
from headwater_triage.desk import Desk

router = APIRouter(prefix="/v1/triage", dependencies=[Depends(require("agent"))])


def _desk() -> Desk:
    return Desk.open()


DeskOf = Annotated[Desk, Depends(_desk)]
Urgency = Literal["emergency", "soon", "routine"]


class Incoming(BaseModel):
    """Messages as patients wrote them."""

    model_config = ConfigDict(extra="forbid")
    texts: list[Annotated[str, Field(min_length=1, max_length=20_000)]] = Field(min_length=1, max_length=256)


class Word(BaseModel):
    """What a person says."""

    model_config = ConfigDict(extra="forbid")
    urgency: Urgency


class Message(BaseModel):
    """One message; ``urgency`` is null until the worker has assessed it, ``said`` until somebody has spoken."""

    id: int
    text: str
    received: datetime
    urgency: str | None
    probability: float | None
    assessed: datetime | None
    said: str | None


@router.post("/messages", status_code=201, summary="Take messages in")
def add(given: Incoming, desk: DeskOf) -> dict[str, list[int]]:
    """Their numbers; the worker assesses them within seconds."""
    return {"messages": desk.add(given.texts)}


@router.get("/queue", response_model=list[Message], summary="What to look at, the most urgent first")
def queue(desk: DeskOf) -> Any:
    """At most fifty."""
    return desk.queue()


@router.put("/messages/{message}/urgency", status_code=204, summary="Say what is right")
def say(
    message: Annotated[int, Path(ge=1, le=2**31 - 1)],
    word: Word,
    desk: DeskOf,
    caller: Annotated[Caller, Depends(require("agent"))],
) -> None:
    """Goes before the model's word from now on, and becomes a training row."""
    desk.say(message, word.urgency, caller.name)
