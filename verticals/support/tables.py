"""The support application's database tables."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from core.operations.database import UtcDateTime

metadata = MetaData(info={"migrations": "verticals.support.migrations"})

# Everything that customers wrote is stored redacted.
conversations = Table(
    "support_conversations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("channel", String(32), nullable=False),
    Column("status", String(16), nullable=False),  # open, handed_over, closed
    Column("started", UtcDateTime, nullable=False),
    Column("updated", UtcDateTime, nullable=False, index=True),
    Column("summary", Text, nullable=False),  # for the human who takes over
)

turns = Table(
    "support_turns",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("conversation", String(32), ForeignKey("support_conversations.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("role", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("reply", String(32)),  # the bot's reply that this message came from
    Index("ix_support_turns_conversation", "conversation", "number", unique=True),
)

replies = Table(
    "support_replies",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("conversation", String(32), ForeignKey("support_conversations.id"), nullable=False, index=True),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("intent", String(120)),
    Column("confidence", Float, nullable=False),
    Column("latency_ms", Float, nullable=False),
    Column("groups", JSON, nullable=False),  # what the reader was allowed to see
    Column("time", UtcDateTime, nullable=False, index=True),
    Column("detail", JSON, nullable=False),
)

citations = Table(
    "support_citations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("reply", String(32), ForeignKey("support_replies.id"), nullable=False, index=True),
    Column("rank", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("quote", Text, nullable=False),
    Column("score", Float, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("url", Text),
)

# One verdict a reply: the last one counts, and repeating it changes nothing.
feedback = Table(
    "support_feedback",
    metadata,
    Column("reply", String(32), ForeignKey("support_replies.id"), primary_key=True),
    Column("verdict", String(16), nullable=False),  # accepted, edited, rejected, handed_over
    Column("answer", Text),  # what was sent instead
    Column("reason", Text, nullable=False),
    Column("actor", String(120), nullable=False),
    Column("time", UtcDateTime, nullable=False),
)

# Answers that agents wrote themselves: used again for nearly the same question.
annotations = Table(
    "support_annotations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("intent", String(120)),
    Column("groups", JSON, nullable=False),  # who may read it; empty: everybody
    Column("citations", JSON, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("actor", String(120), nullable=False),
    Column("changed", UtcDateTime, nullable=False, index=True),
)

# Cases of the logs that were resolved, to show beside a new one.
cases = Table(
    "support_cases",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("intent", String(120)),
    Column("rating", Float, nullable=False),
    Column("source", Text, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("changed", UtcDateTime, nullable=False, index=True),
)

# What mining proposes. Nothing is published before somebody has approved it.
proposals = Table(
    "support_proposals",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),  # faq, intent
    Column("status", String(16), nullable=False, index=True),  # pending, approved, rejected
    Column("name", Text, nullable=False),
    Column("label", String(120), nullable=False),  # the intent's name
    Column("answer", Text, nullable=False),  # a draft, often blank
    Column("questions", JSON, nullable=False),
    Column("dialogues", JSON, nullable=False),
    Column("size", Integer, nullable=False),
    Column("cohesion", Float, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("changed", UtcDateTime, nullable=False),
    Column("actor", String(120), nullable=False),
    Column("reason", Text, nullable=False),
    Column("document", Text, nullable=False),  # the knowledge document an approval wrote
)
