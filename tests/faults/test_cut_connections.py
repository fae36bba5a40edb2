"""Connections to PostgreSQL that are cut under load: nothing acknowledged is lost, nothing is done twice, and few are told of it."""

import asyncio
from pathlib import Path

import asyncpg
import httpx
import pytest
from tests.support.accounts import Account, register
from tests.support.server import RunningServer, migrated_postgres_url

pytestmark = [pytest.mark.faults]

PEOPLE, AT_ONCE = 4, 8
ROUNDS = 12
# So long a statement takes that a cut most often comes in the middle of one.
SLOW = """
    CREATE FUNCTION take_your_time() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END';
    CREATE TRIGGER slow AFTER INSERT ON todos FOR EACH STATEMENT EXECUTE FUNCTION take_your_time()
"""
CUT = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name LIKE 'banyan %' AND datname = current_database()
"""


class Load:
    """Creates to-dos, each with a title of its own, until it is stopped. Who is refused goes on with the next."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.stopping = False
        self.progress = asyncio.Event()

    async def run(self, account: Account, client: httpx.AsyncClient, worker: int) -> None:
        number = 0
        while not self.stopping:
            title = f"{account.id} {worker} {number}"
            number += 1
            headers = {"authorization": f"Bearer {account.access_token}"}
            if worker % 2:
                headers["idempotency-key"] = title
            answer = await client.post("/todos", json={"title": title}, headers=headers)
            assert answer.status_code in (201, 503), answer.text
            (self.acknowledged if answer.status_code == 201 else self.refused).append(title)
            self.progress.set()

    async def create_more(self, count: int) -> None:
        """Return when so many more have been created."""
        until = len(self.acknowledged) + count
        while len(self.acknowledged) < until:
            self.progress.clear()
            await self.progress.wait()


async def cut_again_and_again(url: str, load: Load) -> int:
    """Cut every connection of the server, and again once it has created more; returns how many that were."""
    other = await asyncpg.connect(url)
    await other.execute(SLOW)
    cut = 0
    for _ in range(ROUNDS):
        async with asyncio.timeout(30):
            await load.create_more(PEOPLE * AT_ONCE)
        cut += await other.fetchval(CUT)
    await other.close()
    return cut


async def under_load(server: RunningServer, url: str, accounts: list[Account]) -> tuple[Load, int]:
    load = Load()
    limits = httpx.Limits(max_connections=PEOPLE * AT_ONCE)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=20) as client:
        workers = [
            asyncio.create_task(load.run(account, client, worker))
            for account in accounts
            for worker in range(AT_ONCE)
        ]
        try:
            cut = await cut_again_and_again(url, load)
        finally:
            load.stopping = True
            await asyncio.gather(*workers)
    return load, cut


def test_connections_that_are_cut_under_load_lose_nothing_and_fail_at_most_one_request_each(tmp_path: Path):
    url = migrated_postgres_url()
    with RunningServer(tmp_path / "server", {"BANYAN_DATABASE_URL": url}) as server:
        accounts = [register(server.url) for _ in range(PEOPLE)]
        load, cut = asyncio.run(under_load(server, url, accounts))
        todos = [title for (title,) in server.rows("SELECT title FROM todos")]
        created = server.rows("SELECT user_id, position, subject FROM events WHERE type = 'TodoCreated'")
        positions = server.rows(
            "SELECT position = (SELECT max(position) FROM events e WHERE e.user_id = s.user_id AND e.stream = s.stream),"
            " position = (SELECT count(*) FROM events e WHERE e.user_id = s.user_id AND e.stream = s.stream)"
            " FROM streams s WHERE stream = 'todos'"
        )
        for account in accounts:
            account.client.close()
    print(f"{len(load.acknowledged)} created, {cut} connections cut, {len(load.refused)} refused")
    assert cut >= ROUNDS
    assert len(set(todos)) == len(todos)
    assert set(load.acknowledged) <= set(todos) <= set(load.acknowledged) | set(load.refused)
    assert len({subject for _, _, subject in created}) == len(created) == len(todos)
    assert positions == [(True, True)] * PEOPLE
    assert len(load.refused) <= cut
