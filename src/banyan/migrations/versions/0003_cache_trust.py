"""Whether what Redis tells is believed, and since when."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    table = op.create_table(
        "cache_trust",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.String(length=36), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("server", sa.String(length=64), nullable=False),
        sa.Column("objector", sa.String(length=36), nullable=False),
        sa.Column("beat", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cache_trust")),
    )
    op.bulk_insert(
        table, [{"id": 1, "epoch": "none", "trusted": False, "server": "", "objector": "", "beat": 0}]
    )


def downgrade() -> None:
    op.drop_table("cache_trust")
