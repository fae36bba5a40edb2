"""Notification channels that people set up, and which of them a delivery goes through."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.String(length=36).with_variant(sa.String(length=36, collation="C"), "postgresql")
INSTANT = sa.String(length=27).with_variant(sa.String(length=27, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "notification_channels",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=True),
        sa.Column("host", sa.String(length=300), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(length=16), nullable=True),
        sa.Column("sealed", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_notification_channels")),
    )
    op.add_column("deliveries", sa.Column("channel_id", ID, nullable=True))


def downgrade() -> None:
    op.drop_column("deliveries", "channel_id")
    op.drop_table("notification_channels")
