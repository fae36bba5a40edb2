"""The SQLite adapter: units of work apart from each other, one commit for many, and a thread that nothing ends."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, bindparam, func, insert, select, text

from banyan.infra.db import sqlite as adapter
from banyan.infra.db.coalescer import Coalescer
from banyan.infra.db.errors import UniqueViolation
from banyan.infra.db.shards import Shards
from banyan.infra.db.sqlite import SqliteDatabase
from banyan.infra.db.transaction import Transaction
from banyan.kernel.errors import StorageFull, Unavailable
from banyan.kernel.events import Event

things = Table("things", MetaData(), Column("id", Integer, primary_key=True), Column("name", String))
ADD = insert(things).values(id=bindparam("id"), name=bindparam("name"))
COUNT = select(func.count()).select_from(things)
NUMBERS = select(things.c.id).order_by(things.c.id)
NAMES = select(things.c.name).order_by(things.c.id)
EVENT = Event("e", "ada", "todos", 1, "Happened", "s", {}, None, "2030-01-01T00:00:00.000000Z")


async def add(tx: Transaction, number: int, name: str = "x") -> int:
    await tx.run(ADD, {"id": number, "name": name})
    return number


async def numbers(tx: Transaction) -> list[int]:
    return [row["id"] for row in await tx.all(NUMBERS)]


async def count(tx: Transaction) -> int:
    return await tx.value(COUNT)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    path = tmp_path / "test.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name VARCHAR)")
    connection.close()
    made = SqliteDatabase(path)
    await made.start(lambda events: None)
    yield made
    await made.close()


class Gate:
    """Holds the writer's thread inside a unit, so that what is submitted meanwhile goes into one commit."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._release = threading.Event()
        self._entered = threading.Event()
        self._task = asyncio.create_task(database.transact(self._hold))

    async def _hold(self, tx: Transaction) -> None:
        self._entered.set()
        self._release.wait(10)

    async def entered(self) -> None:
        await asyncio.to_thread(self._entered.wait, 10)

    async def release(self) -> None:
        self._release.set()
        await self._task


async def together(database: SqliteDatabase, *works) -> list:
    """Run units in one commit; their results and errors in order."""
    gate = Gate(database)
    await gate.entered()
    tasks = [asyncio.create_task(database.transact(work)) for work in works]
    await asyncio.sleep(0)
    await gate.release()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_transact_returned_is_on_disk_for_every_other_connection(database: SqliteDatabase):
    assert await database.transact(add, 1) == 1
    other = sqlite3.connect(database.path)
    assert other.execute("SELECT count(*) FROM things").fetchone() == (1,)
    other.close()


async def test_synchronous_is_full_and_the_journal_is_a_wal(database: SqliteDatabase):
    async def pragmas(tx: Transaction) -> tuple[int, str]:
        return await tx.value(text("PRAGMA synchronous")), await tx.value(text("PRAGMA journal_mode"))

    assert await database.transact(pragmas) == (2, "wal")


async def test_many_units_share_one_commit(database: SqliteDatabase):
    def commits() -> int:
        return database.path.with_name(database.path.name + "-wal").stat().st_size

    before = commits()
    await together(database, *[lambda tx, n=number: add(tx, n) for number in range(100)])
    # 100 small rows lie on one page: one commit writes that page once. Alone they would write it 100 times.
    assert commits() - before < 5 * 4200
    assert await database.read(count) == 100


async def test_a_unit_that_raises_undoes_its_own_changes_alone(database: SqliteDatabase):
    async def bad(tx: Transaction) -> None:
        await add(tx, 2)
        raise ValueError("changed my mind")

    results = await together(database, lambda tx: add(tx, 1), bad, lambda tx: add(tx, 3))
    assert results[0] == 1
    assert isinstance(results[1], ValueError)
    assert results[2] == 3
    assert await database.read(count) == 2


async def test_the_first_of_a_commit_undoes_its_own_changes_alone_too(database: SqliteDatabase):
    async def bad(tx: Transaction) -> None:
        await add(tx, 1)
        raise ValueError("changed my mind")

    results = await together(database, bad, lambda tx: add(tx, 2), bad, lambda tx: add(tx, 3))
    assert [type(result) for result in results] == [ValueError, int, ValueError, int]
    assert await database.read(numbers) == [2, 3]


