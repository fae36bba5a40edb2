"""A commit wakes the relays and the open streams of other processes, and a wake that is lost costs only time.

All looks that nobody asks for are an hour apart here, where a test does not say otherwise: what arrives came by a wake.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
from tests.support.eventually import soon
from tests.support.server import migrated_postgres_url

from banyan.infra.bus.protocol import Bus
from banyan.infra.db import postgres_wake
from banyan.infra.db.postgres import PostgresDatabase
from banyan.infra.db.postgres_pool import PoolSettings
from banyan.infra.db.postgres_wake import PostgresWake
from banyan.infra.db.shards import Shards
from banyan.infra.loops import Loop, LoopRunner
from banyan.infra.streams import foreign_commits, relay
from banyan.infra.streams.foreign_commits import ForeignCommits
from banyan.infra.streams.log import EventLog
from banyan.infra.streams.relay import Relay
from banyan.kernel.clock import ManualClock
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event, NewEvent

LOG = EventLog("todos", ManualClock())
NEVER = 3600.0
SOON = 10.0
# By what each connection did last.
_LISTENERS = "pg_stat_activity WHERE application_name = $1 AND query ~ '^(LISTEN|SELECT pg_notify|SELECT 1$)'"
COUNT = f"SELECT count(*) FROM {_LISTENERS}"
CUT = f"SELECT count(pg_terminate_backend(pid)) FROM {_LISTENERS}"


class Published(Bus):
    """Says which event came last, as soon as it came."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self._more = asyncio.Event()

    async def prepare(self) -> None:
        pass

    async def publish(self, events: Sequence[Event]) -> None:
        self.subjects += [event.subject for event in events]
        self._more.set()

    async def until(self, subject: str) -> None:
        async with asyncio.timeout(SOON):
            while subject not in self.subjects:
                self._more.clear()
                await self._more.wait()


