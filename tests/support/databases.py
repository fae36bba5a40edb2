"""Databases for tests of what lies above them: a SQLite file with every table, opened as the only shard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import create_engine

from banyan.infra.db import idempotency as _idempotency
from banyan.infra.db.shards import Shards
from banyan.infra.db.sqlite import SqliteDatabase
from banyan.infra.db.tables import metadata
from banyan.infra.redis import tables as _redis
from banyan.infra.streams import tables as _streams
from banyan.modules.notifications import tables as _notifications

# Importing them is what puts their tables into the catalogue.
CATALOGUED = (_idempotency, _redis, _streams, _notifications)


def create_tables(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    engine.dispose()


@asynccontextmanager
async def opened_shards(folder: Path) -> AsyncIterator[Shards]:
    """Shards over one file in `folder`, made when it is not there yet; closed at the end.

    Register commit listeners on it at any time.
    """
    path = folder / "test.sqlite3"
    if not path.exists():
        create_tables(path)
    shards = Shards({"main": SqliteDatabase(path)})
    await shards.start()
    try:
        yield shards
    finally:
        await shards.close()
