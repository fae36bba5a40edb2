"""Tables of the notifications module."""

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text

from banyan.infra.db.tables import Flag, Id, Instant, Json, Position, metadata

notifications = Table(
    "notifications",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    # The position of its creation: unique and growing for each user, so the order of the inbox.
    Column("created_position", Position, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("title", String(200)),
    Column("message", String(2000), nullable=False),
    Column("data", Json, nullable=False),
    # Null while it is unread.
    Column("read_at", Instant),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("user_id", "id"),
)
Index("ix_notifications_page", notifications.c.user_id, notifications.c.created_position, unique=True)
# The unread count and the unread page: an index over the unread rows alone stays small however old the inbox is.
Index(
    "ix_notifications_unread",
    notifications.c.user_id,
    notifications.c.created_position,
    sqlite_where=notifications.c.read_at.is_(None),
    postgresql_where=notifications.c.read_at.is_(None),
)

# The delivery ledger: one row for each notification and channel, in the states of `model.Status`.
deliveries = Table(
    "deliveries",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("notification_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("channel", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    # When it came into this state.
    Column("at", Instant, nullable=False),
    # When the delivery loop must look at it again: at once, after a pause, or when its lease ends. Null: never.
    Column("due_at", Instant),
    Column("error", Text),
    # Which of the person's own channels it goes through; null where everybody has the same, such as the inbox.
    Column("channel_id", Id),
    PrimaryKeyConstraint("user_id", "notification_id", "id"),
)
Index(
    "ix_deliveries_due",
    deliveries.c.due_at,
    sqlite_where=deliveries.c.due_at.is_not(None),
    postgresql_where=deliveries.c.due_at.is_not(None),
)

# The channels that people have set up themselves.
own_channels = Table(
    "notification_channels",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("name", String(100)),
    # Of the URL, the rest of which may hold a secret.
    Column("host", String(300)),
    Column("enabled", Flag, nullable=False),
    Column("disabled_reason", String(16)),
    # URL and secrets, sealed.
    Column("sealed", Text),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("version", Integer, nullable=False),
    PrimaryKeyConstraint("user_id", "id"),
)

# Users whose account is deleted. An event that is still on its way when an account goes must not fill its inbox again.
closed_inboxes = Table(
    "closed_inboxes",
    metadata,
    Column("user_id", Id, primary_key=True),
)
