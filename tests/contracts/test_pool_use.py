"""A pool of connections says who waits for it: what `/metrics` shows, and `banyan bench` judges by."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tests.support.server import RunningServer, migrated_postgres_url

from banyan.infra.db.postgres import PostgresDatabase
from banyan.infra.db.postgres_pool import PoolSettings
from banyan.infra.db.scratch import scratch_database
from banyan.kernel.errors import Unavailable


@pytest.fixture
def url() -> str:
    return migrated_postgres_url()


@pytest.fixture
async def database(url: str) -> AsyncIterator[PostgresDatabase]:
    one = PostgresDatabase(url, PoolSettings(size=2, pool_wait=timedelta(milliseconds=50)))
    await one.start(lambda events: None)
    yield one
    await one.close()


async def test_a_free_connection_is_no_wait(database: PostgresDatabase):
    async with database.connection():
        assert database.pool_use.in_use == 1
    assert (database.pool_use.in_use, database.pool_use.wait_seconds) == (0, 0.0)


async def test_who_waits_is_counted_and_who_waits_in_vain_too(database: PostgresDatabase):
    async with database.connection(), database.connection():
        assert database.pool_use.in_use == database.pool_use.size == 2
        with pytest.raises(Unavailable):
            async with database.connection():
                pass
    assert database.pool_use.refused == 1
    assert database.pool_use.wait_seconds >= 0.04
    assert database.pool_use.in_use == 0


async def test_who_gets_one_after_a_wait_was_not_refused(database: PostgresDatabase):
    async def use() -> None:
        async with database.connection():
            assert database.pool_use.in_use <= 2

    async with database.connection():
        async with database.connection():
            waiting = asyncio.create_task(use())
            await asyncio.sleep(0)  # it has begun to wait
        await waiting
    assert database.pool_use.refused == 0
    assert database.pool_use.wait_seconds > 0


def test_a_server_shows_it(url: str, tmp_path: Path):
    with RunningServer(
        tmp_path / "data",
        {"BANYAN_DATABASE_URL": url, "BANYAN_DATABASE_POOL_SIZE": "7"},
    ) as server:
        page = httpx.get(server.url + "/metrics", trust_env=False).text
    names = (line.replace('{target="all"}', "") for line in page.splitlines())
    shown = dict(name.rsplit(" ", 1) for name in names if name.startswith("banyan_database_"))
    assert shown["banyan_database_connections_max"] == "7.0"
    assert set(shown) == {
        "banyan_database_connections_max",
        "banyan_database_connections_in_use",
        "banyan_database_waits_total",
        "banyan_database_wait_seconds_total",
        "banyan_database_refused_total",
    }


async def test_a_scratch_database_is_gone_afterwards_even_with_somebody_in_it(
    url: str, database: PostgresDatabase
):
    async with scratch_database(url) as made:
        inside = PostgresDatabase(made, PoolSettings(size=2))
        await inside.start(lambda events: None)
        async with inside.connection() as connection:
            assert (
                await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
            )
    async with database.connection() as connection:
        names = [row[0] for row in await connection.fetch("SELECT datname FROM pg_database")]
    assert made.rpartition("/")[2] not in names
