"""The recommender's tables: items, events and what was shown, each row with the version that brought it."""

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

from core.operations.database import UtcDateTime

metadata = MetaData(info={"migrations": "verticals.recommend.migrations"})

# One row for each accepted change; its number is the version of the data from then on.
changes = Table(
    "recommend_changes",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=True),
    Column("time", UtcDateTime, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("rows", Integer, nullable=False),
    Column("note", Text, nullable=False, default=""),
    Column("detail", JSON, nullable=False),
)

items = Table(
    "recommend_items",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("category", String(200), nullable=False),
    Column("published", UtcDateTime),
    Column("further", JSON, nullable=False),
    Column("version", Integer, nullable=False, index=True),
)

events = Table(
    "recommend_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("user", String(200), nullable=False),
    Column("item", String(200), nullable=False),
    Column("event", String(16), nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("value", Float),
    Column("impression", String(200)),
    Column("position", Float),
    Column("propensity", Float),
    Column("version", Integer, nullable=False, index=True),
    UniqueConstraint("user", "item", "event", "time"),
    Index("ix_recommend_events_user", "user", "time"),
)

shown = Table(
    "recommend_shown",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("impression", String(200), nullable=False),
    Column("user", String(200), nullable=False),
    Column("item", String(200), nullable=False),
    Column("position", Float),
    Column("clicked", Boolean, nullable=False),
    Column("propensity", Float),
    Column("time", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False, index=True),
    UniqueConstraint("impression", "item"),
)
