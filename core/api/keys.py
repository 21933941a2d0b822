"""API keys in the database: made once, shown once, kept as a hash, revoked for good.

A key is 32 bytes of the system's randomness. Guessing one is hopeless at any speed, so its hash needs no slow
password function (argon2 guards words that people choose); SHA-256 keeps each request cheap, and a copy of the
table opens nothing.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Engine, String, Table, insert, select, update

from core.access import audit
from core.access.users import ROLES
from core.errors import InputError
from core.operations.database import UtcDateTime, open_database
from core.operations.tables import metadata
from core.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY = re.compile(r"hw_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("revoked", UtcDateTime),
)


@dataclass(frozen=True)
class KeyInfo:
    """What is known of a key; never the key itself. ``id`` is the part of it that is no secret."""

    id: str
    name: str
    role: str
    created: datetime
    revoked: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; times are ISO 8601 in UTC."""
        return {
            "id": self.id,
            "name": self.name,
            "role": self.role,
            "created": self.created.isoformat(),
            "revoked": None if self.revoked is None else self.revoked.isoformat(),
        }


def _now() -> datetime:
    return datetime.now(UTC)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The table of keys. Each call is one short transaction."""

    def __init__(self, engine: Engine, now: Callable[[], datetime] = _now) -> None:
        self.engine, self._now = engine, now

    @classmethod
    def open(cls, settings: Settings) -> "Keys":
        """The keys of the configured database."""
        return cls(open_database(metadata, settings))

    def create(self, name: str, role: str) -> tuple[KeyInfo, str]:
        """A new key, and its text, which is nowhere kept. Raises InputError for a bad or taken name."""
        if not _NAME.fullmatch(name):
            raise InputError(
                f"key name {name!r} is not valid; use up to 64 letters, digits, dots, dashes and underscores."
            )
        if role not in ROLES:
            raise InputError(f"there is no role {role!r}; choose one of {', '.join(ROLES)}.")
        public = secrets.token_hex(8)
        key = f"hw_{public}_{secrets.token_urlsafe(32)}"
        info = KeyInfo(public, name, role, self._now(), None)
        with self.engine.begin() as db:
            taken = select(api_keys.c.id).where(api_keys.c.name == name, api_keys.c.revoked.is_(None))
            if db.execute(taken).first():
                raise InputError(f"a key {name!r} exists; revoke it first (headwater keys revoke {name}).")
            db.execute(insert(api_keys).values(id=public, name=name, role=role, hash=_hash(key), created=info.created))
            audit.record(db, "key-create", f"key {name}", info.created, id=public, role_given=role)
        return info, key

    def list(self) -> list[KeyInfo]:
        """Every key ever made, oldest first."""
        with self.engine.connect() as db:
            rows = db.execute(select(api_keys).order_by(api_keys.c.created, api_keys.c.id)).all()
        return [KeyInfo(row.id, row.name, row.role, row.created, row.revoked) for row in rows]

    def revoke(self, name: str) -> KeyInfo:
        """End the key of this name. Raises InputError when there is none in force."""
        now = self._now()
        with self.engine.begin() as db:
            in_force = (api_keys.c.name == name) & api_keys.c.revoked.is_(None)
            row = db.execute(select(api_keys).where(in_force)).first()
            if row is None:
                raise InputError(f"there is no key {name!r} in force; see: headwater keys list.")
            db.execute(update(api_keys).where(api_keys.c.id == row.id).values(revoked=now))
            audit.record(db, "key-revoke", f"key {name}", now, id=row.id)
        return KeyInfo(row.id, row.name, row.role, row.created, now)

    def in_force(self) -> dict[str, tuple[str, str, str]] | None:
        """``{id: (name, role, hash)}`` of the keys in force; None when no key was ever made."""
        with self.engine.connect() as db:
            rows = db.execute(select(api_keys)).all()
        if not rows:
            return None
        return {row.id: (row.name, row.role, row.hash) for row in rows if row.revoked is None}


def match(key: str, known: dict[str, tuple[str, str, str]]) -> tuple[str, str] | None:
    """(name, role) of the key among ``known``, or None; takes the same time for a near miss as for a far one."""
    parts = _KEY.fullmatch(key)
    name, role, expected = known.get(parts[1], ("", "", "")) if parts else ("", "", "")
    right = hmac.compare_digest(_hash(key), expected)
    return (name, role) if right and name else None
