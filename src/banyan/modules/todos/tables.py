"""Tables of the to-dos module."""

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text

from banyan.infra.db.tables import Flag, Id, Instant, Json, Position, metadata

todos = Table(
    "todos",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    # The position of its creation: unique and growing for each user, so the natural "newest first".
    Column("created_position", Position, nullable=False),
    Column("title", String(500), nullable=False),
    Column("completed", Flag, nullable=False),
    Column("order", Integer),
    Column("notes", Text),
    Column("due_at", Instant),
    Column("remind_at", Instant),
    # The earliest of remind_at and due_at that has not been told yet; null when nothing is left to tell.
    Column("next_reminder_at", Instant),
    Column("priority", Integer, nullable=False),
    Column("labels", Json, nullable=False),
    Column("list_id", Id),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("completed_at", Instant),
    Column("version", Integer, nullable=False),
    PrimaryKeyConstraint("user_id", "id"),
)
# The order of GET /todos, so that a page is read from the index without sorting. To-dos without an order come first, which is
# how SQLite sorts and how PostgreSQL has to be told.
for _dialect, _order in (("sqlite", todos.c.order), ("postgresql", todos.c.order.nulls_first())):
    Index("ix_todos_page", todos.c.user_id, _order, todos.c.created_position.desc()).ddl_if(dialect=_dialect)
Index(
    "ix_todos_list",
    todos.c.user_id,
    todos.c.list_id,
    sqlite_where=todos.c.list_id.is_not(None),
    postgresql_where=todos.c.list_id.is_not(None),
)
Index(
    "ix_todos_reminders",
    todos.c.next_reminder_at,
    sqlite_where=todos.c.next_reminder_at.is_not(None),
    postgresql_where=todos.c.next_reminder_at.is_not(None),
)

lists = Table(
    "lists",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("name", String(100), nullable=False),
    Column("color", String(7)),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("version", Integer, nullable=False),
    PrimaryKeyConstraint("user_id", "id"),
)

# Read models of GET /todos/stats, kept by the projection `todo-stats` from events alone.
stats_items = Table(
    "todo_stats_items",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("todo_id", Id, nullable=False),
    Column("completed", Flag, nullable=False),
    Column("due_at", Instant),
    # The day it was completed; null while it is open.
    Column("completed_on", String(10)),
    PrimaryKeyConstraint("user_id", "todo_id"),
)
Index("ix_todo_stats_items_due", stats_items.c.user_id, stats_items.c.completed, stats_items.c.due_at)

# Completions outlive their to-dos: clearing what is done does not change what was done that day.
stats_days = Table(
    "todo_stats_days",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("day", String(10), nullable=False),
    Column("completed", Integer, nullable=False),
    PrimaryKeyConstraint("user_id", "day"),
)
