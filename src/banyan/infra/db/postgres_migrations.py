"""Migrations on PostgreSQL: where a database stands, and a connection that migrates alone."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from banyan.infra.db.postgres_pool import translate

CONNECT_TIMEOUT_SECONDS = 5
# Any number that nobody else of the same database uses.
ADVISORY_LOCK = 0x62616E79616E  # "banyan"
# A migration that waits for a table makes everybody behind it wait: rather fail, and be run again.
LOCK_TIMEOUT = "2s"


def current_revision(url: str) -> str | None:
    """The revision of a database; None before the first migration. Raises Unavailable."""
    return asyncio.run(revision_of(url))


def run_alone(url: str, migrate: Callable[[Connection], None]) -> None:
    """Run `migrate` on a connection, after every other process that does the same. Raises Unavailable."""
    asyncio.run(_run_alone(url, migrate))


async def revision_of(url: str) -> str | None:
    """`current_revision`, for a coroutine."""
    connection = await _connect(url)
    try:
        return await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()


async def _run_alone(url: str, migrate: Callable[[Connection], None]) -> None:
    async def connect() -> Any:
        connection = await _connect(url)
        # Held by the session, so it is gone with it, however this process ends.
        await connection.execute(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
        await connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        return connection

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
            await connection.commit()
    finally:
        await engine.dispose()


async def _connect(url: str) -> Any:
    try:
        return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_SECONDS)
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise translate(error) from error
