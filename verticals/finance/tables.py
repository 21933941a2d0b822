"""The finance monitor's database tables; each room adds its own to this metadata."""

from sqlalchemy import (
    JSON,
    BigInteger,
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

metadata = MetaData(info={"migrations": "verticals.finance.migrations"})

# The row is kept as it was written, placeholders and all: keys stay in the environment, not in the database.
sources = Table(
    "finance_sources",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("row", JSON, nullable=False),
    Column("folder", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("sample", Boolean, nullable=False),
    Column("state", JSON, nullable=False),
    Column("next_check", UtcDateTime, index=True),
    Column("last_check", UtcDateTime),
    Column("report", JSON),
    Column("added", UtcDateTime, nullable=False),
    Column("claimed_until", UtcDateTime),
)

# What is new is at stage 0. Every later stage looks for its own work here, so a killed process leaves no hole.
STORED, LABELLED, TOLD = 0, 1, 2  # TOLD: it has a story

articles = Table(
    "finance_articles",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("source", String(64), nullable=False),
    Column("url", Text),
    Column("canonical", Text),
    Column("guid", Text),
    Column("title", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("language", String(20)),
    Column("tags", JSON, nullable=False),
    Column("published", UtcDateTime),
    Column("found", UtcDateTime, nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("title_print", String(32), nullable=False),
    Column("text_print", String(32), nullable=False),
    Column("signature", BigInteger, nullable=False),
    Column("near", String(32)),
    Column("revision", Integer, nullable=False, default=1),
    Column("stage", Integer, nullable=False, default=STORED),
    Column("story", Integer),
    Column("attempts", Integer, nullable=False, default=0),
    Column("problem", Text),
    Index("ix_finance_articles_stage", "stage", "id"),
    Index("ix_finance_articles_time", "time"),
    Index("ix_finance_articles_story", "story"),
    Index("ix_finance_articles_source", "source", "time"),
    Index("ix_finance_articles_canonical", "canonical"),
)

# One row for each article and model version: a new model relabels without losing what the old one said.
labels = Table(
    "finance_labels",
    metadata,
    Column("article", Integer, ForeignKey("finance_articles.id", ondelete="CASCADE"), primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("made", UtcDateTime, nullable=False),
    Column("current", Boolean, nullable=False),
    Column("sentiment", String(20), nullable=False),
    Column("negative", Float, nullable=False),
    Column("neutral", Float, nullable=False),
    Column("positive", Float, nullable=False),
    Column("topic", String(120)),
    Column("topic_probability", Float),
    Column("companies", JSON, nullable=False),  # [{code, name, sentiment, probabilities, …}]
    Column("vector", LargeBinary),  # float16
    Index("ix_finance_labels_current", "article", "current"),
)

stories = Table(
    "finance_stories",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("first", UtcDateTime, nullable=False, index=True),
    Column("last", UtcDateTime, nullable=False, index=True),
    Column("title", Text, nullable=False),
    Column("topic", String(120)),
    Column("sentiment", String(20), nullable=False),
    Column("negative", Float, nullable=False),
    Column("score", Float, nullable=False),  # P(positive) - P(negative), mean over the articles
    Column("articles", Integer, nullable=False),
    Column("sources", JSON, nullable=False),
    Column("companies", JSON, nullable=False),  # {code: score toward it}
)

# Counts of stories by the hour of their first article, recomputed where `dirty` says so.
buckets = Table(
    "finance_buckets",
    metadata,
    Column("scope", String(20), primary_key=True),
    Column("subject", String(200), primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("stories", Integer, nullable=False),
    Column("negatives", Integer, nullable=False),
    Column("positives", Integer, nullable=False),
    Column("score_sum", Float, nullable=False),
    Index("ix_finance_buckets_hour", "hour"),
)

dirty = Table("finance_dirty_hours", metadata, Column("hour", UtcDateTime, primary_key=True))

# What people said instead of the model; always kept apart from it, and stronger.
relabels = Table(
    "finance_relabels",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("article", Integer, ForeignKey("finance_articles.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("field", String(20), nullable=False),  # sentiment, topic, or company
    Column("subject", String(200), nullable=False, default=""),  # the company's code
    Column("before", String(120)),
    Column("after", String(120), nullable=False),
    Column("actor", String(120), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

# Rule books as they were saved; the latest one is in force, and before the first the shipped file is.
rulebooks = Table(
    "finance_rulebooks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("text", Text, nullable=False),
    Column("author", String(120), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("comment", Text, nullable=False, default=""),
)

# How far a stage that judges time has come: name -> time.
marks = Table(
    "finance_marks",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("detail", JSON),
)

__all__ = [
    "LABELLED",
    "STORED",
    "TOLD",
    "UtcDateTime",
    "articles",
    "buckets",
    "dirty",
    "labels",
    "marks",
    "metadata",
    "relabels",
    "rulebooks",
    "sources",
    "stories",
]
