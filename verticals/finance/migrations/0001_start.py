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
        "finance_alerts",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("rule", sa.String(length=120), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("severity", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("started", UtcDateTime(), nullable=True),
        sa.Column("peak_score", sa.Float(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("assignee", sa.String(length=120), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=120), nullable=True),
        sa.Column("snoozed_until", UtcDateTime(), nullable=True),
        sa.Column("updated", UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint"),
    )
    with op.batch_alter_table("finance_alerts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_finance_alerts_rule"), ["rule"], unique=False)
        batch_op.create_index(batch_op.f("ix_finance_alerts_status"), ["status"], unique=False)

    op.create_table(
        "finance_articles",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("canonical", sa.Text(), nullable=True),
        sa.Column("guid", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=20), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("published", UtcDateTime(), nullable=True),
        sa.Column("found", UtcDateTime(), nullable=False),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.Column("title_print", sa.String(length=32), nullable=False),
        sa.Column("text_print", sa.String(length=32), nullable=False),
        sa.Column("signature", sa.BigInteger(), nullable=False),
        sa.Column("near", sa.String(length=32), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("story", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    with op.batch_alter_table("finance_articles", schema=None) as batch_op:
        batch_op.create_index("ix_finance_articles_canonical", ["canonical"], unique=False)
        batch_op.create_index("ix_finance_articles_source", ["source", "time"], unique=False)
        batch_op.create_index("ix_finance_articles_stage", ["stage", "id"], unique=False)
        batch_op.create_index("ix_finance_articles_story", ["story"], unique=False)
        batch_op.create_index("ix_finance_articles_time", ["time"], unique=False)

    op.create_table(
        "finance_buckets",
        sa.Column("scope", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("hour", UtcDateTime(), nullable=False),
        sa.Column("stories", sa.Integer(), nullable=False),
        sa.Column("negatives", sa.Integer(), nullable=False),
        sa.Column("positives", sa.Integer(), nullable=False),
        sa.Column("score_sum", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", "hour"),
    )
    with op.batch_alter_table("finance_buckets", schema=None) as batch_op:
        batch_op.create_index("ix_finance_buckets_hour", ["hour"], unique=False)

    op.create_table(
        "finance_dirty_hours", sa.Column("hour", UtcDateTime(), nullable=False), sa.PrimaryKeyConstraint("hour")
    )
    op.create_table(
        "finance_marks",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "finance_outbox",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("dedupe_key", sa.String(length=250), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("receiver", sa.String(length=120), nullable=False),
        sa.Column("group_key", sa.String(length=250), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("claimed_by", sa.String(length=120), nullable=True),
        sa.Column("claimed_until", UtcDateTime(), nullable=True),
        sa.Column("delivered", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dedupe_key"),
    )
    with op.batch_alter_table("finance_outbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_finance_outbox_delivered"), ["delivered"], unique=False)
        batch_op.create_index("ix_finance_outbox_line", ["receiver", "fingerprint", "delivered"], unique=False)

    op.create_table(
        "finance_rulebooks",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=120), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "finance_silences",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("matchers", sa.JSON(), nullable=False),
        sa.Column("starts", UtcDateTime(), nullable=False),
        sa.Column("ends", UtcDateTime(), nullable=False),
        sa.Column("author", sa.String(length=120), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("finance_silences", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_finance_silences_ends"), ["ends"], unique=False)

    op.create_table(
        "finance_sources",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("row", sa.JSON(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("sample", sa.Boolean(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("next_check", UtcDateTime(), nullable=True),
        sa.Column("last_check", UtcDateTime(), nullable=True),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.Column("added", UtcDateTime(), nullable=False),
        sa.Column("claimed_until", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("finance_sources", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_finance_sources_next_check"), ["next_check"], unique=False)

    op.create_table(
        "finance_stories",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("first", UtcDateTime(), nullable=False),
        sa.Column("last", UtcDateTime(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=True),
        sa.Column("sentiment", sa.String(length=20), nullable=False),
        sa.Column("negative", sa.Float(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("articles", sa.Integer(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("companies", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("finance_stories", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_finance_stories_first"), ["first"], unique=False)
        batch_op.create_index(batch_op.f("ix_finance_stories_last"), ["last"], unique=False)

    op.create_table(
        "finance_alert_events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("episode", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["fingerprint"],
            ["finance_alerts.fingerprint"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("finance_alert_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_finance_alert_events_fingerprint"), ["fingerprint"], unique=False)

    op.create_table(
        "finance_labels",
        sa.Column("article", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("made", UtcDateTime(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("sentiment", sa.String(length=20), nullable=False),
        sa.Column("negative", sa.Float(), nullable=False),
        sa.Column("neutral", sa.Float(), nullable=False),
        sa.Column("positive", sa.Float(), nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=True),
        sa.Column("topic_probability", sa.Float(), nullable=True),
        sa.Column("companies", sa.JSON(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["article"], ["finance_articles.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("article", "model"),
    )
    with op.batch_alter_table("finance_labels", schema=None) as batch_op:
        batch_op.create_index("ix_finance_labels_current", ["article", "current"], unique=False)

    op.create_table(
        "finance_relabels",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("article", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("before", sa.String(length=120), nullable=True),
        sa.Column("after", sa.String(length=120), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["article"], ["finance_articles.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("finance_relabels", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_finance_relabels_article"), ["article"], unique=False)
