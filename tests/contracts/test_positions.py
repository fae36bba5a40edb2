"""The contract of Positions: never behind an acknowledged write."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.databases import opened_shards

from banyan.infra.db.shards import Shards
from banyan.infra.streams.log import EventLog
from banyan.infra.streams.positions import Positions, ProcessPositions
from banyan.kernel.clock import ManualClock
from banyan.kernel.events import Event, NewEvent

LOG = EventLog("todos", ManualClock())
ONE = [NewEvent("Happened", "s")]


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[Shards]:
    async with opened_shards(tmp_path) as opened:
        yield opened


@pytest.fixture(params=["process"])
def positions(request: pytest.FixtureRequest, shards: Shards) -> Positions:
    """Each adapter, hearing of the commits of `shards`."""
    made = {"process": ProcessPositions}[request.param](shards)
    shards.on_commit(made.observe)
    return made


def event_at(position: int) -> Event:
    return Event("e", "ada", "todos", position, "Happened", "s", {}, None, "2030-01-01T00:00:00.000000Z")


async def test_an_untouched_stream_is_at_0(positions: Positions):
    assert await positions.current("ada", "todos") == 0
    assert positions.known("ada", "todos") == 0


async def test_each_acknowledged_write_is_known_when_its_caller_goes_on(shards: Shards, positions: Positions):
    for expected in range(1, 20):
        await shards.transact("ada", LOG.append, "ada", ONE)
        assert positions.known("ada", "todos") == expected
        assert await positions.current("ada", "todos") == expected


async def test_what_was_written_before_this_process_is_loaded(
    tmp_path: Path, shards: Shards, positions: Positions
):
    positions.observe([event_at(1)])
    async with opened_shards(tmp_path) as elsewhere:
        await elsewhere.transact("bob", LOG.append, "bob", ONE * 7)
    assert positions.known("bob", "todos") is None
    assert await positions.current("bob", "todos") == 7


async def test_a_repeat_or_a_reordering_never_moves_it_back(positions: Positions):
    positions.observe([event_at(5)])
    positions.observe([event_at(3), event_at(4)])
    assert positions.known("ada", "todos") == 5


async def test_loads_beside_writes_are_never_behind_them(shards: Shards, positions: Positions):
    async def write_then_ask(user_id: str) -> None:
        for expected in range(1, 11):
            await shards.transact(user_id, LOG.append, user_id, ONE)
            assert await positions.current(user_id, "todos") >= expected

    async def only_ask(user_id: str) -> None:
        last = 0
        for _ in range(20):
            present = await positions.current(user_id, "todos")
            assert present >= last
            last = present

    users = [f"user-{number}" for number in range(20)]
    await asyncio.gather(*(write_then_ask(user) for user in users), *(only_ask(user) for user in users))


async def test_a_forgotten_position_is_loaded_again(shards: Shards):
    small = ProcessPositions(shards, max_streams=2)
    shards.on_commit(small.observe)
    for user in ("ada", "bob", "ada", "eve"):
        await shards.transact(user, LOG.append, user, ONE)
    assert small.known("bob", "todos") is None
    assert small.known("ada", "todos") == 2
    assert await small.current("bob", "todos") == 1