async def test_what_is_asked_for_while_the_writer_works_is_one_unit(database: SqliteDatabase):
    units: list[list[int]] = []

    async def add_all(tx: Transaction, wanted: Sequence[int]) -> list[int]:
        units.append(list(wanted))
        return [await add(tx, number) for number in wanted]

    async def run(wanted: Sequence[int]) -> list[int]:
        return await database.transact(add_all, wanted)

    coalescer = Coalescer(run, ahead=lambda: database.commits_in_order)
    gate = Gate(database)
    await gate.entered()
    asked = [asyncio.create_task(coalescer.submit(number)) for number in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked += [asyncio.create_task(coalescer.submit(number)) for number in range(3, 6)]
    await asyncio.sleep(0)
    await gate.release()
    assert await asyncio.gather(*asked) == list(range(6))
    assert units == [list(range(6))]
    assert await database.read(numbers) == list(range(6))


async def test_a_taken_key_fails_its_own_unit_and_names_the_columns(database: SqliteDatabase):
    results = await together(database, lambda tx: add(tx, 1), lambda tx: add(tx, 1), lambda tx: add(tx, 2))
    assert [results[0], results[2]] == [1, 2]
    assert isinstance(results[1], UniqueViolation)
    assert results[1].constraint == "things.id"


async def test_a_unit_may_catch_a_taken_key_and_go_on(database: SqliteDatabase):
    async def add_or_count(tx: Transaction) -> int:
        await add(tx, 1)
        with pytest.raises(UniqueViolation):
            await add(tx, 1)
        return await count(tx)

    assert await database.transact(add_or_count) == 1
    assert await database.read(count) == 1


async def test_a_unit_that_waits_for_something_else_is_refused_and_undone(database: SqliteDatabase):
    async def waits(tx: Transaction) -> None:
        await add(tx, 1)
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="only await its own transaction"):
        await database.transact(waits)
    assert await database.read(count) == 0
    assert await database.transact(add, 2) == 2


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError(), GeneratorExit()]
)
async def test_whatever_a_unit_raises_the_writer_goes_on(database: SqliteDatabase, error: BaseException):
    async def rude(tx: Transaction) -> None:
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        await asyncio.wait_for(database.transact(rude), 5)
    assert await database.transact(add, 1) == 1


async def test_a_caller_that_goes_away_does_not_undo_its_unit(database: SqliteDatabase):
    gate = Gate(database)
    await gate.entered()
    task = asyncio.create_task(database.transact(add, 1))
    await asyncio.sleep(0)
    task.cancel()
    await gate.release()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert await database.transact(count) == 1


async def test_a_read_sees_every_commit_that_was_acknowledged_before_it(database: SqliteDatabase):
    for number in range(200):
        await database.transact(add, number)
        assert await database.read(count) == number + 1


async def test_a_read_cannot_write(database: SqliteDatabase):
    with pytest.raises(Unavailable):
        await database.read(add, 1)
    assert await database.read(count) == 0


async def test_an_error_in_one_read_is_its_own(database: SqliteDatabase):
    async def bad(tx: Transaction) -> None:
        await tx.value(text("SELECT no_such_column FROM things"))

    results = await asyncio.gather(
        *[database.read(work) for work in (count, bad, count) * 20], return_exceptions=True
    )
    assert [type(result) for result in results] == [int, sqlite3.OperationalError, int] * 20


async def test_the_units_behind_a_database_that_is_locked_are_told_soon_and_all_at_once(
    database: SqliteDatabase,
):
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    loop = asyncio.get_running_loop()
    began = loop.time()
    results = await asyncio.gather(
        *[database.transact(add, number) for number in range(50)], return_exceptions=True
    )
    took = loop.time() - began
    assert all(isinstance(result, Unavailable) for result in results)
    # The first waits alone, those that came meanwhile wait together: two waits, never fifty.
    assert took < 3 * adapter.BUSY_TIMEOUT_SECONDS
    other.execute("COMMIT")
    other.close()
    assert await database.transact(add, 1) == 1


async def test_a_full_disk_fails_the_unit_that_needs_room_and_heals(database: SqliteDatabase):
    async def limit_pages(tx: Transaction, pages: int) -> None:
        await tx.value(text(f"PRAGMA max_page_count = {pages}"))

    async def fill(tx: Transaction) -> None:
        await tx.run(ADD, {"id": 1, "name": "x" * 1_000_000})

    await database.transact(limit_pages, 20)
    results = await together(database, lambda tx: add(tx, 2), fill, lambda tx: add(tx, 3))
    assert [results[0], results[2]] == [2, 3]
    assert isinstance(results[1], StorageFull)
    assert await database.read(count) == 2
    await database.transact(limit_pages, 100_000)
    await database.transact(fill)
    assert await database.read(count) == 3


async def test_when_sqlite_undoes_everything_by_itself_only_the_culprit_fails(database: SqliteDatabase):
    """As it does on some disk faults: the neighbours' changes are gone with the culprit's, and must be made again."""

    async def loses_all(tx: Transaction) -> None:
        await add(tx, 9)
        await tx.run(text("ROLLBACK"))

    results = await together(database, lambda tx: add(tx, 1), loses_all, lambda tx: add(tx, 2))
    assert [results[0], results[2]] == [1, 2]
    assert isinstance(results[1], Unavailable)
    assert await database.read(count) == 2


