"""``headwater users`` and ``headwater audit``; and no secret in what they print, log or keep."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.access.users import ROLES, Users
from core.cli import main
from core.cli_users import ROLES as OFFERED
from core.settings import get_settings

GOOD = "Kelp-forest 42 lantern"


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{GOOD}\n")
    return path


def run(*arguments: object, expect: int = 0) -> None:
    assert main([str(a) for a in arguments]) == expect


def document(capfd: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capfd.readouterr().out)


def test_the_same_roles_everywhere() -> None:
    assert OFFERED == ROLES


def test_an_account_from_its_beginning_to_its_end(password: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run("users", "add", "mei", "--role", "analyst", "--role", "agent", "--password-file", password, "--json")
    assert document(capfd)["roles"] == ["agent", "analyst"]
    run("users", "disable", "mei", "--json")
    assert document(capfd)["disabled"] is True
    run("users", "enable", "mei")
    run("users", "password", "mei", "--password-file", password)
    capfd.readouterr()
    run("users", "list", "--json")
    assert [(row["name"], row["disabled"]) for row in document(capfd)] == [("mei", False)]
    run("audit", "--json")
    found = document(capfd)
    assert [row["action"] for row in found] == ["user-password", "user-enable", "user-disable", "user-add"]
    run("audit", "--action", "user-add", "--since", "2020-01-01")
    assert re.search(r"operator +user-add +user mei  roles=\['agent', 'analyst'\]", capfd.readouterr().out)


def test_the_password_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_PASSWORD", GOOD)
    run("users", "add", "mei", "--role", "agent")
    assert Users.open(get_settings()).right("mei", GOOD) is not None


def test_never_as_an_argument(capfd: pytest.CaptureFixture[str]) -> None:
    run("users", "add", "--help")
    assert not re.search(r"--password(?!-file)", capfd.readouterr().out)


def test_wrong_use_is_one_sentence(password: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for arguments, said in (
        (("users", "add", "mei", "--role", "agent", "--password-file", tmp_path / "none"), "none: cannot be read"),
        (("users", "add", "mei", "--role", "agent", "--password-file", empty), "first line"),
        (("users", "password", "mei", "--password-file", password), "no user 'mei'"),
        (("users", "disable", "mei"), "no user 'mei'"),
        (("users", "add", "mei", "--role", "root"), "'root' is not one of"),
    ):
        run(*arguments, expect=2)
        err = capfd.readouterr().err
        assert said in err and err.count("\n") == 1, err


def test_no_terminal_to_ask_at(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    run("users", "add", "mei", "--role", "agent", expect=2)
    assert "use --password-file or HEADWATER_PASSWORD" in capfd.readouterr().err


def test_keys_are_in_the_audit_log_without_the_key(capfd: pytest.CaptureFixture[str]) -> None:
    run("keys", "create", "widget", "--role", "agent", "--json")
    key = document(capfd)["key"]
    run("keys", "revoke", "widget")
    capfd.readouterr()
    run("audit", "--json")
    out = capfd.readouterr().out
    assert [row["action"] for row in json.loads(out)] == ["key-revoke", "key-create"]
    assert key not in out and key.rpartition("_")[2] not in out


def test_no_secret_in_logs_or_database(
    password: Path,
    private_var: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO)
    try:
        run("users", "add", "mei", "--role", "agent", "--password-file", password)
        run("users", "add", "mei", "--role", "agent", "--password-file", password, expect=2)
        run("users", "add", "ana", "--role", "agent", "--password-file", password.with_name("absent"), expect=2)
    finally:
        logging.getLogger("sqlalchemy.engine").setLevel(logging.WARNING)
    captured = capfd.readouterr()
    assert GOOD not in caplog.text + captured.out + captured.err
    engine = Users.open(get_settings()).engine
    with engine.connect() as db:
        db.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    assert GOOD.encode() not in (private_var / "headwater.db").read_bytes()
