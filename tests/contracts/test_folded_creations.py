"""To-dos that are created, and lists that are loaded, together: one statement on PostgreSQL, one answer each."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic_core import from_json
from sqlalchemy import bindparam, insert, select
from tests.support.server import migrated_data_dir, migrated_postgres_url

from banyan.infra.db.postgres import PostgresDatabase
from banyan.infra.db.postgres_pool import PoolSettings
from banyan.infra.db.shards import Shards
from banyan.infra.db.sqlite import SqliteDatabase
from banyan.infra.db.transaction import Database, Transaction, in_one_statement
from banyan.infra.streams.log import EventLog
from banyan.infra.streams.tables import bookmarks, events
from banyan.kernel.clock import ManualClock
from banyan.kernel.events import Event
from banyan.kernel.ids import new_id
from banyan.modules.todos.contract import STREAM
from banyan.modules.todos.creation import Actor, CreateTodo
from banyan.modules.todos.model import apply_event
from banyan.modules.todos.service import Page, TodoService
from banyan.modules.todos.store import Filters, all_of

LOG = EventLog(STREAM, ManualClock())
IN_SEQUENCE = select(events.c.user_id, events.c.position).order_by(events.c.sequence)
ADD = insert(bookmarks).values(reader=bindparam("reader"), sequence=0)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return SqliteDatabase(migrated_data_dir(tmp_path / "data") / "banyan.sqlite3")
    return PostgresDatabase(migrated_postgres_url(), PoolSettings(pool_wait=timedelta(seconds=20)))


@pytest.fixture
async def shards(database: Database) -> AsyncIterator[Shards]:
    found = Shards({"main": database})
    await found.start()
    yield found
    await found.close()


def actor(user_id: str) -> Actor:
    return Actor(user_id, new_id(), "http://here")


async def in_sequence(tx: Transaction) -> list[tuple[str, int]]:
    return [(row["user_id"], row["position"]) for row in await tx.all(IN_SEQUENCE)]


async def test_creations_of_two_processes_have_positions_without_a_gap_and_are_told_as_stored(shards: Shards):
    told: list[Event] = []
    shards.on_commit(told.extend)
    services = [TodoService(shards, LOG, ManualClock()) for _ in range(2)]
    users = [new_id() for _ in range(5)]
    await asyncio.gather(
        *(
            service.create(CreateTodo(actor(user), None, {"title": f"{n}"}))
            for n in range(8)
            for user in users
            for service in services
        )
    )
    stored = await shards.named("main").read(in_sequence)
    for user in users:
        # In the order of their sequence numbers, in which the relay publishes them.
        assert [position for of, position in stored if of == user] == list(range(1, 17))
        state: dict[str, dict[str, object]] = {}
        for event in sorted(told, key=lambda event: event.position):
            if event.user_id == user:
                apply_event(state, event)
        todos = await shards.read(user, all_of, user)
        assert state == {f"todo/{todo_id}": todo for todo_id, todo in todos.items()}


async def test_an_id_that_is_there_already_is_answered_with_what_is_there_and_its_neighbours_are_made(
    shards: Shards,
):
    service, user, known = TodoService(shards, LOG, ManualClock()), new_id(), new_id()
    await service.create(CreateTodo(actor(user), known, {"title": "first"}))
    answers = await asyncio.gather(
        *(
            service.create(CreateTodo(actor(user), todo_id, {"title": "second"}))
            for todo_id in (None, known, None)
        )
    )
    assert [answer.status for answer in answers] == [201, 200, 201]
    assert from_json(answers[1].body)["title"] == "first"
    assert [position for _, position in await shards.named("main").read(in_sequence)] == [1, 2, 3]


async def test_first_pages_that_are_asked_for_together_are_each_ones_own(shards: Shards):
    service = TodoService(shards, LOG, ManualClock())
    users = [new_id() for _ in range(6)]
    for count, user in enumerate(users):
        for number in range(count):
            order = 9 - number if number % 2 else None
            await service.create(CreateTodo(actor(user), None, {"title": f"{user} {number}", "order": order}))

    async def page(user: str, limit: int) -> Page:
        return await service.page(actor(user), Filters(), None, limit)

    together = await asyncio.gather(*(page(user, limit) for user in users for limit in (1, 3, 20)))
    # A filter that holds for all goes the other way.
    everything = Filters(completed=False)
    alone = [
        await service.page(actor(user), everything, None, limit) for user in users for limit in (1, 3, 20)
    ]
    assert [(p.next_place, p.position) for p in together] == [(p.next_place, p.position) for p in alone]
    assert [from_json(f"[{p.todos}]") for p in together] == [from_json(f"[{p.todos}]") for p in alone]
    assert [len(from_json(f"[{p.todos}]")) for p in together[-3:]] == [1, 3, 5]


async def test_a_unit_of_one_statement_may_not_ask_for_a_second_where_statements_fold(shards: Shards):
    @in_one_statement
    async def twice(tx: Transaction) -> None:
        await tx.run(ADD, {"reader": "a"})
        await tx.run(ADD, {"reader": "b"})

    database = shards.named("main")
    if database.folds:
        with pytest.raises(RuntimeError, match="marked in_one_statement"):
            await database.transact(twice)
    else:
        await database.transact(twice)
