"""The event log: positions without gap, committed with their change or not at all."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.databases import opened_shards

from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import Append, EventLog, last_sequence, read_past
from banyan.infra.telemetry.trace import continue_trace
from banyan.kernel.clock import ManualClock
from banyan.kernel.events import Event, NewEvent

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def happened(count: int, subject: str = "s") -> list[NewEvent]:
    return [NewEvent("Happened", subject, {"number": number}) for number in range(count)]


@pytest.fixture
def log() -> EventLog:
    return EventLog("todos", ManualClock())


async def test_positions_are_1_2_3_for_each_user_and_stream(tmp_path: Path, log: EventLog):
    other = EventLog("users", ManualClock())
    async with opened_shards(tmp_path) as shards:
        assert await shards.transact("ada", log.append, "ada", happened(2)) == 2
        assert await shards.transact("ada", log.append, "ada", happened(1)) == 3
        assert await shards.transact("bob", log.append, "bob", happened(1)) == 1
        assert await shards.transact("ada", other.append, "ada", happened(1)) == 1
        events = await shards.read("ada", log.read, "ada", after=0)
        assert [event.position for event in events] == [1, 2, 3]
        assert [event.data["number"] for event in events] == [0, 1, 0]
        assert await shards.read("ada", log.position, "ada") == 3
        assert await shards.read("ada", log.position, "nobody") == 0


async def test_many_users_and_repeats_in_one_append(tmp_path: Path, log: EventLog):
    async with opened_shards(tmp_path) as shards:
        appends = [
            Append("ada", happened(2)),
            Append("bob", happened(1)),
            Append("ada", happened(3)),
            Append("eve", []),
        ]
        assert await shards.transact("ada", log.append_many, appends) == [2, 1, 5, 0]
        stored = await shards.read("ada", read_past, 0, 100)
        assert [(event.user_id, event.position) for event in stored] == [
            ("ada", 1), ("ada", 2), ("bob", 1), ("ada", 3), ("ada", 4), ("ada", 5),
        ]  # fmt: skip
        assert len({event.id for event in stored}) == 6


async def test_what_listeners_hear_is_what_is_stored(tmp_path: Path, log: EventLog):
    heard: list[Event] = []
    async with opened_shards(tmp_path) as shards:
        shards.on_commit(heard.extend)
        awkward = {"text": 'a\nb"c\\ ü 𝄞', "none": None, "deep": [{"x": [1.5, True]}], "big": 10**15}
        await shards.transact("ada", log.append, "ada", [NewEvent("Happened", "s", awkward)], actor="me")
        (stored,) = await shards.read("ada", log.read, "ada", after=0)
        (told,) = heard
        assert stored.data == told.data == awkward
        assert (stored.id, stored.position, stored.at, stored.actor) == (
            told.id,
            told.position,
            told.at,
            "me",
        )
        assert stored.sequence == 1


async def test_a_unit_that_fails_leaves_no_event_and_no_gap(tmp_path: Path, log: EventLog):
    heard: list[Event] = []

    async def fails(tx: Transaction) -> None:
        await log.append(tx, "ada", happened(3))
        raise ValueError

    async with opened_shards(tmp_path) as shards:
        shards.on_commit(heard.extend)
        works = [
            shards.transact("ada", fails)
            if number % 3 == 0
            else shards.transact("ada", log.append, "ada", happened(1))
            for number in range(60)
        ]
        await asyncio.gather(*works, return_exceptions=True)
        events = await shards.read("ada", log.read, "ada", after=0)
    assert [event.position for event in events] == list(range(1, 41))
    assert [event.position for event in heard] == list(range(1, 41))


async def test_reading_a_subject_and_erasing_below_a_position(tmp_path: Path, log: EventLog):
    async with opened_shards(tmp_path) as shards:
        await shards.transact(
            "ada", log.append, "ada", [*happened(1, "x"), *happened(1, "y"), *happened(1, "x")]
        )
        found = await shards.read("ada", log.of_subject, "ada", "x")
        assert [event.position for event in found] == [1, 3]
        assert await shards.transact("ada", log.erase, "ada", before=3) == 2
        assert [event.position for event in await shards.read("ada", log.read, "ada", after=0)] == [3]
        assert await shards.transact("ada", log.append, "ada", happened(1)) == 4


async def test_a_sequence_number_is_never_given_twice(tmp_path: Path, log: EventLog):
    async with opened_shards(tmp_path) as shards:
        await shards.transact("ada", log.append, "ada", happened(3))
        await shards.transact("ada", log.erase, "ada", before=100)
        await shards.transact("bob", log.append, "bob", happened(1))
        assert await shards.read("bob", last_sequence) == 4


async def test_an_event_keeps_the_trace_of_its_request(tmp_path: Path, log: EventLog):
    async with opened_shards(tmp_path) as shards:
        continue_trace(TRACE)
        await shards.transact("ada", log.append, "ada", happened(1))
        continue_trace(None)
        await shards.transact(
            "ada", log.append_many, [Append("ada", happened(1), None, TRACE), Append("ada", happened(1))]
        )
        events = await shards.read("ada", log.read, "ada", after=0)
    assert [event.trace for event in events] == [TRACE, TRACE, None]


async def test_the_clock_stamps_events(tmp_path: Path):
    clock = ManualClock()
    log = EventLog("todos", clock)
    async with opened_shards(tmp_path) as shards:
        await shards.transact("ada", log.append, "ada", happened(1))
        clock.advance(timedelta(seconds=1.5))
        await shards.transact("ada", log.append, "ada", happened(1))
        events = await shards.read("ada", log.read, "ada", after=0)
    assert [event.at for event in events] == ["2030-01-01T00:00:00.000000Z", "2030-01-01T00:00:01.500000Z"]
