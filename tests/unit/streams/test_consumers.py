"""Consumers: delivered at least once, effective exactly once, and never stopped by one bad event."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.databases import opened_shards

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams import consumers
from banyan.infra.streams.consumers import MAX_ATTEMPTS, Consumer, ConsumerRunner, failed, redrive
from banyan.infra.streams.log import EventLog, read_past
from banyan.kernel.clock import ManualClock
from banyan.kernel.errors import StorageFull, Unavailable
from banyan.kernel.events import Event, NewEvent

EFFECT = text("INSERT INTO effects (event_id) VALUES (:event_id)")


class World:
    """A database with a log, a consumer that notes each effect in it, and events that it cannot apply."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.clock = ManualClock()
        self.log = EventLog("todos", self.clock)
        self.broken: set[str] = set()
        self.error: Exception = ValueError("the event says secret things")
        self.transactions = 0
        consumer = Consumer("tester", frozenset({"todos"}), self.handle, frozenset({"Happened"}))
        self.runner = ConsumerRunner(consumer, shards, self.clock)

    async def handle(self, tx: Transaction, event: Event) -> None:
        await tx.run(EFFECT, {"event_id": event.id})
        if event.subject in self.broken:
            raise self.error

    async def happen(self, *subjects: str, user: str = "ada") -> list[Event]:
        before = await self.shards.read(user, self.log.position, user)
        await self.shards.transact(
            user, self.log.append, user, [NewEvent("Happened", one) for one in subjects]
        )
        return await self.shards.read(user, self.log.read, user, after=before)

    async def effects(self) -> list[str]:
        """Subjects of the events that had an effect, in its order."""

        async def of(tx: Transaction) -> list[str]:
            rows = await tx.all(
                text("SELECT subject FROM effects JOIN events ON id = event_id ORDER BY effects.rowid")
            )
            return [row["subject"] for row in rows]

        return await self.shards.read("ada", of)

    async def failures(self) -> list[tuple[str, str, int]]:
        return [(one.event.subject, one.state, one.attempts) for one in await self.shards.read("ada", failed)]

    async def retry_after(self, pause: timedelta) -> int:
        self.clock.advance(pause)
        return await self.runner.retry_due()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened_shards(tmp_path) as shards:

        async def create(tx: Transaction) -> None:
            await tx.run(text("CREATE TABLE effects (event_id VARCHAR)"))

        await shards.transact("ada", create)
        yield World(shards)


async def test_an_event_that_is_delivered_twice_has_one_effect(world: World):
    events = await world.happen("a", "b")
    await world.runner.deliver(events)
    await world.runner.deliver(events)
    await world.runner.deliver([*events, *await world.happen("c")])
    assert await world.effects() == ["a", "b", "c"]


async def test_a_repeat_within_one_delivery_has_one_effect(world: World):
    events = await world.happen("a", "b")
    await world.runner.deliver([*events, *events])
    assert await world.effects() == ["a", "b"]


async def test_deliveries_side_by_side_have_one_effect(world: World):
    events = await world.happen(*"abcdefgh")
    await asyncio.gather(*(world.runner.deliver(events) for _ in range(10)))
    assert await world.effects() == list("abcdefgh")


async def test_only_what_it_wants_reaches_it(world: World):
    other = EventLog("users", world.clock)
    await world.shards.transact("ada", other.append, "ada", [NewEvent("Happened", "other stream")])
    await world.shards.transact("ada", world.log.append, "ada", [NewEvent("Else", "other type")])
    await world.happen("wanted")
    await world.runner.deliver(await world.shards.read("ada", read_past, 0, 100))
    assert await world.effects() == ["wanted"]


async def test_a_bad_event_is_set_aside_and_delays_nobody(world: World):
    world.broken = {"bad"}
    events = [*await world.happen(*"abc", "bad", *"def"), *await world.happen("x", user="bob")]
    await world.runner.deliver(events)
    assert await world.effects() == [*"abcdef", "x"]
    assert await world.failures() == [("bad", "retrying", 1)]
    await world.runner.deliver(events)  # a repeat neither applies nor counts it again
    assert await world.failures() == [("bad", "retrying", 1)]
    assert await world.effects() == [*"abcdef", "x"]


