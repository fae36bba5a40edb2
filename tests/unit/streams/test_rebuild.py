"""Rebuilding a projection: each event once, in order, beside deliveries that go on."""

from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.support.databases import opened_shards

from banyan.infra.db.transaction import Transaction
from banyan.infra.module import Projection
from banyan.infra.streams import suspects
from banyan.infra.streams.consumers import Consumer, ConsumerRunner
from banyan.infra.streams.log import EventLog, read_past
from banyan.infra.streams.rebuild import rebuild_user
from banyan.infra.streams.tables import failed_events
from banyan.kernel.clock import ManualClock
from banyan.kernel.events import Event, NewEvent
from banyan.kernel.ids import new_id

CLOCK = ManualClock()
TODOS, USERS = EventLog("todos", CLOCK), EventLog("users", CLOCK)


class Recording:
    """A projection that remembers what it was given. bad: types of events that it cannot apply."""

    def __init__(self, *, bad: frozenset[str] = frozenset()) -> None:
        self.applied: list[tuple[str, int]] = []
        self.bad = bad
        consumer = Consumer(
            "recording", frozenset({"todos", "users"}), self._handle, frozenset({"Wanted", "Bad"})
        )
        self.projection = Projection("recording", consumer, self._clear)

    async def _handle(self, tx: Transaction, event: Event) -> None:
        if event.type in self.bad:
            raise ValueError(event.type)
        self.applied.append((event.stream, event.position))

    async def _clear(self, tx: Transaction, user_id: str) -> None:
        self.applied.clear()


def events(*types: str) -> list[NewEvent]:
    return [NewEvent(name, new_id()) for name in types]


async def test_all_streams_are_replayed_in_the_order_in_which_they_happened(tmp_path: Path) -> None:
    user_id = new_id()
    recording = Recording()
    async with opened_shards(tmp_path) as shards:
        await shards.transact(user_id, TODOS.append, user_id, events("Wanted", "Unwanted"))
        await shards.transact(user_id, USERS.append, user_id, events("Wanted"))
        await shards.transact(user_id, TODOS.append, user_id, events("Wanted"))
        assert await rebuild_user(shards, recording.projection, user_id) == 3
    assert recording.applied == [("todos", 1), ("users", 1), ("todos", 3)]


async def test_what_was_replayed_is_not_delivered_again(tmp_path: Path) -> None:
    user_id = new_id()
    recording = Recording()
    async with opened_shards(tmp_path) as shards:
        await shards.transact(user_id, TODOS.append, user_id, events(*["Wanted"] * 700))
        await rebuild_user(shards, recording.projection, user_id)
        # The relay had not come to them yet.
        runner = ConsumerRunner(recording.projection.consumer, shards, CLOCK)
        await runner.deliver(await shards.read(user_id, read_past, 0, 1000))
    assert recording.applied == [("todos", position) for position in range(1, 701)]


async def test_an_event_that_is_set_aside_waits_for_its_own_retry(tmp_path: Path) -> None:
    user_id = new_id()
    recording = Recording(bad=frozenset({"Bad"}))
    clock = ManualClock()
    async with opened_shards(tmp_path) as shards:
        await shards.transact(user_id, TODOS.append, user_id, events("Wanted", "Bad", "Wanted"))
        runner = ConsumerRunner(recording.projection.consumer, shards, clock)
        await runner.deliver(await shards.read(user_id, read_past, 0, 1000))
        recording.bad = frozenset()
        await rebuild_user(shards, recording.projection, user_id)
        assert recording.applied == [("todos", 1), ("todos", 3)]
        from datetime import timedelta

        clock.advance(timedelta(minutes=1))
        await runner.retry_due()
    assert recording.applied == [("todos", 1), ("todos", 3), ("todos", 2)]


async def test_what_one_process_noted_and_another_applied_is_replayed(tmp_path: Path) -> None:
    user_id = new_id()
    recording = Recording()
    async with opened_shards(tmp_path) as shards:
        await shards.transact(user_id, TODOS.append, user_id, events("Wanted", "Wanted"))
        noted, delivered = await shards.read(user_id, read_past, 0, 1000)
        # One process took over, noted what it would apply first, and was in no condition to go on.
        consumer = recording.projection.consumer
        await shards.transact(user_id, suspects.note, consumer.name, noted, CLOCK)
        await shards.transact(user_id, ConsumerRunner(consumer, shards, CLOCK)._apply_all, [noted])
        assert await rebuild_user(shards, recording.projection, user_id) == 2
        assert recording.applied == [("todos", 1), ("todos", 2)]
        # Who takes over next clears up.
        await shards.transact(user_id, TODOS.append, user_id, events("Wanted"))
        *_, last = await shards.read(user_id, read_past, 0, 1000)
        await ConsumerRunner(consumer, shards, CLOCK).deliver([delivered, last])
        assert await shards.read(user_id, _notes) == 0


async def _notes(tx: Transaction) -> int:
    return await tx.value(select(func.count()).select_from(failed_events), {})


async def test_a_replay_that_fails_changes_nothing(tmp_path: Path) -> None:
    user_id = new_id()
    recording = Recording(bad=frozenset({"Bad"}))
    async with opened_shards(tmp_path) as shards:
        await shards.transact(user_id, TODOS.append, user_id, events("Wanted", "Bad"))
        with pytest.raises(ValueError, match="Bad"):
            await rebuild_user(shards, recording.projection, user_id)
        recording.bad = frozenset()
        runner = ConsumerRunner(recording.projection.consumer, shards, CLOCK)
        recording.applied.clear()
        await runner.deliver(await shards.read(user_id, read_past, 0, 1000))
    assert recording.applied == [("todos", 1), ("todos", 2)]
