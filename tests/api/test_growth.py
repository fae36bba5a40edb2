"""Growth: nothing that is done for one person, or all the time in the background, reads a whole table.

On a PostgreSQL database with thousands of people, as the planner sees it: what it would read from end to end here, it would read
from end to end with millions.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from benchmarks.speed.growth_data import fill, some_people
from benchmarks.speed.scans import large_tables, scanned_since, sequential_scans
from benchmarks.speed.tokens import Tokens
from tests.support.accounts import client_of, register
from tests.support.eventually import eventually
from tests.support.postgres import find_binaries, postgres_server
from tests.support.server import RunningServer, migrated_postgres_url, settings_of

from banyan.bootstrap import build
from banyan.infra.db.idempotency import forget_old
from banyan.kernel.clock import SystemClock, to_text
from banyan.modules.users.store import mails, sessions, tokens

PEOPLE = 3_000
# What is smaller may well be read as a whole.
LARGE = 1_000


@pytest.fixture(scope="module")
def url() -> str:
    """A database with people, each with ten to-dos. A new server has its statistics from ANALYZE alone."""
    made = migrated_postgres_url()
    fill(_psql(), made, PEOPLE, until=datetime.now(UTC).date())
    return made


@pytest.fixture
def large(url: str) -> Iterator[list[str]]:
    """The tables that must not be read from end to end; the test fails afterwards when one was."""
    server, database = postgres_server(), url.rpartition("/")[2]
    tables = large_tables(server, database, LARGE)
    assert {"todos", "events", "streams", "users", "outgoing_mails", "notifications"} <= tables.keys()
    before = sequential_scans(server, database)
    yield sorted(tables)
    # A connection says what it has read when it ends, at the latest.
    connected = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND backend_type = 'client backend'"
    eventually(lambda: server.sql(connected) == "0" or None, "every connection has ended")
    assert scanned_since(before, sequential_scans(server, database), tables) == []


def test_requests_find_their_rows_by_an_index(url: str, large: list[str], tmp_path: Path):
    with RunningServer(tmp_path / "data", {"BANYAN_DATABASE_URL": url}) as server:
        (person,) = some_people(_psql(), url, PEOPLE, [PEOPLE // 2])
        (token,) = Tokens(server).of([person.user_id])
        todo = f"/todos/{person.todo_id}"
        with client_of(server.url, token) as client:
            for path in (
                "/todos",
                "/todos?completed=false&limit=5",
                "/todos?q=water",
                "/todos/stats",
                todo,
                f"{todo}/history",
                "/lists",
                "/notifications",
                "/notifications/unread_count",
                "/users/me",
                "/auth/sessions",
                "/bff/home",
            ):
                answer = client.get(path)
                assert answer.status_code in (200, 404), f"{path}: {answer.text}"
            made = client.post("/todos", json={"title": "one more"}, headers={"idempotency-key": "once"})
            assert made.status_code == 201, made.text
            assert client.patch(todo, json={"title": "changed"}).status_code == 200
            assert client.delete(todo).status_code == 204
            sent = client.post(f"/notify/{person.user_id}", json={"message": "Tea?"})
            assert sent.status_code == 202, sent.text
            eventually(
                lambda: client.get("/todos/stats").json()["position"] == 13 or None, "statistics follow"
            )
        register(server.url).client.close()


def test_a_page_is_read_in_its_order_and_no_further(url: str):
    """However many to-dos somebody has."""
    (person,) = some_people(_psql(), url, PEOPLE, [1])
    query = f"SELECT title FROM todos WHERE user_id = '{person.user_id}' ORDER BY \"order\" NULLS FIRST, created_position DESC LIMIT 3"
    plan = postgres_server().sql(f"EXPLAIN (COSTS OFF) {query}", url.rpartition("/")[2])
    assert "ix_todos_page" in plan
    assert "Sort" not in plan


def test_what_is_swept_is_found_by_an_index(url: str, large: list[str], tmp_path: Path):
    settings = settings_of({"BANYAN_DATABASE_URL": url, "BANYAN_DATA_DIR": str(tmp_path)})
    long_ago = to_text(datetime.combine(date(2000, 1, 1), datetime.min.time(), UTC))

    async def sweep() -> None:
        application = build(settings)
        async with application.opened():
            for database in application.each_database():
                await database.transact(mails.forget_old, long_ago)
                await database.transact(mails.lease_due, now=long_ago, lease_until=long_ago, limit=100)
                await database.transact(tokens.forget_expired, long_ago)
                await database.transact(sessions.forget_revocations, long_ago)
                await database.transact(forget_old, SystemClock())
                await database.read(sessions.expired, long_ago, 200)
                await database.read(sessions.ended_since, to_text(SystemClock().now() - timedelta(hours=1)))

    asyncio.run(sweep())


def _psql() -> Path:
    binaries = find_binaries()
    if binaries is None:
        postgres_server()  # skips
        raise AssertionError("no PostgreSQL, and yet a server of it")
    return binaries / "psql"
