"""A database that is exchanged while it serves: writes wait for it, reads do not, and none is refused."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.databases import create_tables

from banyan.infra.db import switchable
from banyan.infra.db.shards import Shards
from banyan.infra.db.sqlite import SqliteDatabase
from banyan.infra.db.switchable import SwitchableDatabase
from banyan.infra.streams.log import EventLog, last_sequence
from banyan.infra.streams.positions import SwitchingPositions
from banyan.infra.streams.settled import SettledSequence
from banyan.kernel.clock import ManualClock
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event, NewEvent

LOG = EventLog("todos", ManualClock())
ONE = [NewEvent("Happened", "s")]


@pytest.fixture
async def switch(tmp_path: Path) -> AsyncIterator[SwitchableDatabase]:
    create_tables(tmp_path / "first.sqlite3")
    database = SwitchableDatabase(SqliteDatabase(tmp_path / "first.sqlite3", name="main"))
    shards = Shards({"main": database})
    await shards.start()
    yield database
    await shards.close()


@pytest.fixture
async def other(tmp_path: Path, switch: SwitchableDatabase) -> AsyncIterator[SqliteDatabase]:
    """Another database, ready to take the place."""
    create_tables(tmp_path / "second.sqlite3")
    database = SqliteDatabase(tmp_path / "second.sqlite3", name="main")
    await switch.prepare(database)
    yield database
    await database.close()


async def happen(switch: SwitchableDatabase, user_id: str = "ada") -> int:
    return await switch.transact(LOG.append, user_id, ONE)


async def test_held_writes_go_to_the_database_that_is_there_afterwards(
    switch: SwitchableDatabase, other: SqliteDatabase
) -> None:
    await happen(switch)
    await switch.hold()
    writes = [asyncio.create_task(happen(switch, f"user-{number}")) for number in range(50)]
    assert await switch.read(last_sequence) == 1
    assert switch.held == len(writes)
    former = switch.exchange(other)
    assert await switch.read(last_sequence) == 0
    assert not any(write.done() for write in writes)
    switch.release()
    assert await asyncio.gather(*writes) == [1] * 50
    assert switch.held == 0
    assert await other.read(last_sequence) == 50
    assert await former.read(last_sequence) == 1
    assert switch.present is other
    await former.close()


async def test_a_hold_waits_for_the_writes_that_are_under_way(switch: SwitchableDatabase) -> None:
    writes = [asyncio.create_task(happen(switch)) for _ in range(100)]
    await asyncio.sleep(0)
    await switch.hold()
    assert all(write.done() for write in writes)
    switch.release()


async def test_a_hold_that_comes_to_nothing_lets_the_writes_go_on_where_they_were(
    switch: SwitchableDatabase,
) -> None:
    await switch.hold()
    write = asyncio.create_task(happen(switch))
    await asyncio.sleep(0)
    switch.release()
    switch.release()
    assert await write == 1
    assert await happen(switch) == 2


async def test_what_waits_comes_out_in_turns(
    switch: SwitchableDatabase, other: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = most = 0
    inner = other.transact

    async def counted(*args: object, **kwargs: object) -> object:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return await inner(*args, **kwargs)  # type: ignore[arg-type]
        finally:
            at_once -= 1

    monkeypatch.setattr(other, "transact", counted)
    await switch.hold()
    writes = [asyncio.create_task(happen(switch, f"user-{number}")) for number in range(60)]
    await asyncio.sleep(0)
    former = switch.exchange(other)
    switch.release()
    await asyncio.gather(*writes)
    assert most == switchable.HELD_AT_ONCE
    await former.close()


async def test_no_more_wait_than_may(switch: SwitchableDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchable, "MAX_HELD", 3)
    await switch.hold()
    writes = [asyncio.create_task(happen(switch)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await happen(switch)
    switch.release()
    await asyncio.gather(*writes)


async def test_a_caller_that_goes_away_while_it_is_held_writes_nothing(switch: SwitchableDatabase) -> None:
    await switch.hold()
    write = asyncio.create_task(happen(switch))
    await asyncio.sleep(0)
    write.cancel()
    switch.release()
    with pytest.raises(asyncio.CancelledError):
        await write
    assert switch.held == 0
    assert await switch.read(last_sequence) == 0


async def test_positions_that_were_remembered_of_a_database_are_forgotten_with_it(
    switch: SwitchableDatabase, other: SqliteDatabase
) -> None:
    shards = Shards({"main": switch})
    positions = SwitchingPositions(shards)
    positions.observe(
        [Event("e", "ada", "todos", 7, "Happened", "s", {}, None, "2030-01-01T00:00:00.000000Z")]
    )
    assert positions.known("ada", "todos") == 7
    await switch.hold()
    former = switch.exchange(other)
    switch.release()
    assert positions.known("ada", "todos") is None
    assert await positions.current("ada", "todos") == 0
    await former.close()


async def test_what_is_settled_never_goes_back(switch: SwitchableDatabase, other: SqliteDatabase) -> None:
    settled = SettledSequence(switch)
    await happen(switch)
    assert await settled.upto() == 1
    await switch.hold()
    former = switch.exchange(other)
    switch.release()
    await former.close()
    assert await settled.upto() == 1
