"""Commands about people: accounts of the dashboards and the API, and the log of what was done. Imported when called."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from core.cli import as_json, emit
from core.errors import InputError

ROLES = ("agent", "analyst", "product", "admin")  # those of core.access.users, which imports the database
PASSWORD = "HEADWATER_PASSWORD"

password_file = click.option(
    "--password-file", type=click.Path(path_type=Path), help="Read the password from this file's first line."
)


@click.group()
def users() -> None:
    """Accounts for dashboards and API: add, list, disable, set a password."""


@users.command("add")
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(ROLES), help="Repeatable.")
@password_file
@click.option("--no-password", is_flag=True, help="The identity provider signs NAME in (its e-mail address, verified).")
@as_json
def users_add(name: str, roles: tuple[str, ...], password_file: Path | None, no_password: bool, as_json: bool) -> None:
    """Make an account for NAME; its password is asked for, or read from a file or HEADWATER_PASSWORD."""
    if no_password and password_file is not None:
        raise InputError("give --password-file or --no-password, not both.")
    made = _users().add(name, roles, None if no_password else _password(password_file))
    emit(made.to_dict(), as_json, lambda user: f"{user['name']} may sign in ({', '.join(user['roles'])}).")


@users.command("list")
@as_json
def users_list(as_json: bool) -> None:
    """List the accounts and their roles."""
    emit([user.to_dict() for user in _users().list()], as_json, _table)


@users.command("disable")
@click.argument("name")
@as_json
def users_disable(name: str, as_json: bool) -> None:
    """Let nobody sign in as NAME any more, and end the sessions at once."""
    emit(_users().disable(name).to_dict(), as_json, lambda user: f"{user['name']} can no longer sign in.")


@users.command("enable")
@click.argument("name")
@as_json
def users_enable(name: str, as_json: bool) -> None:
    """Let NAME sign in again, with the same password."""
    emit(_users().disable(name, disabled=False).to_dict(), as_json, lambda user: f"{user['name']} may sign in again.")


@users.command("password")
@click.argument("name")
@password_file
@as_json
def users_password(name: str, password_file: Path | None, as_json: bool) -> None:
    """Set another password for NAME and end the sessions; it is asked for, or read as for add."""
    found = _users()
    if found.find(name) is None:
        raise InputError(f"there is no user {name!r}; see: headwater users list.")
    changed = found.password(name, _password(password_file))
    emit(changed.to_dict(), as_json, lambda user: f"{user['name']} has another password; sessions have ended.")


@click.command()
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="The latest so many.")
@click.option("--action", help="Only this kind, such as sign-in-failed or model-promote.")
@click.option("--actor", help="Only what this one did.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="Only from this time on, in UTC.")
@as_json
def audit(limit: int, action: str | None, actor: str | None, since: Any, as_json: bool) -> None:
    """List who did what: sign-ins, keys and users, promoted models, changed rules; the newest first."""
    from datetime import UTC

    from core.access.audit import entries

    start = None if since is None else since.replace(tzinfo=UTC)
    found = entries(_users().engine, limit, action, actor, start)
    emit([entry.to_dict() for entry in found], as_json, _log)


def _users() -> Any:
    from core.access.users import Users
    from core.settings import get_settings

    return Users.open(get_settings())


def _password(file: Path | None) -> str:
    """From the file, the environment, or the keyboard; never from an argument, which every process list shows."""
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read as UTF-8 text ({type(error).__name__}).") from None
        if not lines:
            raise InputError(f"{file}: is empty; write the password on its first line.")
        return lines[0]
    given = os.environ.get(PASSWORD)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise InputError(f"there is no terminal to ask for the password; use --password-file or {PASSWORD}.")
    entered: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return entered


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "there is no account yet; make one: headwater users add NAME --role agent"
    return "\n".join(
        f"{row['name']:<24} {','.join(row['roles']):<24} password of {row['changed'][:10]}"
        f"  {'disabled' if row['disabled'] else 'may sign in'}"
        for row in rows
    )


def _log(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "nothing of this kind was recorded."
    return "\n".join(
        f"{row['time'][:19]}  {row['actor']:<16} {row['role']:<9} {row['action']:<15} {row['object']}"
        + "".join(f"  {name}={value}" for name, value in row["detail"].items() if value not in ("", None))
        for row in rows
    )
