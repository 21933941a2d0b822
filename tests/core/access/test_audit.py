"""The audit log: kept in order, part of the change it tells of, and who did it when nobody says so."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from core.access import audit
from core.operations.worker import Worker
from core.settings import get_settings
from core.vertical import Job


def test_newest_first_and_chosen(engine: Engine, clock: Any) -> None:
    for number in range(4):
        audit.record(engine, "rules-save" if number % 2 else "key-create", f"thing {number}", clock(), f"a{number % 3}")
        clock.pass_(hours=1)
    told = [entry.object for entry in audit.entries(engine)]
    assert told == ["thing 3", "thing 2", "thing 1", "thing 0"]
    assert [e.object for e in audit.entries(engine, limit=2)] == told[:2]
    assert [e.object for e in audit.entries(engine, action="rules-save")] == ["thing 3", "thing 1"]
    assert [e.object for e in audit.entries(engine, actor="a0")] == ["thing 3", "thing 0"]
    assert [e.object for e in audit.entries(engine, since=clock.now - timedelta(hours=2))] == ["thing 3", "thing 2"]


def test_it_goes_with_the_change_it_tells_of(engine: Engine, clock: Any) -> None:
    with pytest.raises(RuntimeError), engine.begin() as connection:
        audit.record(connection, "key-create", "key widget", clock())
        raise RuntimeError("the change failed")
    assert audit.entries(engine) == []


def test_who_did_it(engine: Engine, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "operator", lambda: "root")
    audit.record(engine, "act", "1", clock())
    with audit.acting_as("mei", "analyst"):
        audit.record(engine, "act", "2", clock())
        audit.record(engine, "act", "3", clock(), "ana", "agent")
    audit.record(engine, "act", "4", clock())
    found = [(entry.actor, entry.role) for entry in reversed(audit.entries(engine))]
    assert found == [("root", "operator"), ("mei", "analyst"), ("ana", "agent"), ("root", "operator")]


def test_a_job_acts_as_the_worker(engine: Engine, clock: Any) -> None:
    jobs = {("shop", "turn"): Job("turn", lambda: audit.note(get_settings(), "model-promote", "model m"), 60)}
    assert list(Worker(engine, jobs, clock=clock).run_once().values()) == [True]
    (entry,) = audit.entries(engine)
    assert (entry.actor, entry.role, entry.action) == ("worker", "worker", "model-promote")


def test_a_promotion_and_its_way_back_are_recorded(tracked_var: Path, tiny_model: Path) -> None:
    from core.access.users import Users
    from core.serving.registry import Registry

    registry = Registry(get_settings())
    for print_ in ("a" * 12, "b" * 12):
        registry.register("topics", tiny_model, {}, (tiny_model / "recipe.toml").read_text(), print_)
    registry.promote("topics", 2)
    registry.promote("topics", 2)
    registry.rollback("topics")
    found = [(e.action, e.object, e.detail) for e in reversed(audit.entries(Users.open(get_settings()).engine))]
    assert found == [
        ("model-promote", "model topics", {"alias": "production", "version": 2, "before": 1}),
        ("model-rollback", "model topics", {"version": 1, "before": 2}),
    ]


def test_the_deed_stands_when_the_log_is_away(
    private_var: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError("SELECT 1", {"password": "secret"}, Exception("gone"))

    monkeypatch.setattr(audit, "open_database", away)
    audit.note(get_settings(), "model-promote", "model topics")
    assert "could not be written to the audit log (OperationalError)" in caplog.text and "secret" not in caplog.text
