"""The tables of accounts, sessions, wrong passwords and the audit log; the core's migrations own them."""

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from core.operations.database import UtcDateTime
from core.operations.tables import metadata

users = Table(
    "core_users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("roles", JSON, nullable=False),  # a list of names of core.access.users.ROLES
    Column("hash", Text, nullable=False),  # argon2id, in the PHC string format
    Column("created", UtcDateTime, nullable=False),
    Column("changed", UtcDateTime, nullable=False),  # the password
    Column("disabled", Boolean, nullable=False),
)

# Only the token's hash: a copy of this table opens nothing.
sessions = Table(
    "core_sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("name", String(64), ForeignKey("core_users.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("created", UtcDateTime, nullable=False),
    Column("expires", UtcDateTime, nullable=False, index=True),
)

# One row for each attempt that was not a success; `key` is a hash of the name or of the address.
attempts = Table(
    "core_sign_in_attempts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String(64), nullable=False),
    Column("time", UtcDateTime, nullable=False, index=True),
    Index("ix_core_sign_in_attempts_key", "key", "time"),
)

audit = Table(
    "core_audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("time", UtcDateTime, nullable=False, index=True),
    Column("actor", String(120), nullable=False),
    Column("role", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("object", String(200), nullable=False),
    Column("detail", JSON, nullable=False),
)
