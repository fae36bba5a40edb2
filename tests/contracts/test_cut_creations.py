"""To-dos whose connection to PostgreSQL breaks as they are created: each is there once, and its client sees no failure."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic_core import from_json
from sqlalchemy import select
from tests.support.server import migrated_postgres_url
from tests.support.tcp_proxy import Piece, TcpProxy

from banyan.infra.db.idempotency import IdempotentRequest, StoredAnswer
from banyan.infra.db.postgres import PostgresDatabase
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import EventLog, from_row
from banyan.infra.streams.tables import events
from banyan.kernel.clock import ManualClock
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event
from banyan.kernel.ids import new_id
from banyan.modules.todos.contract import STREAM
from banyan.modules.todos.creation import Actor, CreateTodo, TodoCreation
from banyan.modules.todos.store import all_of

IN_SEQUENCE = select(events).order_by(events.c.sequence)
GROUP = 20
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


async def stored_events(tx: Transaction) -> list[Event]:
    return [from_row(row) for row in await tx.all(IN_SEQUENCE)]


@dataclass
class Behind:
    """A process whose way to its database leads through a proxy, and somebody with a way of their own."""

    shards: Shards
    proxy: TcpProxy
    other: asyncpg.Connection
    told: list[Event] = field(default_factory=list)
    user: str = field(default_factory=new_id)
    numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.creation = TodoCreation(self.shards, EventLog(STREAM, ManualClock()), ManualClock())
        self.shards.on_commit(self.told.extend)

    async def create(self, todo_id: str | None = None, key: str | None = None) -> StoredAnswer:
        idempotent = IdempotentRequest(self.user, key, "f") if key is not None else None
        fields = {"title": f"number {next(self.numbers)}"}
        return await self.creation.create(
            CreateTodo(Actor(self.user, new_id(), "http://here"), todo_id, fields, idempotent)
        )

    async def group(self) -> list[StoredAnswer]:
        """Many that arrive together: the first goes alone, and all others behind it in one statement."""
        return await asyncio.gather(*(self.create() for _ in range(GROUP)))

    async def are_once(self, answers: list[StoredAnswer]) -> None:
        """Each answer's to-do is there, nothing else is, and their events are there and were told, each once."""
        todos = await self.shards.read(self.user, all_of, self.user)
        assert set(todos) == {from_json(answer.body)["id"] for answer in answers}
        assert len(todos) == len(answers)
        stored = await self.shards.named("main").read(stored_events)
        assert [event.position for event in stored] == list(range(1, len(answers) + 1))
        assert sorted((event.subject, event.position) for event in self.told) == sorted(
            (event.subject, event.position) for event in stored
        )


@pytest.fixture
def url() -> str:
    return migrated_postgres_url()


@pytest.fixture
async def behind(url: str) -> AsyncIterator[Behind]:
    port = urlsplit(url).port
    assert port is not None
    other = await asyncpg.connect(url)
    with TcpProxy(port) as proxy:
        shards = Shards({"main": PostgresDatabase(url.replace(f":{port}/", f":{proxy.port}/"))})
        await shards.start()
        yield Behind(shards, proxy, other)
        await shards.close()
    await other.close()


@pytest.mark.parametrize("piece", ["request", "answer"])
async def test_a_group_whose_request_or_answer_is_lost_is_there_once(behind: Behind, piece: Piece):
    # So that its connection is open and its statement prepared: what comes next is the statement and nothing else.
    answers = [await behind.create()]
    behind.proxy.lose_next(piece)
    answers += await behind.group()
    assert [answer.status for answer in answers] == [201] * (GROUP + 1)
    await behind.are_once(answers)


async def test_a_client_s_own_id_and_key_are_answered_as_new_when_their_answer_is_lost(behind: Behind):
    answers = [await behind.create()]
    for todo_id, key in ((new_id(), None), (None, "a key"), (new_id(), "another")):
        behind.proxy.lose_next("answer")
        answers.append(await behind.create(todo_id, key))
    assert [answer.status for answer in answers] == [201] * 4
    await behind.are_once(answers)
    # And the keys were kept: the same request again has the same answer, and no effect.
    assert await behind.create(None, "a key") == answers[2]
    await behind.are_once(answers)


async def test_a_statement_that_the_server_goes_on_with_after_its_client_was_cut_off_is_done_once(
    behind: Behind,
):
    answers = [await behind.create()]
    async with behind.other.transaction():
        await behind.other.execute("SELECT FROM streams WHERE user_id = $1 FOR UPDATE", behind.user)
        creating = asyncio.create_task(behind.create())
        await until_waiting(behind.other, 1)
        behind.proxy.end_all()
        # It is not there, so it is run again; and waits behind the first, of which the server does not know that nobody does.
        await until_waiting(behind.other, 2)
    answers.append(await creating)
    await behind.are_once(answers)


async def test_one_that_breaks_each_time_is_told_that_nobody_knows(behind: Behind):
    await behind.create()
    async with behind.other.transaction():
        await behind.other.execute("SELECT FROM streams WHERE user_id = $1 FOR UPDATE", behind.user)
        creating = asyncio.create_task(behind.create())
        for waiting in (1, 2):
            await until_waiting(behind.other, waiting)
            behind.proxy.end_all()
        with pytest.raises(Unavailable, match="look whether it is there"):
            await creating


async def until_waiting(connection: asyncpg.Connection, most: int) -> None:
    async with asyncio.timeout(10):
        # Asking is a round trip, so this gives way to the others.
        while (await connection.fetchval(WAITING) or 0) < most:
            pass
