"""Signing in: a password becomes a session's token, kept as a hash, that ends after some hours, busy or not.

A name for which too many wrong passwords came, and an address they came from, must wait. Every attempt is counted
before its password is looked at, so that many at once do not slip through; a success takes its own back.
"""

import hashlib
import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, delete, func, insert, select

from core.access import audit
from core.access.config import AccessSettings
from core.access.tables import attempts, sessions, users
from core.access.users import User, Users, user_of
from core.operations.database import insert_unless_known

_TOKEN = re.compile(r"hs_[A-Za-z0-9_-]{43}")
_log = logging.getLogger("headwater.access")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Session:
    """Somebody signed in, until ``expires``."""

    user: User
    expires: datetime


class Refused(Exception):
    """No session. ``wait_s``: seconds until another try makes sense, 0 for a wrong name or password."""

    def __init__(self, wait_s: float = 0) -> None:
        super().__init__("too many wrong passwords; wait" if wait_s else "the name or the password is wrong")
        self.wait_s = wait_s


class Sessions:
    """The table of sessions. Each call is one or a few short transactions."""

    def __init__(
        self,
        engine: Engine,
        users: Users | None = None,
        settings: AccessSettings | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self.engine, self.users = engine, users or Users(engine, now=now)
        self.settings, self._now = settings or AccessSettings(), now

    def sign_in(self, name: str, password: str, address: str = "", where: str = "") -> tuple[Session, str]:
        """A session and its token, which is nowhere kept. ``where``: the door, for the audit log. Raises Refused."""
        now = self._now()
        mine = self._count(name, address, now)
        user = self.users.right(name, password)
        if user is None:
            known = self.users.find(name)
            # People type a password into the wrong field: a name nobody has is not written down.
            self._tell("sign-in-failed", known.name if known else "(unknown)", known, address, where, now)
            raise Refused
        token = f"hs_{secrets.token_urlsafe(32)}"
        expires = now + self.settings.session
        with self.engine.begin() as db:
            db.execute(delete(attempts).where(attempts.c.id.in_(mine)))
            db.execute(delete(sessions).where(sessions.c.expires <= now))
            values = {"hash": _hash(token), "name": user.name, "created": now, "expires": expires}
            db.execute(insert(sessions).values(**values))
        self._tell("sign-in", user.name, user, address, where, now)
        return Session(user, expires), token

    def admit(self, name: str, proof: str, since: datetime, where: str = "") -> Session | None:
        """The session of somebody whom an identity provider signed in at ``since``; None when it has ended.

        ``proof`` tells one sign-in from another. Nobody without an account is let in.
        """
        now, expires, key = self._now(), since + self.settings.session, _hash(f"proof\0{proof}")
        user = self.users.find(name)
        if user is None or user.disabled or expires <= now:
            return None
        with self.engine.begin() as db:
            values = {"hash": key, "name": user.name, "created": since, "expires": expires}
            if db.execute(insert_unless_known(db, sessions).values(**values)).rowcount == 1:
                audit.record(db, "sign-in", f"user {user.name}", now, user.name, user.role, where=where)
        return Session(user, expires)

    def find(self, token: str | None) -> Session | None:
        """Whose token this is; None for a wrong, ended or expired one, or an account that was disabled."""
        if token is None or not _TOKEN.fullmatch(token):
            return None
        wanted = (
            select(users, sessions.c.expires)
            .join(sessions, sessions.c.name == users.c.name)
            .where(sessions.c.hash == _hash(token), sessions.c.expires > self._now(), users.c.disabled.is_(False))
        )
        with self.engine.connect() as db:
            row = db.execute(wanted).one_or_none()
        return None if row is None else Session(user_of(row), row.expires)

    def sign_out(self, token: str | None) -> None:
        """End a session; nothing when there is none."""
        found = self.find(token)
        if found is None or token is None:
            return
        with self.engine.begin() as db:
            db.execute(delete(sessions).where(sessions.c.hash == _hash(token)))
            audit.record(db, "sign-out", f"user {found.user.name}", self._now(), found.user.name, found.user.role)

    def _count(self, name: str, address: str, now: datetime) -> list[int]:
        """Write an attempt down; the ids of its rows. Raises Refused, and takes it back, when there are too many."""
        since = now - self.settings.window
        limits = {_key("name", name): self.settings.wrong_passwords}
        if address:
            limits[_key("address", address)] = self.settings.wrong_from_address
        mine: list[int] = []
        with self.engine.begin() as db:
            db.execute(delete(attempts).where(attempts.c.time <= since))
            for key in limits:
                made = db.execute(insert(attempts).values(key=key, time=now).returning(attempts.c.id))
                mine.append(made.scalar_one())
        with self.engine.connect() as db:  # after the commit: attempts at the same moment see each other
            found: Any = db.execute(
                select(attempts.c.key, func.count(), func.min(attempts.c.time))
                .where(attempts.c.key.in_(limits), attempts.c.time > since)
                .group_by(attempts.c.key)
            ).all()
        waits = [
            (first + self.settings.window - now).total_seconds() for key, count, first in found if count > limits[key]
        ]
        if waits:
            with self.engine.begin() as db:
                db.execute(delete(attempts).where(attempts.c.id.in_(mine)))
            _log.warning("sign-in refused: too many wrong passwords for one name or from one address")
            raise Refused(max(1.0, *waits))
        return mine

    def _tell(self, action: str, name: str, user: User | None, address: str, where: str, now: datetime) -> None:
        role = user.role if user is not None else "none"
        audit.record(self.engine, action, f"user {name}", now, name, role, address=address, where=where)


def _hash(token: str) -> str:
    """A token is 32 random bytes; like an API key's, its hash needs no slow function."""
    return hashlib.sha256(token.encode()).hexdigest()


def _key(kind: str, value: str) -> str:
    return hashlib.sha256(f"{kind}\0{value}".encode("utf-8", "surrogatepass")).hexdigest()
