"""The vertical's table; its name begins with the vertical's."""

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

from core.operations.database import UtcDateTime

metadata = MetaData()

messages = Table(
    "triage_messages",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("text", Text, nullable=False),
    Column("received", UtcDateTime, nullable=False, index=True),
    Column("urgency", String(16), index=True),  # None until it is assessed
    Column("probability", Float),
    Column("assessed", UtcDateTime),
    Column("said", String(16)),  # what a person says instead
)
