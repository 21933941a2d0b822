"""Conversations, feedback, the review queue and the figures over REST, under ``/v1/support``."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from core.api.access import Caller, require
from core.api.problems import NotFound, documented
from core.errors import InputError
from verticals.support.analytics import summary, unanswered
from verticals.support.annotations import Annotations
from verticals.support.conversations import Conversations, Status
from verticals.support.export import MEDIA, Format, Kind, export
from verticals.support.feedback import Verdict, judge
from verticals.support.review import Review, publisher
from verticals.support.routes import BotOf, allowed_groups

Agent = Annotated[Caller, Depends(require("agent"))]
Reader = Annotated[Caller, Depends(require("agent", "analyst"))]
Admin = Annotated[Caller, Depends(require("admin"))]
Id = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[0-9a-f]+$")]
Words = Annotated[str, Field(max_length=20_000, pattern=r"^[^\x00]*$")]
Since = Annotated[datetime | None, Query(description="ISO 8601 with a zone, inclusive.")]
Until = Annotated[datetime | None, Query(description="ISO 8601 with a zone, exclusive.")]

router = APIRouter()


class Message(BaseModel):
    """A customer's message in a conversation."""

    model_config = ConfigDict(extra="forbid")

    text: Words = Field(min_length=1)
    conversation: str | None = Field(None, max_length=64, description="Begins a new one unless given.")
    groups: list[str] | None = Field(None, min_length=1, max_length=20)
    slots: dict[str, str] = Field(default_factory=dict, max_length=20)
    send: bool = Field(True, description="The answer goes out as it is; false: an agent decides.")


class AgentMessage(BaseModel):
    """What an agent writes themselves."""

    model_config = ConfigDict(extra="forbid")

    text: Words = Field(min_length=1)


class StatusBody(BaseModel):
    """The state of a conversation."""

    model_config = ConfigDict(extra="forbid")

    status: Status
    summary: Words = ""


class Judgement(BaseModel):
    """What an agent thinks of a reply. An edited one carries the answer that was sent."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict
    answer: Words = ""
    reason: Words = ""
    intent: str | None = Field(None, max_length=120)


class Decision(BaseModel):
    """What becomes of a proposal; fields that are given replace those proposed."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "edit", "reject"]
    name: Words | None = None
    label: str | None = Field(None, max_length=120)
    answer: Words | None = None
    questions: list[Words] | None = Field(None, min_length=1, max_length=1_000)
    groups: list[str] = Field(default_factory=lambda: ["public"], min_length=1, max_length=20)
    reason: Words = ""


def _conversations() -> Conversations:
    return Conversations.open()


Talks = Annotated[Conversations, Depends(_conversations)]


def _aware(time: datetime | None) -> datetime | None:
    if time is not None and time.tzinfo is None:
        raise InputError("the time has no zone; add Z or an offset such as +00:00.")
    return time


def _found(talks: Conversations, name: str) -> dict[str, Any]:
    try:
        return talks.read(name)
    except InputError as error:
        raise NotFound(str(error)) from error


@router.post("/conversations", summary="Ask within a conversation", responses=documented(403, 404))
def ask(message: Message, caller: Agent, bot: BotOf, talks: Talks) -> Any:
    """Answer with what was said before, and keep question, reply, citations and latency."""
    if message.conversation is not None:
        _found(talks, message.conversation)
    groups = allowed_groups(caller, message.groups, bot)
    options = {"slots": message.slots, "channel": "api", "send": message.send}
    return talks.answer(bot, message.text, message.conversation, groups, **options).to_dict()  # type: ignore[arg-type]


