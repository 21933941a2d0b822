"""The monitor over REST, under ``/v1/finance``. Reading and deciding need the role analyst."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from sqlalchemy import Engine

from core.api.access import Caller, require
from core.api.problems import NotFound
from core.errors import InputError
from verticals.finance import export, pushing, reading, relabelling, rulebooks, watch
from verticals.finance.alerts import actions, inbox
from verticals.finance.opening import utc_now
from verticals.finance.requests import (
    Assignment,
    NewSource,
    Note,
    Pushes,
    Relabel,
    Rules,
    Silence,
    Snooze,
    Switch,
    Texts,
)
from verticals.finance.settings import FinanceSettings, finance_settings

Scope = Literal["all", "topic", "company", "source"]
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
AlertId = Annotated[str, Path(pattern="^[0-9a-f]{8,64}$")]
Days = Annotated[int, Query(ge=1, le=3660)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Analyst = Annotated[Caller, Depends(require("analyst"))]
_lock = threading.Lock()


def _engine(request: Request) -> Engine:
    """The application's database, its tables made once."""
    from verticals.finance.opening import open_store

    state = request.app.state
    with _lock:
        if getattr(state, "finance", None) is None:
            state.finance = open_store()
        return state.finance


Database = Annotated[Engine, Depends(_engine)]
Configured = Annotated[FinanceSettings, Depends(finance_settings)]


_PARQUET = "application/vnd.apache.parquet"
# What ``format`` may make of an answer, for the OpenAPI document.
_FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {}, "text/csv": {}, _PARQUET: {}}},
}


def router() -> APIRouter:
    """All routes of the monitor."""
    made = APIRouter(prefix="/v1/finance", dependencies=[Depends(require("analyst"))])
    for add in (_reads, _articles, _sources, _alerts, _rules):
        add(made)
    return made


def _found(read: Callable[..., Any], *arguments: Any) -> Any:
    """What was read; an InputError that says there is no such thing is a 404."""
    try:
        return read(*arguments)
    except InputError as error:
        if str(error).startswith(("there is no", "no alert begins")):
            raise NotFound(str(error)) from error
        raise


def _reads(made: APIRouter) -> None:
    @made.get("/status")
    def status(engine: Database, settings: Configured) -> dict[str, Any]:
        """How much there is and when each stage ran last."""
        return reading.status(engine, settings)

    @made.get("/trends", responses=_FILES)
    def trends(
        engine: Database,
        scope: Scope = "topic",
        subject: Annotated[str | None, Query(max_length=200)] = None,
        days: Days = 14,
        step: Literal["hour", "day", "week"] = "day",
        format: Literal["json", "csv", "parquet"] = "json",
    ) -> Any:
        """Stories, negative ones and the mean score over time."""
        now = utc_now()
        return _as(reading.trend(engine, now - timedelta(days=days), now, scope, subject, step), format, "trends")

    @made.get("/stories", responses=_FILES)
    def stories(
        engine: Database,
        scope: Scope = "all",
        subject: Annotated[str, Query(max_length=200)] = "",
        sentiment: Literal["negative", "neutral", "positive"] | None = None,
        containing: Annotated[str, Query(max_length=200)] = "",
        days: Days = 14,
        limit: Limit = 100,
        format: Literal["json", "csv", "parquet"] = "json",
    ) -> Any:
        """Stories, newest first."""
        now = utc_now()
        since = now - timedelta(days=days)
        found = reading.stories(engine, since, now, scope, subject, sentiment, containing, limit)
        return _as(found, format, "stories")

    @made.get("/stories/{number}")
    def story(engine: Database, number: Id) -> dict[str, Any]:
        """One story with its articles."""
        return dict(_found(reading.story, engine, number))

    @made.post("/score")
    def score(body: Texts) -> list[dict[str, Any]]:
        """Sentiment, topic and companies of each text."""
        from verticals.finance.served import score as judge

        return judge(list(body.texts))


def _as(rows: list[dict[str, Any]], format: str, name: str) -> Any:
    if format == "json":
        return rows
    body, kind = (export.to_csv(rows), "text/csv") if format == "csv" else (export.to_parquet(rows), _PARQUET)
    return Response(body, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}.{format}"'})


def _articles(made: APIRouter) -> None:
    @made.post("/articles", status_code=202)
    def push(engine: Database, body: Pushes) -> dict[str, Any]:
        """Take articles that a sender pushes. Sending the same ones again changes nothing."""
        return pushing.push(engine, body.articles, utc_now()).to_dict()

    @made.get("/articles", responses=_FILES)
    def articles(
        engine: Database,
        source: Annotated[str, Query(max_length=64)] = "",
        containing: Annotated[str, Query(max_length=200)] = "",
        days: Days = 14,
        limit: Limit = 100,
        format: Literal["json", "csv", "parquet"] = "json",
    ) -> Any:
        """Articles with their labels, newest first."""
        now = utc_now()
        found = reading.articles(engine, now - timedelta(days=days), now, source, containing, limit)
        return _as(found, format, "articles")

    @made.get("/articles/{number}")
    def article(engine: Database, number: Id) -> dict[str, Any]:
        """One article with its text, labels and corrections."""
        return dict(_found(reading.article, engine, number))

    @made.get("/articles/{number}/similar")
    def similar(engine: Database, number: Id) -> list[dict[str, Any]]:
        """Articles of the weeks around that mean nearly the same."""
        return reading.similar(engine, number)

    @made.post("/articles/{number}/relabel")
    def relabel(engine: Database, number: Id, body: Relabel, caller: Analyst) -> dict[str, Any]:
        """Correct a label; the story and its counts follow, and the next training learns it."""
        values = (engine, number, body.field, body.label, caller.name, utc_now(), body.company)
        changed = _found(relabelling.relabel, *values)
        return {"changed": changed, "article": reading.article(engine, number)}


