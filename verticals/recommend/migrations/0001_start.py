"""start"""

import sqlalchemy as sa
from alembic import op

from core.operations.database import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "recommend_changes",
        sa.Column("version", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "recommend_events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("user", sa.String(length=200), nullable=False),
        sa.Column("item", sa.String(length=200), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("impression", sa.String(length=200), nullable=True),
        sa.Column("position", sa.Float(), nullable=True),
        sa.Column("propensity", sa.Float(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("user", "item", "event", "time"),
    )
    with op.batch_alter_table("recommend_events", schema=None) as batch_op:
        batch_op.create_index("ix_recommend_events_user", ["user", "time"], unique=False)
        batch_op.create_index(batch_op.f("ix_recommend_events_version"), ["version"], unique=False)

    op.create_table(
        "recommend_items",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("category", sa.String(length=200), nullable=False),
        sa.Column("published", UtcDateTime(), nullable=True),
        sa.Column("further", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
    )
    with op.batch_alter_table("recommend_items", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recommend_items_version"), ["version"], unique=False)

    op.create_table(
        "recommend_shown",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("impression", sa.String(length=200), nullable=False),
        sa.Column("user", sa.String(length=200), nullable=False),
        sa.Column("item", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Float(), nullable=True),
        sa.Column("clicked", sa.Boolean(), nullable=False),
        sa.Column("propensity", sa.Float(), nullable=True),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("impression", "item"),
    )
    with op.batch_alter_table("recommend_shown", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recommend_shown_version"), ["version"], unique=False)
