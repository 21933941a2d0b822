"""Local accounts: a name, roles, and a password's hash. Each call is one short transaction."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from core.access import audit
from core.access.passwords import Passwords, check
from core.access.tables import metadata, sessions, users
from core.errors import InputError
from core.operations.database import open_database
from core.settings import Settings

ROLES = ("agent", "analyst", "product", "admin")  # also those of API keys
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_NO_PASSWORD = "!"  # no hash: nothing that is typed in can be right


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class User:
    """An account, without its hash. ``changed``: when the password was set."""

    name: str
    roles: tuple[str, ...]
    created: datetime
    changed: datetime
    disabled: bool

    @property
    def role(self) -> str:
        """The one to show: admin before all others."""
        return "admin" if "admin" in self.roles else self.roles[0]

    def may(self, *roles: str) -> bool:
        """Whether one of these roles is the account's; admin may do everything, and no roles means anybody."""
        return not roles or "admin" in self.roles or not set(roles).isdisjoint(self.roles)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, times in ISO 8601."""
        return {
            "name": self.name,
            "roles": list(self.roles),
            "created": self.created.isoformat(),
            "changed": self.changed.isoformat(),
            "disabled": self.disabled,
        }


class Users:
    """The table of accounts. ``actor``: who manages them, for the audit log; the machine's user unless given."""

    def __init__(
        self,
        engine: Engine,
        passwords: Passwords | None = None,
        now: Callable[[], datetime] = _now,
        actor: str | None = None,
    ) -> None:
        self.engine, self.passwords = engine, passwords or Passwords()
        self._now, self._actor = now, actor

    @classmethod
    def open(cls, settings: Settings) -> "Users":
        """The accounts of the configured database."""
        return cls(open_database(metadata, settings))

    def add(self, name: str, roles: Sequence[str], password: str | None) -> User:
        """A new account; without a password it is for one whom the identity provider signs in.

        Raises InputError for a bad or taken name, a role there is not, or a bad password.
        """
        if not _NAME.fullmatch(name):
            raise InputError(
                f"user name {name!r} is not valid; use up to 64 letters, digits, dots, dashes, underscores, + and @."
            )
        chosen = _roles(roles)
        if password is not None:
            check(password, name)
        now, hash = self._now(), _NO_PASSWORD if password is None else self.passwords.hash(password)
        user = User(name, chosen, now, now, False)
        try:
            with self.engine.begin() as db:
                if self._row(db, name) is not None:
                    raise InputError(f"a user {name!r} exists; see: headwater users list.")
                row = {"name": name, "roles": list(chosen), "hash": hash, "created": now, "changed": now}
                db.execute(insert(users).values(**row, disabled=False))
                self._log(db, "user-add", name, roles=list(chosen))
        except IntegrityError:
            raise InputError(f"a user {name!r} was just made by somebody else.") from None
        return user

    def list(self) -> list[User]:
        """Every account, by name."""
        with self.engine.connect() as db:
            return [user_of(row) for row in db.execute(select(users).order_by(users.c.name))]

    def find(self, name: str) -> User | None:
        """One account."""
        with self.engine.connect() as db:
            row = self._row(db, name)
        return None if row is None else user_of(row)

    def any(self) -> bool:
        """Whether somebody can sign in."""
        with self.engine.connect() as db:
            return db.execute(select(users.c.name).where(users.c.disabled.is_(False)).limit(1)).first() is not None

    def disable(self, name: str, disabled: bool = True) -> User:
        """Let nobody sign in as ``name`` any more, and end the sessions; or let them again."""
        with self.engine.begin() as db:
            self._require(db, name)
            db.execute(update(users).where(users.c.name == name).values(disabled=disabled))
            if disabled:
                db.execute(delete(sessions).where(sessions.c.name == name))
            self._log(db, "user-disable" if disabled else "user-enable", name)
            return user_of(self._require(db, name))

    def password(self, name: str, password: str) -> User:
        """Set another password, and end the sessions."""
        with self.engine.connect() as db:
            self._require(db, name)
        check(password, name)
        hash = self.passwords.hash(password)
        with self.engine.begin() as db:
            self._require(db, name)
            db.execute(update(users).where(users.c.name == name).values(hash=hash, changed=self._now()))
            db.execute(delete(sessions).where(sessions.c.name == name))
            self._log(db, "user-password", name)
            return user_of(self._require(db, name))

    def right(self, name: str, password: str) -> User | None:
        """The account, if it may sign in and this is its password; takes the same time when there is none."""
        with self.engine.connect() as db:
            row = self._row(db, name)
        known = row.hash if row is not None and row.hash != _NO_PASSWORD else None
        right = self.passwords.right(known, password)
        if not right or row is None or row.disabled:
            return None
        if self.passwords.old(row.hash):
            fresh = self.passwords.hash(password)
            with self.engine.begin() as db:  # unless somebody changed it meanwhile
                db.execute(update(users).where(users.c.name == name, users.c.hash == row.hash).values(hash=fresh))
        return user_of(row)

    def _row(self, db: Connection, name: str) -> Row[Any] | None:
        if not _NAME.fullmatch(name):  # a NUL, say, is an error to some databases
            return None
        return db.execute(select(users).where(users.c.name == name)).one_or_none()

    def _require(self, db: Connection, name: str) -> Row[Any]:
        row = self._row(db, name)
        if row is None:
            raise InputError(f"there is no user {name!r}; see: headwater users list.")
        return row

    def _log(self, db: Connection, action: str, name: str, **detail: Any) -> None:
        audit.record(db, action, f"user {name}", self._now(), self._actor, **detail)


def _roles(roles: Sequence[str]) -> tuple[str, ...]:
    for role in roles:
        if role not in ROLES:
            raise InputError(f"there is no role {role!r}; choose from {', '.join(ROLES)}.")
    if not roles:
        raise InputError(f"a user needs a role; choose from {', '.join(ROLES)}.")
    return tuple(role for role in ROLES if role in roles)


def user_of(row: Row[Any]) -> User:
    """The account in a row of the table."""
    return User(row.name, tuple(row.roles), row.created, row.changed, row.disabled)