@router.get("/conversations", summary="List conversations")
def conversations(
    caller: Agent,
    talks: Talks,
    status: Status | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> Any:
    """Those changed last come first."""
    return {"conversations": talks.list(status, limit, offset)}


@router.get("/conversations/{name}", summary="Read a conversation", responses=documented(404))
def conversation(name: Id, caller: Agent, talks: Talks) -> Any:
    """Its messages, replies, citations and feedback."""
    return _found(talks, name)


@router.post("/conversations/{name}/messages", summary="Add an agent's message", responses=documented(404))
def say(name: Id, message: AgentMessage, caller: Agent, talks: Talks) -> Any:
    """Written by a person, not by the bot."""
    _found(talks, name)
    talks.say(name, "agent", message.text)
    return talks.read(name)


@router.put("/conversations/{name}/status", summary="Hand over, close or reopen", responses=documented(404))
def set_status(name: Id, body: StatusBody, caller: Agent, talks: Talks) -> Any:
    """The summary is for the human who takes over."""
    _found(talks, name)
    talks.set_status(name, body.status, body.summary)
    return {"conversation": name, "status": body.status}


@router.delete("/conversations/{name}", summary="Delete a conversation", responses=documented(404))
def forget(name: Id, caller: Admin, talks: Talks) -> Any:
    """With its replies, citations and feedback."""
    _found(talks, name)
    talks.forget(name)
    return {"conversation": name, "deleted": True}


@router.post("/replies/{name}/feedback", summary="Judge a reply", responses=documented(404))
def feedback(name: Id, body: Judgement, caller: Agent, bot: BotOf, talks: Talks) -> Any:
    """The last verdict counts. An edited answer is used again for nearly the same question."""
    asked = talks.question(name)
    if asked is None:
        raise NotFound(f"there is no reply {name!r}.")
    vector = bot.encode(asked) if body.verdict == "edited" else None
    annotations = Annotations(talks.engine)
    options = {"answer": body.answer, "reason": body.reason, "intent": body.intent, "vector": vector}
    return judge(annotations, name, body.verdict, caller.name, **options).to_dict()  # type: ignore[arg-type]


@router.get("/annotations", summary="List annotated answers")
def annotations(caller: Agent, talks: Talks) -> Any:
    """Answers that agents wrote, newest first."""
    return {"annotations": Annotations(talks.engine).list()}


@router.delete("/annotations/{name}", summary="Withdraw an annotated answer", responses=documented(404))
def withdraw(name: Id, caller: Admin, talks: Talks) -> Any:
    """It is used no longer."""
    try:
        Annotations(talks.engine).remove(name)
    except InputError as error:
        raise NotFound(str(error)) from error
    return {"annotation": name, "active": False}


@router.get("/review", summary="List proposals")
def proposals(
    caller: Agent,
    status: Literal["pending", "approved", "rejected"] = "pending",
    kind: Literal["faq", "intent"] | None = None,
) -> Any:
    """What mining found in logs, largest group first."""
    return {"proposals": Review.open().list(status, kind)}


@router.post("/review/{name}", summary="Decide on a proposal", responses=documented(404))
def decide(name: Id, body: Decision, caller: Admin, bot: BotOf) -> Any:
    """An approved FAQ entry goes into a new version of the knowledge base, an approved intent to the training rows."""
    review = Review.open()
    try:
        review.read(name)
    except InputError as error:
        raise NotFound(str(error)) from error
    if body.decision == "reject":
        review.reject(name, caller.name, body.reason)
        return review.read(name)
    given = {key: getattr(body, key) for key in ("name", "label", "answer", "questions")}
    changes = {key: value for key, value in given.items() if value is not None}
    if changes:
        review.edit(name, caller.name, **changes)
    if body.decision == "approve":
        return review.approve(name, caller.name, publisher(bot), body.groups)
    return review.read(name)


@router.get("/analytics", summary="Figures")
def analytics(
    caller: Reader,
    bot: BotOf,
    talks: Talks,
    since: Since = None,
    until: Until = None,
    groups: Annotated[int, Query(ge=0, le=50, description="How many groups of unanswered questions.")] = 10,
) -> Any:
    """Answered, clarified, handed over, acceptance and latency, by day and by intent; what nobody answered."""
    since, until = _aware(since), _aware(until)
    found = unanswered(talks.engine, bot.retrieval.encoder, since, until, groups) if groups else []
    return {**summary(talks.engine, since, until), "unanswered": found}


@router.get("/export/{kind}", summary="Export", response_class=Response)
def exported(
    kind: Kind, caller: Admin, talks: Talks, format: Format = "jsonl", since: Since = None, until: Until = None
) -> Response:
    """Messages, replies with feedback, or annotated answers as CSV, Parquet or JSON lines."""
    data = export(talks.engine, kind, format, _aware(since), _aware(until))
    name = f'attachment; filename="support-{kind}.{format}"'
    return Response(data, media_type=MEDIA[format], headers={"Content-Disposition": name})
