"""The contract of Database: units of work on SQLite and on PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import bindparam, func, insert, select, text, update
from sqlalchemy.sql import Executable
from tests.support.postgres import postgres_server
from tests.support.server import migrated_data_dir, migrated_postgres_url

from banyan.infra.bus.protocol import Bus
from banyan.infra.db.coalescer import Coalescer
from banyan.infra.db.errors import UniqueViolation
from banyan.infra.db.postgres import PostgresDatabase
from banyan.infra.db.postgres_pool import PoolSettings
from banyan.infra.db.shards import Shards
from banyan.infra.db.sqlite import SqliteDatabase
from banyan.infra.db.tables import upsert
from banyan.infra.db.transaction import Database, Transaction
from banyan.infra.streams.foreign_commits import ForeignCommits
from banyan.infra.streams.log import Append, EventLog
from banyan.infra.streams.positions import DatabasePositions
from banyan.infra.streams.relay import Relay
from banyan.infra.streams.tables import bookmarks, events
from banyan.kernel.clock import ManualClock
from banyan.kernel.errors import InvalidInput, Unavailable
from banyan.kernel.events import Event, NewEvent

LOG = EventLog("todos", ManualClock())
ONE = [NewEvent("Happened", "s")]
ADD = insert(bookmarks).values(reader=bindparam("reader"), sequence=bindparam("sequence"))
PUT = upsert(bookmarks).values(reader=bindparam("reader"), sequence=bindparam("sequence"))
COUNT = select(func.count()).select_from(bookmarks)
GET = select(bookmarks.c.sequence).where(bookmarks.c.reader == bindparam("reader"))
SET = update(bookmarks).where(bookmarks.c.reader == bindparam("of")).values(sequence=bindparam("to"))
POSITIONS = select(events.c.position).where(events.c.user_id == bindparam("user")).order_by(events.c.sequence)


async def add(tx: Transaction, reader: str, sequence: int = 0) -> str:
    await tx.run(ADD, {"reader": reader, "sequence": sequence})
    return reader


async def count(tx: Transaction) -> int:
    return await tx.value(COUNT)


async def value(tx: Transaction, statement: Executable, parameters: dict[str, object]) -> object:
    return await tx.value(statement, parameters)


async def increment(tx: Transaction, reader: str) -> int:
    """Read, decide, write: what loses updates where units do not exclude each other."""
    now = await tx.value(GET, {"reader": reader})
    await tx.run(SET, {"of": reader, "to": now + 1})
    return now + 1


@pytest.fixture(params=["sqlite", "postgresql"])
def unopened(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return SqliteDatabase(migrated_data_dir(tmp_path / "data") / "banyan.sqlite3")
    # On a busy machine fifty writers wait for twenty connections; that the wait is bounded has a test of its own.
    return PostgresDatabase(migrated_postgres_url(), PoolSettings(pool_wait=timedelta(seconds=20)))


@pytest.fixture
async def database(unopened: Database) -> AsyncIterator[Database]:
    await unopened.start(lambda events: None)
    yield unopened
    await unopened.close()


async def test_what_a_unit_did_is_there_when_it_returns(database: Database):
    assert await database.transact(add, "a") == "a"
    assert await database.read(count) == 1


async def test_a_unit_that_raises_undoes_its_own_changes_alone(database: Database):
    async def bad(tx: Transaction) -> None:
        await add(tx, "bad")
        raise ValueError("changed my mind")

    results = await asyncio.gather(
        *[database.transact(work) for work in (lambda tx: add(tx, "a"), bad, lambda tx: add(tx, "b"))],
        return_exceptions=True,
    )
    assert [results[0], results[2]] == ["a", "b"]
    assert isinstance(results[1], ValueError)
    assert await database.read(count) == 2


async def test_a_taken_key_is_a_unique_violation_that_a_unit_may_name_otherwise(database: Database):
    async def renames(tx: Transaction) -> None:
        try:
            await add(tx, "a")
        except UniqueViolation as error:
            raise LookupError("taken") from error

    await database.transact(add, "a")
    with pytest.raises(UniqueViolation) as caught:
        await database.transact(add, "a")
    assert "bookmarks" in caught.value.constraint
    with pytest.raises(LookupError):
        await database.transact(renames)
    assert await database.read(count) == 1


async def test_of_many_that_add_the_same_key_one_does(database: Database):
    async def once(tx: Transaction) -> str:
        if await tx.value(GET, {"reader": "a"}) is not None:
            return "found"
        await add(tx, "a")
        return "added"

    results = await asyncio.gather(*[database.transact(once) for _ in range(10)])
    assert sorted(results) == ["added"] + ["found"] * 9


async def test_read_your_writes(database: Database):
    await database.transact(add, "a")
    for number in range(1, 200):
        await database.transact(increment, "a")
        assert await database.read(value, GET, {"reader": "a"}) == number


async def test_no_update_is_lost_between_units_that_read_and_then_write(database: Database):
    await database.transact(add, "a")
    results = await asyncio.gather(*[database.transact(increment, "a") for _ in range(15)])
    assert sorted(results) == list(range(1, 16))


async def test_a_read_of_several_statements_is_one_snapshot(database: Database):
    await database.transact(add, "a")
    stop = False

    async def write() -> None:
        while not stop:
            await database.transact(increment, "a")

    async def twice(tx: Transaction) -> tuple[int, int]:
        return await tx.value(GET, {"reader": "a"}), await tx.value(GET, {"reader": "a"})

    writing = asyncio.create_task(write())
    for _ in range(100):
        first, second = await database.read(twice)
        assert first == second
    stop = True
    await writing


async def test_a_read_cannot_write(database: Database):
    with pytest.raises(Unavailable):
        await database.read(add, "a")
    assert await database.read(count) == 0


async def test_a_unit_that_waits_for_something_else_is_refused_and_undone(database: Database):
    async def waits(tx: Transaction) -> None:
        await add(tx, "a")
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="only await its own transaction"):
        await database.transact(waits)
    with pytest.raises(RuntimeError, match="only await its own transaction"):
        await database.read(lambda tx: asyncio.sleep(0))
    assert await database.read(count) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError()])
async def test_whatever_a_unit_raises_the_database_goes_on(database: Database, error: BaseException):
    async def rude(tx: Transaction) -> None:
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        await asyncio.wait_for(database.transact(rude), 5)
    assert await database.transact(add, "a") == "a"


async def test_a_caller_that_goes_away_does_not_undo_its_unit(database: Database):
    task = asyncio.create_task(database.transact(add, "a"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    await database.close()  # which finishes what was accepted
    with pytest.raises(Unavailable):
        await database.read(count)
    await database.start(lambda events: None)
    assert await database.read(count) == 1


async def test_positions_have_no_gap_under_fifty_writers(database: Database):
    async def write(user: str) -> None:
        for _ in range(4):
            await database.transact(LOG.append, user, ONE)

    await asyncio.gather(*[write(f"user-{number % 10}") for number in range(50)])
    for number in range(10):
        rows = await database.read(lambda tx, n=number: tx.all(POSITIONS, {"user": f"user-{n}"}))
        assert [row["position"] for row in rows] == list(range(1, 21))


async def test_one_statement_stores_a_batch_of_many_requests(database: Database):
    batches: list[int] = []

    async def store(users) -> list[int]:
        batches.append(len(users))
        appends = [Append(user, ONE) for user in users]
        return await database.transact(LOG.append_many, appends)

    coalescer: Coalescer[str, int] = Coalescer(store)
    results = await asyncio.gather(*[coalescer.submit(f"user-{number}") for number in range(100)])
    assert results == [1] * 100
    assert len(batches) <= 2


async def test_listeners_hear_of_a_commit_before_its_caller_goes_on(unopened: Database):
    heard: list[int] = []
    await unopened.start(lambda events: heard.extend(event.position for event in events))

    async def fails(tx: Transaction) -> None:
        await LOG.append(tx, "ada", ONE)
        raise ValueError

    for position in (1, 2, 3):
        await unopened.transact(LOG.append, "ada", ONE)
        assert heard[-1] == position
    with pytest.raises(ValueError):
        await unopened.transact(fails)
    assert heard == [1, 2, 3]
    await unopened.close()


# What only a server with several connections can meet.


@dataclass
class TwoProcesses:
    """Two servers' views of one PostgreSQL database, and a plain connection to make trouble with."""

    here: PostgresDatabase
    there: PostgresDatabase
    other: asyncpg.Connection
    url: str


