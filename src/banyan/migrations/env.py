"""Alembic's environment: one database, given by `banyan.infra.db.migrate`."""

from pathlib import Path

from alembic import context
from sqlalchemy import Connection, create_engine, event

from banyan.infra.db import idempotency as _idempotency
from banyan.infra.db.tables import metadata
from banyan.infra.redis import tables as _redis
from banyan.infra.streams import tables as _streams
from banyan.modules.notifications import tables as _notifications
from banyan.modules.todos import tables as _todos
from banyan.modules.users import tables as _users

# Importing them is what puts their tables into the catalogue.
CATALOGUED = (_idempotency, _redis, _streams, _users, _todos, _notifications)


def run() -> None:
    database = context.config.attributes["database"]
    if isinstance(database, Path):
        _run_on_file(database)
    else:
        from banyan.infra.db.postgres_migrations import run_alone

        run_alone(database, _migrate)


def _run_on_file(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _settings(connection, _record) -> None:  # noqa: ANN001 - a driver's connection
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    with engine.connect() as connection:
        _migrate(connection)
    engine.dispose()


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


run()
