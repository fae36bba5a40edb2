"""The live hub: every event once and in order, whatever is lost, late, repeated or too much on the way."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.databases import opened_shards

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.live import BUFFERED_EVENTS, LiveHub, Message, Subscription
from banyan.infra.streams.live_cursor import Cursor, InvalidCursor, format_cursor, parse_cursor
from banyan.infra.streams.log import EventLog, read_past
from banyan.infra.streams.positions import ProcessPositions
from banyan.infra.streams.sources import LocalStream
from banyan.kernel.clock import ManualClock
from banyan.kernel.errors import RateLimited
from banyan.kernel.events import Event, NewEvent

STREAMS = ("users", "todos", "notifications")


class World:
    def __init__(self, shards: Shards, **options: int) -> None:
        self.shards = shards
        self.logs = {name: EventLog(name, ManualClock()) for name in STREAMS}
        positions = ProcessPositions(shards)
        sources = {name: LocalStream(shards, positions, log) for name, log in self.logs.items()}
        self.hub = LiveHub(sources, **options)
        shards.on_commit(positions.observe)
        shards.on_commit(self.hub.deliver)

    async def happen(self, count: int = 1, stream: str = "todos", user: str = "ada") -> None:
        log = self.logs[stream]
        await self.shards.transact(user, log.append, user, [NewEvent("Happened", "s")] * count)

    def listen(self, since: Cursor | None = None, *, user: str = "ada", session: str = "s") -> "Listener":
        return Listener(self.hub, self.hub.open(user, session), since)


class Listener:
    """A client: reads when it is told to."""

    def __init__(self, hub: LiveHub, subscription: Subscription, since: Cursor | None) -> None:
        self.hub = hub
        self.subscription = subscription
        self.messages = hub.messages(subscription, since)

    async def next(self) -> Message:
        return await asyncio.wait_for(anext(self.messages), 10)

    async def take(self, count: int) -> list[Message]:
        return [await self.next() for _ in range(count)]

    async def quiet(self) -> bool:
        """Whether nothing more is waiting to be told."""
        quick = asyncio.ensure_future(anext(self.messages))
        done, _ = await asyncio.wait({quick}, timeout=0.05)
        quick.cancel()
        await asyncio.wait({quick})
        return not done


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[Shards]:
    async with opened_shards(tmp_path) as opened:
        yield opened


def places(messages: list[Message]) -> list[tuple[str, int]]:
    assert all(message.event is not None for message in messages)
    return [
        (message.event.stream, message.event.position) for message in messages if message.event is not None
    ]


async def test_it_begins_now_and_tells_what_follows(shards: Shards):
    world = World(shards)
    await world.happen(3)
    listener = world.listen()
    ready = await listener.next()
    assert (ready.kind, ready.cursor) == ("ready", "todos.3")
    await world.happen()
    await world.happen(stream="users")
    await world.happen(user="bob")
    first, second = await listener.take(2)
    assert places([first, second]) == [("todos", 4), ("users", 1)]
    assert second.cursor == "todos.4-users.1"
    assert await listener.quiet()


async def test_it_resumes_after_the_cursor_in_every_stream(shards: Shards):
    world = World(shards)
    await world.happen(5)
    await world.happen(2, "users")
    await world.happen(1, "notifications")
    listener = world.listen({"todos": 3, "users": 2})
    assert (await listener.next()).cursor == "todos.3-users.2"
    told = await listener.take(3)
    assert sorted(places(told)) == [("notifications", 1), ("todos", 4), ("todos", 5)]
    assert told[-1].cursor == "notifications.1-todos.5-users.2"
    assert await listener.quiet()


async def test_one_that_is_up_to_date_reads_no_log(shards: Shards, monkeypatch: pytest.MonkeyPatch):
    world = World(shards)
    await world.happen(2)
    reads: list[str] = []
    real = EventLog.read

    async def spying(self: EventLog, *args, **kwargs):
        reads.append(self.stream)
        return await real(self, *args, **kwargs)

    monkeypatch.setattr(EventLog, "read", spying)
    for since in (None, {"todos": 2}):
        listener = world.listen(since)
        await listener.next()
        await world.happen()
        await listener.next()
        await world.shards.transact("ada", world.logs["todos"].erase, "ada", before=0)
    assert reads == ["todos"]  # the second was one behind by then


async def test_what_is_committed_between_opening_and_reading_is_told_once(shards: Shards):
    world = World(shards)
    await world.happen()
    subscription = world.hub.open("ada", "s")
    await world.happen(2)
    listener = Listener(world.hub, subscription, {"todos": 1})
    await listener.next()
    assert places(await listener.take(2)) == [("todos", 2), ("todos", 3)]
    assert await listener.quiet()


async def test_a_slow_reader_finds_in_the_log_what_its_buffer_could_not_hold(shards: Shards):
    world = World(shards)
    listener = world.listen()
    await listener.next()
    total = BUFFERED_EVENTS * 3
    for _ in range(total // 8):
        await world.happen(8)
    assert listener.subscription.overran
    assert len(listener.subscription.buffered) <= BUFFERED_EVENTS
    assert places(await listener.take(total)) == [("todos", position) for position in range(1, total + 1)]
    await world.happen()
    assert places(await listener.take(1)) == [("todos", total + 1)]
    assert await listener.quiet()


async def test_a_burst_larger_than_the_buffer_is_told_whole(shards: Shards):
    world = World(shards)
    listener = world.listen()
    await listener.next()
    await world.happen(BUFFERED_EVENTS + 50)
    assert len(await listener.take(BUFFERED_EVENTS + 50)) == BUFFERED_EVENTS + 50
    assert await listener.quiet()


async def test_a_repeated_or_late_announcement_is_not_told_again(shards: Shards):
    world = World(shards)
    listener = world.listen()
    await listener.next()
    await world.happen(3)
    assert len(await listener.take(3)) == 3
    events = await shards.read("ada", read_past, 0, 10)
    world.hub.deliver(events)
    world.hub.deliver(events[:1])
    assert await listener.quiet()


async def test_an_announcement_that_got_lost_is_made_good_by_the_next(shards: Shards):
    world = World(shards)
    listener = world.listen()
    await listener.next()
    deliver = world.hub.deliver
    world.hub.deliver = lambda events: None  # type: ignore[method-assign]
    shards._listeners[1] = lambda events: world.hub.deliver(events)
    await world.happen(4)
    world.hub.deliver = deliver  # type: ignore[method-assign]
    await world.happen(1)
    assert places(await listener.take(5)) == [("todos", position) for position in range(1, 6)]
    assert await listener.quiet()


async def test_what_was_caught_up_is_never_ahead_of_where_one_can_resume(shards: Shards):
    """The log shows a commit a moment before the process is told of it."""
    world = World(shards)
    await world.happen(3)
    told, shards._listeners = shards._listeners, []
    late: list[list[Event]] = []
    shards.on_commit(late.append)
    await world.happen()
    listener = world.listen({"todos": 1})
    assert (await listener.next()).kind == "ready"
    assert places(await listener.take(2)) == [("todos", 2), ("todos", 3)]
    assert await listener.quiet()
    shards._listeners = told
    again = world.listen({"todos": 3})
    for tell in told:
        tell(late[0])
    assert (await again.next()).cursor == "todos.3"
    assert places(await again.take(1)) == [("todos", 4)]
    assert await again.quiet()


async def test_resuming_under_writes_has_no_gap_and_no_repeat(shards: Shards):
    """A client that is cut off again and again, each time somewhere else, while writers never pause."""
    world = World(shards)
    total, chance = 600, random.Random(7)
    counts = {"todos": 0, "users": 0, "notifications": 0}

    async def write() -> None:
        written = 0
        while written < total:
            stream, count = chance.choice(STREAMS), min(chance.randint(1, 12), total - written)
            await world.happen(count, stream)
            counts[stream] += count
            written += count

    writer = asyncio.create_task(write())
    seen: list[tuple[str, int]] = []
    cursor = "0"
    while len(seen) < total:
        listener = world.listen(parse_cursor(cursor, STREAMS))
        assert (await listener.next()).kind == "ready"
        for _ in range(chance.randint(0, 40)):
            if len(seen) == total:
                break
            message = await listener.next()
            seen += places([message])
            cursor = message.cursor
        world.hub.close(listener.subscription)
        await listener.messages.aclose()  # type: ignore[attr-defined]
    await writer
    for stream, count in counts.items():
        assert [position for name, position in seen if name == stream] == list(range(1, count + 1))
    assert parse_cursor(cursor, STREAMS) == {stream: count for stream, count in counts.items() if count}
    assert world.hub.open_streams == 0


async def test_many_listeners_beside_many_writers(shards: Shards):
    world = World(shards)
    listeners = [world.listen() for _ in range(20)]
    for listener in listeners:
        await listener.next()

    async def read(listener: Listener) -> list[tuple[str, int]]:
        return places(await listener.take(200))

    readers = [asyncio.create_task(read(listener)) for listener in listeners]
    await asyncio.gather(*(world.happen(1, STREAMS[number % 2]) for number in range(200)))
    for told in await asyncio.gather(*readers):
        for stream in STREAMS[:2]:
            assert [position for name, position in told if name == stream] == list(range(1, 101))


async def test_too_far_behind_is_told_to_reset_and_goes_on_from_now(shards: Shards):
    world = World(shards, replay_limit=10)
    await world.happen(8)
    await world.happen(3, "users")
    listener = world.listen({})
    reset, ready = await listener.take(2)
    assert (reset.kind, ready.kind) == ("reset", "ready")
    assert reset.cursor == ready.cursor == "todos.8-users.3"
    await world.happen()
    assert places(await listener.take(1)) == [("todos", 9)]


async def test_exactly_at_the_limit_it_still_resumes(shards: Shards):
    world = World(shards, replay_limit=10)
    await world.happen(10)
    listener = world.listen({})
    assert (await listener.next()).kind == "ready"
    assert len(await listener.take(10)) == 10


async def test_ahead_of_the_log_is_told_to_reset(shards: Shards):
    """The client has seen more than there is: the database was restored from a backup."""
    world = World(shards)
    await world.happen(2)
    listener = world.listen({"todos": 5})
    assert [message.kind for message in await listener.take(2)] == ["reset", "ready"]


async def test_a_log_that_does_not_reach_back_is_told_to_reset(shards: Shards):
    world = World(shards)
    await world.happen(10)
    await shards.transact("ada", world.logs["todos"].erase, "ada", before=6)
    listener = world.listen({"todos": 3})
    ready, reset = await listener.take(2)
    assert (ready.kind, reset.kind, reset.cursor) == ("ready", "reset", "todos.10")
    await world.happen()
    assert places(await listener.take(1)) == [("todos", 11)]
    still = world.listen({"todos": 5})
    assert len(await still.take(1 + 6)) == 7


async def test_a_reader_that_falls_too_far_behind_is_told_to_reset(shards: Shards):
    world = World(shards, replay_limit=BUFFERED_EVENTS)
    listener = world.listen()
    await listener.next()
    await world.happen(BUFFERED_EVENTS + 1)
    reset = await listener.next()
    assert (reset.kind, reset.cursor) == ("reset", f"todos.{BUFFERED_EVENTS + 1}")
    assert await listener.quiet()


async def test_a_revoked_session_ends_its_own_streams(shards: Shards):
    world = World(shards)
    revoked, other = world.listen(session="one"), world.listen(session="two")
    await revoked.next()
    await other.next()
    waiting = asyncio.create_task(revoked.next())
    await asyncio.sleep(0)
    world.hub.end_session("ada", "one")
    bye = await asyncio.wait_for(waiting, 1)
    assert (bye.kind, bye.reason) == ("bye", "revoked")
    with pytest.raises(StopAsyncIteration):
        await anext(revoked.messages)
    await world.happen()
    assert len(await other.take(1)) == 1


async def test_an_ended_stream_tells_nothing_more_of_what_waited(shards: Shards):
    world = World(shards)
    listener = world.listen()
    await listener.next()
    await world.happen(5)
    await listener.next()
    world.hub.end_session("ada", "s")
    bye = await listener.next()
    assert (bye.kind, bye.cursor) == ("bye", "todos.1")


async def test_draining_ends_all_streams_and_lets_new_ones_go_at_once(shards: Shards):
    world = World(shards)
    listener = world.listen()
    await listener.next()
    world.hub.drain()
    assert (await listener.next()).reason == "draining"
    late = world.listen({"todos": 0})
    assert [message.kind for message in await late.take(2)] == ["ready", "bye"]


async def test_one_user_may_not_have_too_many_streams(shards: Shards):
    world = World(shards, max_per_user=2)
    first = world.hub.open("ada", "s")
    world.hub.open("ada", "s")
    with pytest.raises(RateLimited):
        world.hub.open("ada", "s")
    world.hub.open("bob", "s")
    world.hub.close(first)
    world.hub.close(first)  # twice is fine
    world.hub.open("ada", "s")
    assert world.hub.open_streams == 3


async def test_nothing_is_left_of_a_closed_stream(shards: Shards):
    world = World(shards)
    subscription = world.hub.open("ada", "s")
    world.hub.close(subscription)
    await world.happen()
    assert not subscription.buffered
    assert not world.hub._by_user
    assert not world.hub._of_address


async def test_one_address_may_not_have_too_many_streams(shards: Shards):
    world = World(shards, max_per_address=2)
    first = world.hub.open("ada", "s", "192.0.2.1")
    world.hub.open("bob", "s", "192.0.2.1")
    with pytest.raises(RateLimited):
        world.hub.open("eve", "s", "192.0.2.1")
    world.hub.open("eve", "s", "192.0.2.2")
    world.hub.close(first)
    world.hub.close(first)  # twice is fine
    world.hub.open("eve", "s", "192.0.2.1")
    assert world.hub.open_streams == 3


@pytest.mark.parametrize(
    "text", ["", "todos", "todos.", "todos.-1", "todos.1.2", "todos.x", "todos.1-todos.2", "other.1", "0-0", "todos.٣", "todos." + "9" * 19, "-"]
)  # fmt: skip
def test_a_cursor_that_we_did_not_make_is_refused(text: str):
    with pytest.raises(InvalidCursor):
        parse_cursor(text, STREAMS)


@pytest.mark.parametrize("cursor", [{}, {"todos": 1}, {"users": 3, "todos": 12, "notifications": 5}])
def test_a_cursor_reads_as_it_was_written(cursor: Cursor):
    assert parse_cursor(format_cursor(cursor), STREAMS) == cursor


def test_a_position_of_0_is_left_out():
    assert format_cursor({"todos": 0, "users": 2}) == "users.2"
    assert format_cursor({"todos": 0}) == "0"


async def test_a_failing_database_is_an_error_and_not_silence(shards: Shards):
    world = World(shards)
    await world.happen(2)

    async def breaks(self: EventLog, tx: Transaction, *args, **kwargs):
        raise ValueError

    listener = world.listen({})
    await listener.next()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventLog, "read", breaks)
        with pytest.raises(ValueError):
            await listener.next()