@pytest.fixture
def postgres_url() -> str:
    return migrated_postgres_url()


class Gate:
    """A barrier that opens when the test says so."""

    def __init__(self, error: Exception | None = None) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        self.error = error

    async def start(self) -> None: ...

    async def settle(self, events: Sequence[Event]) -> None:
        self.reached.set()
        await self.opened.wait()
        if self.error is not None:
            raise self.error

    async def hear(self, events: Sequence[Event]) -> None: ...

    async def close(self) -> None: ...


async def test_a_commit_is_acknowledged_and_told_behind_the_barrier_and_holds_no_connection_there(
    postgres_url: str,
):
    # One connection: the commit must have given it back before it waits.
    shards = Shards({"main": PostgresDatabase(postgres_url, PoolSettings(size=1))})
    gate, heard = Gate(), list[Event]()
    shards.settle_with(gate)
    shards.on_commit(heard.extend)
    await shards.start()
    writing = asyncio.create_task(shards.transact("ada", LOG.append, "ada", ONE))
    await gate.reached.wait()
    assert await shards.read("ada", LOG.position, "ada") == 1
    assert (writing.done(), heard) == (False, [])
    gate.opened.set()
    assert await writing == 1
    assert [event.position for event in heard] == [1]
    await shards.close()


async def test_what_cannot_pass_the_barrier_is_committed_and_told_but_not_acknowledged(postgres_url: str):
    shards = Shards({"main": PostgresDatabase(postgres_url)})
    gate, heard = Gate(Unavailable()), list[Event]()
    gate.opened.set()
    shards.settle_with(gate)
    shards.on_commit(heard.extend)
    await shards.start()
    with pytest.raises(Unavailable):
        await shards.transact("ada", LOG.append, "ada", ONE)
    assert await shards.read("ada", LOG.position, "ada") == 1
    assert len(heard) == 1
    await shards.close()


