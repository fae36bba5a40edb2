"""Tables of the event log. Each database has its own; a module's rows move with the module."""

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text, UniqueConstraint

from banyan.infra.db.tables import Id, Instant, Json, Position, metadata

streams = Table(
    "streams",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("stream", String(32), nullable=False),
    Column("position", Position, nullable=False),
    PrimaryKeyConstraint("user_id", "stream"),
)

# The event row is the outbox row: the relay publishes rows past its bookmark, by `sequence`.
events = Table(
    "events",
    metadata,
    Column("sequence", Position, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False),
    Column("user_id", Id, nullable=False),
    Column("stream", String(32), nullable=False),
    Column("position", Position, nullable=False),
    Column("type", String(64), nullable=False),
    Column("subject", Id, nullable=False),
    Column("data", Json, nullable=False),
    Column("actor", Id),
    Column("at", Instant, nullable=False),
    Column("trace", String(55)),
    UniqueConstraint("user_id", "stream", "position"),
    # AUTOINCREMENT: a number is never given twice, even when the newest row is erased with its user's account.
    sqlite_autoincrement=True,
)
Index("ix_events_subject", events.c.user_id, events.c.subject, events.c.position)

bookmarks = Table(
    "bookmarks",
    metadata,
    Column("reader", String(64), primary_key=True),
    Column("sequence", Position, nullable=False),
)

# What each consumer has applied, up to a position of each stream.
inbox = Table(
    "inbox",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("stream", String(32), nullable=False),
    Column("consumer", String(64), nullable=False),
    Column("position", Position, nullable=False),
    PrimaryKeyConstraint("user_id", "stream", "consumer"),
)

# Events that a consumer could not apply: `retrying` until its tries are used up, then `parked` until a person redrives.
failed_events = Table(
    "failed_events",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("stream", String(32), nullable=False),
    Column("position", Position, nullable=False),
    Column("consumer", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_try_at", Instant, nullable=False),
    Column("error", Text, nullable=False),
    Column("event", Json, nullable=False),
    PrimaryKeyConstraint("user_id", "stream", "position", "consumer"),
)
Index("ix_failed_events_due", failed_events.c.state, failed_events.c.next_try_at)

# Messages of a broker that are no event, as they came: `parked`, or `retrying` when a person wants them read again.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("consumer", String(64), nullable=False),
    Column("id", String(64), nullable=False),
    Column("topic", String(255), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", Position, nullable=False),
    Column("message", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("error", Text, nullable=False),
    Column("at", Instant, nullable=False),
    PrimaryKeyConstraint("consumer", "id"),
)