async def test_a_unit_that_hides_a_full_disk_does_not_end_the_writer(database: SqliteDatabase):
    async def limit_pages(tx: Transaction, pages: int) -> None:
        await tx.value(text(f"PRAGMA max_page_count = {pages}"))

    async def hides(tx: Transaction) -> None:
        try:
            await tx.run(ADD, {"id": 1, "name": "x" * 1_000_000})
        except StorageFull:
            raise LookupError("something else") from None

    await database.transact(limit_pages, 20)
    results = await together(database, lambda tx: add(tx, 2), hides, hides, lambda tx: add(tx, 3))
    assert [results[0], results[3]] == [2, 3]
    assert isinstance(results[1], LookupError)
    assert isinstance(results[2], LookupError)
    assert await database.transact(count) == 2


async def test_a_commit_that_fails_as_a_whole_is_tried_unit_by_unit(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
):
    """The commit, not a statement, is what meets the fault here: nobody may be told that it was done."""
    real = adapter.SqliteDatabase._commit_together
    seen: list[int] = []

    class Failing:
        """A connection whose COMMIT fails while it holds more than one unit."""

        def __init__(self, connection: sqlite3.Connection, units: int) -> None:
            self._connection, self._units = connection, units

        @property
        def in_transaction(self) -> bool:
            return self._connection.in_transaction

        def execute(self, sql: str, *values):
            if sql == "COMMIT" and self._units > 1:
                raise sqlite3.OperationalError("disk I/O error")
            return self._connection.execute(sql, *values)

    def spy(self, connection, tx, units):
        seen.append(len(units))
        inner = getattr(connection, "_connection", connection)
        return real(self, Failing(inner, len(units)), tx, units)  # type: ignore[arg-type]

    monkeypatch.setattr(adapter.SqliteDatabase, "_commit_together", spy)
    results = await together(database, *[lambda tx, n=number: add(tx, n) for number in range(3)])
    assert results == [0, 1, 2]
    assert seen[-4:] == [3, 1, 1, 1]
    assert await database.read(count) == 3


async def test_listeners_hear_the_events_of_a_commit_before_its_caller_goes_on(tmp_path: Path):
    heard: list[str] = []
    path = tmp_path / "test.sqlite3"
    sqlite3.connect(path).close()
    shards = Shards({"main": SqliteDatabase(path)})

    def breaks(events: list[Event]) -> None:
        raise ValueError("a listener's own fault")

    shards.on_commit(breaks)
    shards.on_commit(lambda events: heard.extend(event.id for event in events))
    await shards.start()

    async def happens(tx: Transaction) -> None:
        tx.appended.append(EVENT)

    async def fails(tx: Transaction) -> None:
        tx.appended.append(EVENT)
        raise ValueError

    await asyncio.wait_for(shards.transact("ada", happens), 5)
    assert heard == ["e"]
    with pytest.raises(ValueError):
        await shards.transact("ada", fails)
    assert heard == ["e"]
    await shards.close()


async def test_more_than_may_wait_is_refused_at_once(tmp_path: Path):
    path = tmp_path / "test.sqlite3"
    sqlite3.connect(path).close()
    database = SqliteDatabase(path, max_waiting=2)
    await database.start(lambda events: None)

    async def nothing(tx: Transaction) -> None:
        pass

    gate = Gate(database)
    await gate.entered()
    tasks = [asyncio.create_task(database.transact(nothing)) for _ in range(3)]
    await asyncio.sleep(0)
    refused = [task for task in tasks if task.done()]
    assert len(refused) == 1
    assert isinstance(refused[0].exception(), Unavailable)
    await gate.release()
    await asyncio.gather(*(task for task in tasks if task not in refused))
    await database.close()


async def test_closing_finishes_what_was_accepted_and_refuses_the_rest(database: SqliteDatabase):
    tasks = [asyncio.create_task(database.transact(add, number)) for number in range(50)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*tasks) == list(range(50))
    with pytest.raises(Unavailable):
        await database.transact(add, 99)
    await database.close()  # twice is fine


async def test_a_statement_may_hold_its_own_null(database: SqliteDatabase):
    add_nameless = insert(things).values(id=bindparam("id"), name=None)

    async def add_it(tx: Transaction) -> list[str | None]:
        await tx.run(add_nameless, {"id": 1})
        await tx.run_many(add_nameless, [{"id": 2}, {"id": 3}])
        return [row["name"] for row in await tx.all(NAMES)]

    assert await database.transact(add_it) == [None, None, None]
