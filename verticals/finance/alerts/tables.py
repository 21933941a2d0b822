"""Tables of alerts: their state, everything that happened to them, silences, and messages still to be sent."""

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from verticals.finance.tables import UtcDateTime, metadata

alerts = Table(
    "finance_alerts",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("rule", String(120), nullable=False, index=True),
    Column("subject", String(200), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("severity", String(20), nullable=False),
    Column("status", String(20), nullable=False, index=True),
    Column("started", UtcDateTime),
    Column("peak_score", Float, nullable=False, default=0.0),
    Column("state", JSON, nullable=False),
    Column("assignee", String(120)),
    Column("acknowledged_by", String(120)),
    Column("snoozed_until", UtcDateTime),
    Column("updated", UtcDateTime, nullable=False),
    # Two writers that read the same version: the second one's update finds none and it starts over.
    Column("version", Integer, nullable=False),
)

events = Table(
    "finance_alert_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("fingerprint", String(64), ForeignKey("finance_alerts.fingerprint"), nullable=False, index=True),
    Column("episode", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("actor", String(120), nullable=False),
    Column("detail", JSON, nullable=False),
)

silences = Table(
    "finance_silences",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("matchers", JSON, nullable=False),
    Column("starts", UtcDateTime, nullable=False),
    Column("ends", UtcDateTime, nullable=False, index=True),
    Column("author", String(120), nullable=False),
    Column("comment", Text, nullable=False),
)

outbox = Table(
    "finance_outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("dedupe_key", String(250), nullable=False, unique=True),
    Column("fingerprint", String(64), nullable=False),
    Column("receiver", String(120), nullable=False),
    Column("group_key", String(250), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("last_error", Text),
    Column("claimed_by", String(120)),
    Column("claimed_until", UtcDateTime),
    Column("delivered", UtcDateTime, index=True),
    Index("ix_finance_outbox_line", "receiver", "fingerprint", "delivered"),
)
