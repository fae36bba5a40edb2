"""The trunk: users, to-dos, notifications, and the event log."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Compared byte by byte on PostgreSQL too, whatever the language of the database.
ID = sa.String(length=36).with_variant(sa.String(length=36, collation="C"), "postgresql")
INSTANT = sa.String(length=27).with_variant(sa.String(length=27, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "bookmarks",
        sa.Column("reader", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("reader", name=op.f("pk_bookmarks")),
    )
    op.create_table(
        "closed_inboxes",
        sa.Column("user_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_closed_inboxes")),
    )
    op.create_table(
        "deliveries",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("notification_id", ID, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", "notification_id", "id", name=op.f("pk_deliveries")),
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "emails",
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("email_key", name=op.f("pk_emails")),
    )
    op.create_table(
        "events",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("stream", sa.String(length=32), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("subject", ID, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("actor", ID, nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("trace", sa.String(length=55), nullable=True),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_events")),
        sa.UniqueConstraint("user_id", "stream", "position", name=op.f("uq_events_user_id_stream_position")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_subject", "events", ["user_id", "subject", "position"], unique=False)
    op.create_table(
        "failed_events",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("stream", sa.String(length=32), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("consumer", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_at", INSTANT, nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "stream", "position", "consumer", name=op.f("pk_failed_events")),
    )
    op.create_index("ix_failed_events_due", "failed_events", ["state", "next_try_at"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("location", sa.String(length=2048), nullable=True),
        sa.Column("etag", sa.String(length=64), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("stream", sa.String(length=32), nullable=False),
        sa.Column("consumer", sa.String(length=64), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "stream", "consumer", name=op.f("pk_inbox")),
    )
    op.create_table(
        "lists",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("color", sa.String(length=7), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_lists")),
    )
    op.create_table(
        "notifications",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("created_position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=True),
        sa.Column("message", sa.String(length=2000), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("read_at", INSTANT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_notifications")),
    )
    op.create_index("ix_notifications_page", "notifications", ["user_id", "created_position"], unique=True)
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["user_id", "created_position"],
        unique=False,
        sqlite_where=sa.text("read_at IS NULL"),
        postgresql_where=sa.text("read_at IS NULL"),
    )
    op.create_table(
        "one_time_tokens",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("session_id", ID, nullable=True),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "digest", name=op.f("pk_one_time_tokens")),
    )
    op.create_index("ix_one_time_tokens_expires_at", "one_time_tokens", ["expires_at"], unique=False)
    op.create_table(
        "outgoing_mails",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("to_address", sa.String(length=254), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_at", INSTANT, nullable=False),
        sa.Column("error", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_outgoing_mails")),
    )
    op.create_index("ix_outgoing_mails_due", "outgoing_mails", ["state", "next_try_at"], unique=False)
    op.create_table(
        "reset_requests",
        sa.Column("id", ID, nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reset_requests")),
    )
    op.create_table(
        "session_revocations",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("session_id", ID, nullable=False),
        sa.Column("revoked_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "session_id", name=op.f("pk_session_revocations")),
    )
    op.create_index("ix_session_revocations_revoked_at", "session_revocations", ["revoked_at"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("device", sa.String(length=200), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("last_used_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("refresh_digest", sa.String(length=64), nullable=False),
        sa.Column("previous_digest", sa.String(length=64), nullable=True),
        sa.Column("rotated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"], unique=False)
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("verify_until", sa.Integer(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_keys")),
    )
    op.create_table(
        "streams",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("stream", sa.String(length=32), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "stream", name=op.f("pk_streams")),
    )
    op.create_table(
        "todo_stats_days",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("completed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "day", name=op.f("pk_todo_stats_days")),
    )
    op.create_table(
        "todo_stats_items",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("todo_id", ID, nullable=False),
        sa.Column("completed", sa.Boolean(), nullable=False),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("completed_on", sa.String(length=10), nullable=True),
        sa.PrimaryKeyConstraint("user_id", "todo_id", name=op.f("pk_todo_stats_items")),
    )
    op.create_index(
        "ix_todo_stats_items_due", "todo_stats_items", ["user_id", "completed", "due_at"], unique=False
    )
    op.create_table(
        "todos",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("created_position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=False),
        sa.Column("completed", sa.Boolean(), nullable=False),
        sa.Column("order", sa.Integer(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("remind_at", INSTANT, nullable=True),
        sa.Column("next_reminder_at", INSTANT, nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("list_id", ID, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("completed_at", INSTANT, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_todos")),
    )
    op.create_index(
        "ix_todos_list",
        "todos",
        ["user_id", "list_id"],
        unique=False,
        sqlite_where=sa.text("list_id IS NOT NULL"),
        postgresql_where=sa.text("list_id IS NOT NULL"),
    )
    op.create_index(
        "ix_todos_page",
        "todos",
        ["user_id", "order", sa.literal_column("created_position DESC")],
        unique=False,
    )
    op.create_index(
        "ix_todos_reminders",
        "todos",
        ["next_reminder_at"],
        unique=False,
        sqlite_where=sa.text("next_reminder_at IS NOT NULL"),
        postgresql_where=sa.text("next_reminder_at IS NOT NULL"),
    )
    op.create_table(
        "users",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("email_verified", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("locale", sa.String(length=35), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("avatar_url", sa.String(length=2048), nullable=True),
        sa.Column("search_text", sa.String(length=400), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("disabled_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_users")),
    )


def downgrade() -> None:
    op.drop_table("users")
    op.drop_index("ix_todos_reminders", table_name="todos")
    op.drop_index("ix_todos_page", table_name="todos")
    op.drop_index("ix_todos_list", table_name="todos")
    op.drop_table("todos")
    op.drop_index("ix_todo_stats_items_due", table_name="todo_stats_items")
    op.drop_table("todo_stats_items")
    op.drop_table("todo_stats_days")
    op.drop_table("streams")
    op.drop_table("signing_keys")
    op.drop_index("ix_sessions_expires_at", table_name="sessions")
    op.drop_table("sessions")
    op.drop_index("ix_session_revocations_revoked_at", table_name="session_revocations")
    op.drop_table("session_revocations")
    op.drop_table("reset_requests")
    op.drop_index("ix_outgoing_mails_due", table_name="outgoing_mails")
    op.drop_table("outgoing_mails")
    op.drop_index("ix_one_time_tokens_expires_at", table_name="one_time_tokens")
    op.drop_table("one_time_tokens")
    op.drop_index("ix_notifications_unread", table_name="notifications")
    op.drop_index("ix_notifications_page", table_name="notifications")
    op.drop_table("notifications")
    op.drop_table("lists")
    op.drop_table("inbox")
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("ix_failed_events_due", table_name="failed_events")
    op.drop_table("failed_events")
    op.drop_index("ix_events_subject", table_name="events")
    op.drop_table("events")
    op.drop_table("emails")
    op.drop_index("ix_deliveries_due", table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_table("closed_inboxes")
    op.drop_table("bookmarks")