class Process:
    """What of a process takes part. name: what PostgreSQL calls its connections."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        database = PostgresDatabase(url, PoolSettings(application_name=name, pool_wait=timedelta(seconds=5)))
        self.shards = Shards({"main": database})
        self.wake = PostgresWake(database)
        self.foreign = ForeignCommits(self.shards, [self.wake])
        self.bus = Published()
        self.relay = Relay(self.shards, self.bus, reader=name)
        self.shards.on_commit(self.foreign.observe)
        self.shards.on_commit(self.relay.wake)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.shards.start()
        await self.foreign.look()
        loops = [self.foreign.loop(), self.wake.loop(), Loop("relay", self.relay.run)]
        runner = LoopRunner(loops)
        runner.start()
        try:
            await self.listens()
            yield
        finally:
            await runner.stop()
            await self.shards.close()
            await self.wake.close()
        assert runner.failures == {}

    async def listens(self) -> None:
        async def look() -> bool | None:
            return self.wake.listens or None

        await soon(look, f"{self.name} listens")

    async def commit(self, subject: str) -> None:
        await self.shards.transact("ada", LOG.append, "ada", [NewEvent("Happened", subject)])


class Two:
    """Two processes that share a database, and a connection to look at them."""

    def __init__(self, url: str, other: asyncpg.Connection) -> None:
        self.url = url
        self.here, self.there = Process(url, "here"), Process(url, "there")
        self.other = other


@pytest.fixture(autouse=True)
def looks_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_commits, "LOOK_SECONDS", NEVER)
    monkeypatch.setattr(foreign_commits, "LISTENING_LOOK_SECONDS", NEVER)
    monkeypatch.setattr(relay, "LOOK_SECONDS", NEVER)
    # Whoever is cut off stays so for a moment.
    monkeypatch.setattr(postgres_wake, "FIRST_PAUSE_SECONDS", 1.0)


@pytest.fixture
def url() -> str:
    return migrated_postgres_url()


@pytest.fixture
async def two(url: str) -> AsyncIterator[Two]:
    other = await asyncpg.connect(url)
    two = Two(url, other)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(other.close)
        await stack.enter_async_context(two.here.running())
        await stack.enter_async_context(two.there.running())
        yield two


async def test_a_commit_wakes_the_relay_of_another_process(two: Two):
    for number in range(20):
        await two.here.commit(f"here-{number}")
        await two.there.bus.until(f"here-{number}")
        await two.there.commit(f"there-{number}")
        await two.here.bus.until(f"there-{number}")


async def test_what_was_held_back_is_found_with_what_came_meanwhile(two: Two):
    """The wake of the second commit finds the look waiting for the first to be settled."""
    slow = two.other.transaction()
    await slow.start()
    await two.other.execute("SELECT pg_current_xact_id()")
    foreign, heard, wakes = two.there.foreign, list[str](), list[int]()
    two.there.shards.on_commit(lambda events: heard.extend(event.subject for event in events))

    def woken() -> None:
        wakes.append(1)
        foreign._heard.set()

    two.there.wake.when_heard(woken)
    await two.here.commit("first")

    async def waits() -> bool | None:
        return (len(wakes) == 1 and foreign._is_behind()) or None

    async def looked_again() -> bool | None:
        return (len(wakes) == 2 and not foreign._heard.is_set()) or None

    await soon(waits, "the look waits for the slow transaction")
    await two.here.commit("second")
    await soon(looked_again, "the second wake is answered by a look")
    await slow.commit()

    async def both() -> bool | None:
        return {"first", "second"} <= set(heard) or None

    await soon(both, "both are heard of")


async def test_a_process_that_ends_with_its_commit_tells_of_it(two: Two):
    """As `banyan users disable` does, which has no loops."""
    command = Process(two.url, "command")
    await command.shards.start()
    await command.commit("disabled")
    await command.shards.close()
    await command.wake.close()
    await two.here.bus.until("disabled")


async def test_many_commits_share_a_wake(two: Two):
    told: list[int] = []
    await two.other.add_listener(postgres_wake.CHANNEL, lambda *_: told.append(1))
    began = asyncio.get_running_loop().time()
    for turn in range(10):
        await asyncio.gather(*(two.here.commit(f"{turn}-{number}") for number in range(20)))
    await two.here.commit("last")
    took = asyncio.get_running_loop().time() - began
    await two.there.bus.until("last")
    assert 1 <= len(told) <= took / postgres_wake.TELL_PAUSE_SECONDS + 2


async def test_a_process_does_not_wake_itself_nor_tell_again_what_it_was_told(two: Two):
    told: list[int] = []
    await two.other.add_listener(postgres_wake.CHANNEL, lambda _c, pid, *_: told.append(pid))
    woken: list[str] = []
    two.here.wake.when_heard(lambda: woken.append("here"))
    await two.here.commit("one")
    await two.there.bus.until("one")
    await two.here.commit("two")
    await two.there.bus.until("two")
    assert len(set(told)) == 1
    assert woken == []


async def test_a_listener_that_was_cut_off_looks_by_itself_and_listens_again(
    two: Two, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(foreign_commits, "LOOK_SECONDS", 0.05)
    assert await two.other.fetchval(CUT, "there") == 1

    async def is_deaf() -> bool | None:
        return True if not two.there.wake.listens else None

    await soon(is_deaf, "the loss is noticed")
    await two.here.commit("while deaf")
    await two.there.bus.until("while deaf")
    assert not two.there.wake.listens
    await two.there.listens()
    monkeypatch.setattr(foreign_commits, "LOOK_SECONDS", NEVER)
    await two.here.commit("afterwards")
    await two.there.bus.until("afterwards")


async def test_who_listens_is_told_that_wakes_end_and_that_they_begin_again(two: Two):
    told: list[bool] = []
    two.there.wake.when_heard(lambda: told.append(two.there.wake.listens))
    assert await two.other.fetchval(CUT, "there") == 1

    async def both() -> bool | None:
        return True if len(told) == 2 else None

    await soon(both, "the end and the new beginning")
    assert told == [False, True]


async def test_a_wake_that_could_not_be_sent_is_sent_later(two: Two):
    process = Process(two.url, "later")
    await process.shards.start()
    await process.commit("later")
    closed = await asyncpg.connect(two.url)
    await closed.close()
    with pytest.raises(Unavailable):
        await process.wake._tell(closed)
    await process.shards.close()
    await process.wake.close()
    await two.here.bus.until("later")


async def test_what_is_committed_while_its_own_connection_is_lost_is_told_afterwards(two: Two):
    assert await two.other.fetchval(CUT, "here") == 1
    await two.here.commit("untold")
    await two.there.bus.until("untold")


@pytest.mark.filterwarnings("error::ResourceWarning")  # an end by the garbage collector is none
async def test_the_connection_is_gone_at_the_end(url: str):
    process = Process(url, "ending")
    other = await asyncpg.connect(url)
    async with process.running():
        assert await other.fetchval(COUNT, "ending") == 1

    async def gone() -> bool | None:
        return True if await other.fetchval(COUNT, "ending") == 0 else None

    await soon(gone, "the server has ended the connection")
    await other.close()
