"""The bot over REST, under ``/v1/support``: replies as JSON or as server-sent events, knowledge, index versions."""

import re
import threading
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, HTTPException, Path, Query, Request, UploadFile
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from core.api.access import Caller, require
from core.api.events import stream
from core.api.problems import NotFound, documented
from core.errors import InputError
from core.operations.database import open_database
from verticals.support import dial
from verticals.support.bot import LONGEST, Bot
from verticals.support.knowledge import store
from verticals.support.knowledge.ingest import Blob, IngestReport, ingest_blobs, remove
from verticals.support.knowledge.reading import FILE_BYTES, READERS
from verticals.support.replies import Reply, Role, Turn
from verticals.support.tables import metadata

Agent = Annotated[Caller, Depends(require("agent"))]
Admin = Annotated[Caller, Depends(require("admin"))]
Name = Annotated[str, Path(min_length=1, max_length=300)]
Group = Annotated[str, Field(min_length=1, max_length=100)]
_lock = threading.Lock()
_SENTENCE = re.compile(r"[^.!?。！？\n]*[.!?。！？\n]+\s*|[^.!?。！？\n]+$")


class TurnBody(BaseModel):
    """One earlier message."""

    model_config = ConfigDict(extra="forbid")

    role: Role
    text: str = Field(min_length=1, max_length=LONGEST)


class Question(BaseModel):
    """A customer's question with what was said before it."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=LONGEST, examples=["my card still hasn't arrived, what now?"])
    history: list[TurnBody] = Field(default_factory=list, max_length=50)
    groups: list[Group] | None = Field(None, min_length=1, max_length=20, description="Unless given: all you may read.")
    slots: dict[str, str] = Field(default_factory=dict, max_length=20)


class Comparison(BaseModel):
    """Two versions and the questions to compare them on; the shipped ones unless given."""

    model_config = ConfigDict(extra="forbid")

    old: int = Field(ge=1)
    new: int | None = Field(None, ge=1)
    questions: list[Annotated[str, Field(min_length=1, max_length=LONGEST)]] | None = Field(None, max_length=200)


class Rollback(BaseModel):
    """The version to serve again; unless given the one before the current."""

    model_config = ConfigDict(extra="forbid")

    number: int | None = Field(None, ge=1)


class Promise(BaseModel):
    """The share of right answers wanted among those given."""

    model_config = ConfigDict(extra="forbid")

    precision: float = Field(gt=0.5, lt=1.0, examples=[0.95])


def bot_of(request: Request) -> Bot:
    """The process's bot, opened once; its index follows what is published."""
    state = request.app.state
    with _lock:
        if getattr(state, "support", None) is None:
            from verticals.support.opening import open_default

            state.support = open_default()
        return state.support


def database_of(request: Request) -> Engine:
    """The application's database, its tables made once."""
    state = request.app.state
    with _lock:
        if getattr(state, "support_database", None) is None:
            state.support_database = open_database(metadata)
        return state.support_database


BotOf = Annotated[Bot, Depends(bot_of)]
Database = Annotated[Engine, Depends(database_of)]


def router() -> APIRouter:
    """All routes of the application."""
    made = APIRouter(prefix="/v1/support")
    for add in (_replies, _knowledge, _versions, _dial):
        add(made)
    from verticals.support.routes_conversations import router as conversations  # it imports from this module

    made.include_router(conversations)
    return made


def allowed_groups(caller: Caller, wanted: Sequence[str] | None, bot: Bot) -> tuple[str, ...]:
    """What the caller reads with. Raises 403 for a group that their role is not in."""
    if caller.role == "admin":
        every = {group for document in bot.retrieval.knowledge.documents() for group in document.groups}
        return tuple(wanted or sorted(every))
    own = bot.settings.role_groups.get(caller.role, ("public",))
    strange = sorted(set(wanted or ()) - set(own))
    if strange:
        raise HTTPException(403, f"the role {caller.role} may not read for the groups {', '.join(strange)}.")
    return tuple(wanted or own)


def _replies(made: APIRouter) -> None:
    @made.post("/reply", summary="Answer a question", responses=documented(403))
    def reply(question: Question, caller: Agent, bot: BotOf, request: Request) -> Any:
        """The answer with intent, confidence and sources. With ``Accept: text/event-stream`` it comes in pieces:
        ``sources``, then ``text`` sentence by sentence, then ``reply`` with everything.
        """
        groups = allowed_groups(caller, question.groups, bot)
        history = [Turn(turn.role, turn.text) for turn in question.history]
        if not question.text.strip():
            raise InputError("the question is blank; write what the customer asks.")
        if "text/event-stream" in request.headers.get("accept", ""):
            return stream(_pieces(bot, question, history, groups))
        return bot.reply(question.text, history, groups, question.slots).to_dict()