def _sources(made: APIRouter) -> None:
    @made.get("/sources")
    def sources(engine: Database, settings: Configured) -> list[dict[str, Any]]:
        """The sources and how they are doing."""
        return [one.to_dict() for one in watch.listed(engine, settings)]

    @made.post("/sources", status_code=201)
    def add(engine: Database, settings: Configured, body: NewSource) -> dict[str, Any]:
        """Watch one more source."""
        return {"id": watch.add(engine, _web(body), settings, utc_now()).id}

    @made.post("/sources/test")
    def test(settings: Configured, body: NewSource) -> dict[str, Any]:
        """Visit a source once and store nothing."""
        from verticals.finance.polling import try_source

        tried = try_source(_web(body), settings)
        return {**tried.report.to_dict(), "titles": [item.title for item in tried.items[:10]]}

    @made.put("/sources/{source}")
    def switch(engine: Database, source: Annotated[str, Path(max_length=64)], body: Switch) -> dict[str, Any]:
        """Poll a source, or leave it alone."""
        _found(watch.enable, engine, source, body.enabled)
        return {"id": source, "enabled": body.enabled}

    @made.delete("/sources/{source}", status_code=204)
    def remove(engine: Database, source: Annotated[str, Path(max_length=64)]) -> None:
        """Forget a source; its articles stay."""
        _found(watch.remove, engine, source)


def _web(body: NewSource) -> dict[str, Any]:
    """Whoever calls from elsewhere may add what lies on the web, but not this machine's files or variables."""
    row = dict(body.source)
    if row.get("kind") in ("folder", "csv"):
        raise InputError("source: files of the server cannot be watched over the API; use the command line.")
    if "${" in str(row.get("headers", "")):
        raise InputError("source: variables in headers cannot be used over the API; use the command line.")
    return row


def _alerts(made: APIRouter) -> None:
    @made.get("/alerts")
    def alerts(engine: Database, everything: bool = False) -> list[dict[str, Any]]:
        """Open alerts, the gravest first; with ``everything`` also those that are over."""
        return inbox.listed(engine, everything)

    @made.get("/alerts/{alert}")
    def alert(engine: Database, alert: AlertId) -> dict[str, Any]:
        """One alert with its evidence, trail and messages."""
        return dict(_found(inbox.shown, engine, alert))

    @made.post("/alerts/{alert}/acknowledge")
    def acknowledge(engine: Database, alert: AlertId, caller: Analyst) -> dict[str, Any]:
        """Somebody has seen it: no more reminders."""
        _found(actions.acknowledge, engine, alert, caller.name, utc_now())
        return inbox.shown(engine, alert)

    @made.post("/alerts/{alert}/assign")
    def assign(engine: Database, alert: AlertId, body: Assignment, caller: Analyst) -> dict[str, Any]:
        """Give it to somebody; an empty name takes it back."""
        _found(actions.assign, engine, alert, caller.name, utc_now(), body.assignee)
        return inbox.shown(engine, alert)

    @made.post("/alerts/{alert}/note")
    def note(engine: Database, alert: AlertId, body: Note, caller: Analyst) -> dict[str, Any]:
        """Write a remark into its trail."""
        _found(actions.note, engine, alert, caller.name, utc_now(), body.text)
        return inbox.shown(engine, alert)

    @made.post("/alerts/{alert}/snooze")
    def snooze(engine: Database, alert: AlertId, body: Snooze, caller: Analyst) -> dict[str, Any]:
        """Send nothing about it before a time."""
        _found(actions.snooze, engine, alert, caller.name, utc_now(), _aware(body.until))
        return inbox.shown(engine, alert)

    @made.post("/alerts/{alert}/resolve")
    def resolve(engine: Database, alert: AlertId, body: Note, caller: Analyst) -> dict[str, Any]:
        """Close it; it is not raised again before it was calm."""
        _found(actions.resolve, engine, alert, caller.name, utc_now(), body.text)
        return inbox.shown(engine, alert)

    @made.get("/silences")
    def silences(engine: Database) -> list[dict[str, Any]]:
        """Silences in force or to come."""
        return inbox.silences(engine, utc_now())

    @made.post("/silences", status_code=201)
    def silence(engine: Database, body: Silence, caller: Analyst) -> dict[str, Any]:
        """Send nothing about alerts that match all conditions, until it expires."""
        starts = _aware(body.starts) if body.starts is not None else utc_now()
        return {"id": actions.silence(engine, body.matchers, caller.name, starts, _aware(body.ends), body.comment)}

    @made.delete("/silences/{number}", status_code=204)
    def expire(engine: Database, number: Id) -> None:
        """End a silence now."""
        _found(actions.expire, engine, number, utc_now())


def _rules(made: APIRouter) -> None:
    @made.get("/rules")
    def rules(engine: Database, settings: Configured) -> dict[str, Any]:
        """The rule book in force, as TOML."""
        return rulebooks.current(engine, settings).to_dict()

    @made.put("/rules")
    def save(engine: Database, settings: Configured, body: Rules, caller: Analyst) -> dict[str, Any]:
        """Check a rule book and put it in force. Where alerts are sent to is changed by an admin alone."""
        book, now_in_force = rulebooks.parse(body.text), rulebooks.parse(rulebooks.current(engine, settings).text)
        if book.receivers != now_in_force.receivers and caller.role != "admin":
            raise HTTPException(403, "Receivers are changed by an admin alone; leave them as they are.")
        return {"version": rulebooks.save(engine, body.text, caller.name, utc_now(), body.comment)}


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
