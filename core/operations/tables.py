"""The core's own tables. ``open_database`` makes them for every application, beside the application's own."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    Unicode,
    UniqueConstraint,
)

from core.operations.database import UtcDateTime

metadata = MetaData(info={"migrations": "core.operations.migrations"})

# What people said instead of a model. `source` names the act (an edit, a click), so that it counts once.
corrections = Table(
    "core_corrections",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("vertical", String(64), nullable=False),
    Column("task", String(64), nullable=False),
    Column("source", String(200), nullable=False),
    Column("text", Text, nullable=False),
    Column("pair", Text),
    Column("label", Text),
    Column("actor", String(120), nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("detail", JSON, nullable=False),
    UniqueConstraint("vertical", "task", "source", name="uq_core_corrections_source"),
    Index("ix_core_corrections_time", "vertical", "task", "time"),
)

# One row. Whoever holds it with the highest `token` is the worker; see core.operations.lease.
leases = Table(
    "core_leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("acquired", UtcDateTime, nullable=False),
    Column("heartbeat", UtcDateTime, nullable=False),
    Column("seconds", Float, nullable=False),
)

# The last word on each job, for status pages.
jobs = Table(
    "core_jobs",
    metadata,
    Column("vertical", String(64), primary_key=True),
    Column("job", String(64), primary_key=True),
    Column("seconds", Float, nullable=False),
    Column("running", Boolean, nullable=False),
    Column("started", UtcDateTime),
    Column("finished", UtcDateTime),
    Column("succeeded", UtcDateTime),
    Column("took", Float),
    Column("runs", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("in_a_row", Integer, nullable=False),
    Column("missed", Integer, nullable=False),
    Column("last_missed", UtcDateTime),
    Column("error", Text),
    Column("error_time", UtcDateTime),
)

# As APScheduler's SQLAlchemyJobStore makes it, so that our migrations own it, too; times in seconds since 1970.
schedule = Table(
    "core_schedule",
    metadata,
    Column("id", Unicode(191), primary_key=True),
    Column("next_run_time", Float(25), index=True),
    Column("job_state", LargeBinary, nullable=False),
)