def _pieces(bot: Bot, question: Question, history: list[Turn], groups: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    yield "started", {}
    reply: Reply = bot.reply(question.text, history, groups, question.slots)
    yield "sources", [citation.to_dict() for citation in reply.citations]
    for sentence in _SENTENCE.findall(reply.answer):
        yield "text", sentence
    yield "reply", reply.to_dict()


def _knowledge(made: APIRouter) -> None:
    @made.get("/knowledge", summary="List documents")
    def documents(
        caller: Agent,
        bot: BotOf,
        offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Any:
        """Documents that the caller may read, by id; others are not counted."""
        every = sorted(bot.retrieval.knowledge.documents(allowed_groups(caller, None, bot)), key=lambda one: one.id)
        shown = [
            {name: getattr(one, name) for name in ("id", "title", "language", "groups", "updated", "url")}
            for one in every[offset : offset + limit]
        ]
        return {"documents": shown, "total": len(every)}

    @made.get("/knowledge/{name}", summary="Read a document", responses=documented(404))
    def document(name: Name, caller: Agent, bot: BotOf) -> Any:
        """Its plain text: positions of citations are positions in it."""
        found = _document(bot, name, allowed_groups(caller, None, bot))
        values = found.to_dict()
        return {key: values[key] for key in ("id", "title", "text", "sections", "language", "groups", "updated", "url")}

    @made.post("/knowledge", summary="Upload documents")
    async def upload(
        caller: Admin,
        bot: BotOf,
        files: Annotated[list[UploadFile], File(description=f"Any of {', '.join(READERS)}.")],
        groups: Annotated[list[str] | None, Form(description="Who may read them; public unless given.")] = None,
    ) -> Any:
        """Read files into a new version of the index; a file of a known name replaces its documents.

        What cannot be read is listed with its reason and stops nothing.
        """
        blobs = [await _blob(file) for file in files]
        done: IngestReport = await run_in_threadpool(_ingest, bot, blobs, groups)
        return done.to_dict()

    @made.delete("/knowledge/{name}", summary="Remove a document", responses=documented(404))
    def delete(name: Name, caller: Admin, bot: BotOf) -> Any:
        """Publish a version without it; the versions before still have it."""
        _document(bot, name, None)
        done = remove([name], bot.settings.index, bot.retrieval.encoder, bot.settings.keep_versions)
        bot.retrieval.refresh()
        return done.to_dict()


def _document(bot: Bot, name: str, groups: Sequence[str] | None) -> Any:
    try:
        return bot.retrieval.knowledge.document(name, groups)
    except InputError as error:
        raise NotFound(str(error)) from error


async def _blob(file: UploadFile) -> Blob:
    name = re.split(r"[/\\]", file.filename or "")[-1][:200] or "document"
    data = await file.read(FILE_BYTES + 1)  # one more than is read: then it is known to be too large
    return Blob(f"upload:{name}", name, lambda: data)


def _ingest(bot: Bot, blobs: Sequence[Blob], groups: Sequence[str] | None) -> IngestReport:
    named = [group for group in groups or () if group.strip()]
    done = ingest_blobs(blobs, bot.settings.index, bot.retrieval.encoder, named or None, bot.settings.keep_versions)
    bot.retrieval.refresh()
    return done


def _versions(made: APIRouter) -> None:
    @made.get("/index", summary="List versions of the index")
    def versions(caller: Admin, bot: BotOf) -> Any:
        """Newest first; one is served."""
        return {"versions": [one.to_dict() for one in store.versions(bot.settings.index)]}

    @made.post("/index/rollback", summary="Serve an earlier version")
    def rollback(wanted: Rollback, caller: Admin, bot: BotOf) -> Any:
        """Searches that run end in the version they began in."""
        info = store.rollback(bot.settings.index, wanted.number)
        bot.retrieval.refresh()
        return info.to_dict()

    @made.post("/index/diff", summary="Compare two versions")
    def diff(wanted: Comparison, caller: Admin, bot: BotOf) -> Any:
        """What the first five passages of saved questions are in one and in the other."""
        from verticals.support.saved import saved_questions

        questions = wanted.questions or saved_questions()
        found = store.diff_versions(bot.settings.index, bot.retrieval.encoder, questions, wanted.old, wanted.new)
        return {"changes": [change.to_dict() for change in found]}


def _dial(made: APIRouter) -> None:
    @made.get("/dial", summary="Show the precision dial")
    def show(caller: Admin, bot: BotOf, engine: Database) -> Any:
        """Thresholds in force, the curve of coverage against precision on the judged answers, and the drift warning."""
        return dial.state(engine, bot.settings).to_dict()

    @made.put("/dial", summary="Turn the precision dial")
    def turn(wanted: Promise, caller: Admin, bot: BotOf, engine: Database) -> Any:
        """Fit the thresholds to the judged answers; refused where those cannot support the promise."""
        return dial.turn(engine, bot.settings, wanted.precision).to_dict()
