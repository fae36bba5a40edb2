"""A PostgreSQL database for a while, beside the others of a server."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

from banyan.infra.db.postgres_pool import open_connection, translated


@asynccontextmanager
async def scratch_database(url: str) -> AsyncIterator[str]:
    """The URL of a new, empty database on the server of `url`, whose own database is not touched; dropped at the end, with
    whatever is connected to it.

    The user needs the right to create databases. Raises Unavailable, and what PostgreSQL refuses.
    """
    name = f"banyan_bench_{secrets.token_hex(6)}"
    await _run(url, f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    finally:
        await _run(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _run(url: str, statement: str) -> None:
    connection = await open_connection(url, {})
    try:
        with translated():
            await connection.execute(statement)
    finally:
        await connection.close()