async def test_one_bad_event_among_many_costs_a_few_transactions(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    await world.runner.deliver(await world.happen("first"))  # what a start brings is applied one by one
    world.broken = {"bad"}
    events = await world.happen(*[f"good {number}" for number in range(400)], "bad")
    calls = 0
    real = ConsumerRunner._apply_all

    async def counting(self: ConsumerRunner, tx: Transaction, wanted: list[Event]) -> None:
        nonlocal calls
        calls += 1
        await real(self, tx, wanted)

    monkeypatch.setattr(ConsumerRunner, "_apply_all", counting)
    await world.runner.deliver(events)
    assert len(await world.effects()) == 401
    assert calls < 25


async def test_what_was_set_aside_is_applied_when_it_can_be(world: World):
    world.broken = {"bad"}
    await world.runner.deliver(await world.happen("bad", "good"))
    world.broken = set()
    assert await world.retry_after(timedelta(seconds=0.1)) == 0
    assert await world.retry_after(timedelta(seconds=0.2)) == 1
    assert await world.effects() == ["good", "bad"]
    assert await world.failures() == []
    assert await world.retry_after(timedelta(days=1)) == 0


async def test_retries_side_by_side_have_one_effect(world: World):
    world.broken = {"bad"}
    await world.runner.deliver(await world.happen("bad"))
    world.broken = set()
    world.clock.advance(timedelta(seconds=1))
    await asyncio.gather(*(world.runner.retry_due() for _ in range(5)))
    assert await world.effects() == ["bad"]


async def test_after_its_last_try_it_is_parked_until_somebody_redrives_it(world: World):
    world.broken = {"bad"}
    await world.runner.deliver(await world.happen("bad"))
    tries = 1
    for _ in range(20):
        tries += await world.retry_after(timedelta(minutes=1))
    assert tries == MAX_ATTEMPTS
    assert await world.failures() == [("bad", "parked", MAX_ATTEMPTS)]
    world.broken = set()
    assert await world.shards.transact("ada", redrive, world.clock) == 1
    assert await world.retry_after(timedelta(0)) == 1
    assert await world.effects() == ["bad"]
    assert await world.failures() == []
    assert await world.shards.transact("ada", redrive, world.clock) == 0


async def test_pauses_grow(world: World):
    world.broken = {"bad"}
    await world.runner.deliver(await world.happen("bad"))
    for pause in consumers.RETRY_PAUSES:
        assert await world.retry_after(pause - timedelta(milliseconds=1)) == 0
        assert await world.retry_after(timedelta(milliseconds=1)) == 1


@pytest.mark.parametrize("error", [Unavailable(), StorageFull()])
async def test_trouble_of_the_database_is_no_fault_of_the_event(world: World, error: Exception):
    world.broken, world.error = {"a"}, error
    events = await world.happen("a", "b")
    with pytest.raises(type(error)):
        await world.runner.deliver(events)
    assert await world.failures() == []
    world.broken = set()
    await world.runner.deliver(events)
    assert await world.effects() == ["a", "b"]


@pytest.mark.parametrize("error", [Unavailable(), StorageFull()])
async def test_trouble_of_the_database_uses_up_no_try(world: World, error: Exception):
    world.broken = {"bad"}
    await world.runner.deliver(await world.happen("bad"))
    world.error = error
    with pytest.raises(type(error)):
        await world.retry_after(timedelta(minutes=1))
    assert await world.failures() == [("bad", "retrying", 1)]


NOTED = text("SELECT COUNT(*) AS notes FROM failed_events WHERE state = 'trying' AND position = :position")


@pytest.mark.parametrize(("taken_over", "notes"), [(True, [1, 1]), (False, [0, 0])])
async def test_what_another_process_may_have_died_of_is_noted_before_it_is_applied(
    world: World, taken_over: bool, notes: list[int]
):
    await world.runner.deliver(await world.happen("first"))
    seen: list[int] = []

    async def look(tx: Transaction, event: Event) -> None:
        seen.append(await tx.value(NOTED, {"position": event.position}))

    object.__setattr__(world.runner.consumer, "handle", look)
    await world.runner.deliver(await world.happen("a", "b"), taken_over=taken_over)
    assert seen == notes
    assert await world.failures() == []


async def test_what_an_error_says_is_not_stored(world: World):
    world.broken = {"bad"}
    await world.runner.deliver(await world.happen("bad"))
    (failure,) = await world.shards.read("ada", failed)
    assert failure.error == "ValueError"


async def test_the_log_names_the_place_of_a_fault_and_not_its_text(
    world: World, capsys: pytest.CaptureFixture[str]
):
    world.broken = {"bad"}
    await world.runner.deliver(await world.happen("bad"))
    printed = capsys.readouterr()
    said = printed.out + printed.err
    assert "event_set_aside" in said
    assert "test_consumers.py:" in said
    assert "secret things" not in said


async def test_effects_survive_a_restart_and_are_not_repeated(world: World):
    events = await world.happen("a")
    await world.runner.deliver(events)
    again = ConsumerRunner(world.runner.consumer, world.shards, world.clock)
    await again.deliver(events)
    assert await world.effects() == ["a"]


async def test_any_order_of_batches_with_repeats_ends_in_the_same_effects(world: World):
    """What a relay does when it dies at random between publishing and moving its bookmark."""
    events = await world.happen(*[str(number) for number in range(30)])
    starts: Sequence[int] = (0, 5, 3, 10, 0, 20, 15, 29, 0)
    upto = 0
    for start in starts:
        begin = min(start, upto)  # a bookmark never skips, it only falls back
        await world.runner.deliver(events[begin : begin + 12])
        upto = max(upto, begin + 12)
    await world.runner.deliver(events)
    assert await world.effects() == [str(number) for number in range(30)]
