"""Alembic's environment: one SQLite file, given by `banyan.infra.db.migrate`."""

from alembic import context
from sqlalchemy import create_engine, event

from banyan.infra.db import idempotency as _idempotency
from banyan.infra.db.tables import metadata
from banyan.infra.streams import tables as _streams
from banyan.modules.notifications import tables as _notifications
from banyan.modules.todos import tables as _todos
from banyan.modules.users import tables as _users

# Importing them is what puts their tables into the catalogue.
CATALOGUED = (_idempotency, _streams, _users, _todos, _notifications)


def run() -> None:
    engine = create_engine(context.config.get_main_option("sqlalchemy.url") or "")

    @event.listens_for(engine, "connect")
    def _settings(connection, _record) -> None:  # noqa: ANN001 - a driver's connection
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
