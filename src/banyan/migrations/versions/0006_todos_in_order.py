"""The index of GET /todos in the very order of GET /todos: to-dos without an order come first.

On PostgreSQL, where nulls are last by default. There each page read and sorted all to-dos of its user.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    _replace('"order" NULLS FIRST')


def downgrade() -> None:
    _replace('"order"')


def _replace(order: str) -> None:
    if op.get_bind().dialect.name != "postgresql":
        return  # SQLite puts nulls first, in an index as elsewhere
    # Writers wait while it is built: a minute for ten million to-dos. Whoever has so many makes it beforehand, by the same
    # statement with CONCURRENTLY, which cannot be had inside of a migration: it waits for every transaction, those that
    # wait for the migration included.
    op.execute(
        f"CREATE INDEX IF NOT EXISTS ix_todos_page_new ON todos (user_id, {order}, created_position DESC)"
    )
    op.execute("DROP INDEX ix_todos_page")
    op.execute("ALTER INDEX ix_todos_page_new RENAME TO ix_todos_page")