@pytest.fixture
async def two() -> AsyncIterator[TwoProcesses]:
    url = migrated_postgres_url()
    here, there = PostgresDatabase(url), PostgresDatabase(url)
    for database in (here, there):
        await database.start(lambda events: None)
    other = await asyncpg.connect(url)
    yield TwoProcesses(here, there, other, url)
    await other.close()
    for database in (here, there):
        await database.close()


async def test_a_deadlock_is_repeated_until_both_are_done(two: TwoProcesses):
    for reader in ("a", "b"):
        await two.here.transact(add, reader)
    runs: list[str] = []

    async def both(tx: Transaction, first: str, second: str) -> None:
        runs.append(first)
        await tx.run(SET, {"of": first, "to": 1})
        await tx.value(text("SELECT pg_sleep(0.3)"))
        await tx.run(SET, {"of": second, "to": 1})

    await asyncio.gather(two.here.transact(both, "a", "b"), two.there.transact(both, "b", "a"))
    assert len(runs) > 2


async def test_an_exhausted_pool_is_refused_soon():
    database = PostgresDatabase(migrated_postgres_url(), PoolSettings(size=2))
    await database.start(lambda events: None)

    async def sleeps(tx: Transaction) -> None:
        await tx.value(text("SELECT pg_sleep(1)"))

    busy = [asyncio.create_task(database.transact(sleeps)) for _ in range(2)]
    await asyncio.sleep(0.05)
    began = time.monotonic()
    results = await asyncio.gather(*[database.read(count) for _ in range(50)], return_exceptions=True)
    assert time.monotonic() - began < 0.5
    assert all(isinstance(result, Unavailable) for result in results)
    await asyncio.gather(*busy)
    assert await database.read(count) == 0
    await database.close()


async def test_connections_that_the_server_cut_are_replaced_unseen(two: TwoProcesses):
    await asyncio.gather(*[two.here.read(count) for _ in range(10)])
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'banyan %' AND datname = current_database()"
    assert await two.other.fetch(cut)
    assert await two.here.read(count) == 0
    assert await two.here.transact(add, "a") == "a"


async def test_a_unit_cut_before_its_commit_is_run_again_and_done_once(two: TwoProcesses):
    runs = 0

    async def cut_once(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        await add(tx, "a")
        if runs == 1:
            await tx.value(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    await two.here.transact(cut_once)
    assert (runs, await two.here.read(count)) == (2, 1)


async def test_a_server_that_is_not_there_is_unavailable(two: TwoProcesses):
    nowhere = PostgresDatabase("postgresql://postgres@127.0.0.1:1/nothing")
    with pytest.raises(Unavailable):
        await nowhere.start(lambda events: None)


async def test_a_statement_that_takes_too_long_is_given_up(two: TwoProcesses):
    database = PostgresDatabase(two.url, PoolSettings(statement_timeout=timedelta(milliseconds=200)))
    await database.start(lambda events: None)

    async def sleeps(tx: Transaction) -> None:
        await tx.value(text("SELECT pg_sleep(30)"))

    with pytest.raises(Unavailable):
        await asyncio.wait_for(database.transact(sleeps), 5)
    assert await database.read(count) == 0
    await database.close()


async def test_a_text_that_postgresql_cannot_hold_is_the_callers_fault(two: TwoProcesses):
    with pytest.raises(InvalidInput):
        await two.here.read(value, GET, {"reader": "a\x00b"})
    with pytest.raises(InvalidInput):
        await two.here.transact(add, "a\x00b")
    assert await two.here.transact(add, "a") == "a"


class Collected(Bus):
    def __init__(self) -> None:
        self.published: list[Event] = []

    async def prepare(self) -> None:
        pass

    async def publish(self, events) -> None:
        self.published.extend(events)


async def test_the_relay_leaves_out_no_event_that_commits_after_a_later_one(two: TwoProcesses):
    bus = Collected()
    relay = Relay(Shards({"main": two.here}), bus)
    late = "INSERT INTO events (id, user_id, stream, position, type, subject, data, at) VALUES ('late', 'late', 'todos', 1, 'Happened', 's', '{}', '2030-01-01T00:00:00.000000Z')"
    slow = two.other.transaction()
    await slow.start()
    await two.other.execute("INSERT INTO streams VALUES ('late', 'todos', 1)")
    await two.other.execute(late)
    await two.there.transact(LOG.append, "ada", ONE)
    # Ada's event is there, with the higher number; the lower one may still come.
    for _ in range(5):
        assert await relay.publish_waiting() == 0
    await slow.commit()
    while len(bus.published) < 2:
        await relay.publish_waiting()
    assert [event.user_id for event in bus.published] == ["late", "ada"]
    assert await relay.publish_waiting() == 0


async def test_the_relay_publishes_everything_once_and_in_order_under_writers(two: TwoProcesses):
    bus = Collected()
    relay = Relay(Shards({"main": two.here}), bus)
    writing = True

    async def write(database: PostgresDatabase, user: str) -> None:
        for _ in range(25):
            await database.transact(LOG.append, user, ONE)

    async def publish() -> None:
        while writing or await relay.publish_waiting():
            await relay.publish_waiting()
            await asyncio.sleep(0)

    publishing = asyncio.create_task(publish())
    users = [f"user-{number}" for number in range(8)]
    await asyncio.gather(*(write(two.here if n % 2 else two.there, user) for n, user in enumerate(users)))
    writing = False
    await publishing
    for user in users:
        assert [e.position for e in bus.published if e.user_id == user] == list(range(1, 26))


async def test_commits_of_another_process_are_told_and_our_own_are_not(two: TwoProcesses):
    heard: list[str] = []
    shards = Shards({"main": PostgresDatabase(two.url)})
    foreign = ForeignCommits(shards)
    shards.on_commit(foreign.observe)
    shards.on_commit(lambda events_: heard.extend(event.user_id for event in events_))
    await shards.start()
    await foreign.look()
    await shards.transact("own", LOG.append, "own", ONE)
    await two.there.transact(LOG.append, "other", ONE)
    while "other" not in heard:
        await foreign.look()
    await shards.transact("own", LOG.append, "own", ONE)
    assert await foreign.look() == 0
    assert heard.count("other") == 1
    await shards.close()


async def test_positions_are_never_behind_a_write_of_another_process(two: TwoProcesses):
    positions = DatabasePositions(Shards({"main": two.here}))
    for expected in range(1, 300):
        await two.there.transact(LOG.append, "ada", ONE)
        assert await positions.current("ada", "todos") == expected
    assert positions.known("ada", "todos") is None


def test_the_server_syncs_what_it_acknowledges():
    assert postgres_server().sql("SHOW fsync") == "on"
    assert postgres_server().sql("SHOW synchronous_commit") == "on"
