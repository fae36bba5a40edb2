"""The relay: takes committed events to the bus, each user's in order, none left out.

It reads the shard's events past its bookmark, as far as they are settled, and moves the bookmark after the bus has
taken them; a crash in between publishes some of them twice, which the consumers' inboxes see.

Two relays of one shard do the same work twice, and no harm: each begins where the bookmark is, which is never past an
event that was not published, and moves it only from where it began. So that of several processes only one does the work, a
relay that finds the bookmark moved by another one stands by: it looks now and then, and takes over when events wait and
the bookmark stands still. Nothing depends on who has the turn; it is no lease.

    at work ──(another one moved the bookmark)──▶ standing by ──(it stands still, and events wait)──▶ at work
"""

import asyncio
import random
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, select

from banyan.infra.bus.protocol import Bus
from banyan.infra.db.shards import Shards
from banyan.infra.db.tables import upsert
from banyan.infra.db.transaction import Transaction
from banyan.infra.faults import fault_point
from banyan.infra.loops import wait_for
from banyan.infra.streams.event_spans import publishing
from banyan.infra.streams.log import last_sequence, read_past
from banyan.infra.streams.settled import SettledSequence
from banyan.infra.streams.tables import bookmarks
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import RetryLater
from banyan.kernel.events import Event

log = get_logger(__name__)

BATCH = 500
# A commit wakes the relay; this look without being woken is for commits of other processes.
LOOK_SECONDS = 1.0
# Under load one batch is for all commits since the last; the first commit after a rest is published at once. It rests so many
# times as long as a batch took, so that many small batches never take more than a quarter of the time.
BATCH_REST = 3.0
LONGEST_BATCH_REST_SECONDS = 0.05
# Standing by: until the next look, and until the one that decides, when events wait.
STAND_BY_SECONDS = 1.0
DOUBT_SECONDS = 0.25
# Some transaction that is under way holds the next events back: it ends soon, and nothing may tell us when.
UNSETTLED_LOOK_SECONDS = 0.02
# A relay that does not stay waits so long for such transactions; what is still held back then waits for its next turn.
UNSETTLED_TURN_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0

_BOOKMARK = select(bookmarks.c.sequence).where(bookmarks.c.reader == bindparam("reader"))
_move = upsert(bookmarks).values(reader=bindparam("reader"), sequence=bindparam("sequence"))
_MOVE = _move.on_conflict_do_update(
    index_elements=["reader"],
    set_={"sequence": _move.excluded.sequence},
    # Only from where it was when the events were read: meanwhile another relay may have moved it, or a bus that lost
    # events may have put it back.
    where=bookmarks.c.sequence == bindparam("from_sequence"),
)


class _StandBy(NamedTuple):
    """Another relay is at work. bookmark: where we saw it. waited: whether events waited then. look_at: on the loop's clock."""

    bookmark: int
    waited: bool
    look_at: float


class Relay:
    """Publishes the events of every shard of this process."""

    def __init__(self, shards: Shards, bus: Bus, *, reader: str = "relay") -> None:
        self._shards = shards
        self._bus = bus
        self._reader = reader
        self._committed = asyncio.Event()
        self._settled = {name: SettledSequence(shards.named(name)) for name in shards.names()}
        self._standing_by: dict[str, _StandBy] = {}

    def wake(self, _events: Sequence[Event]) -> None:
        self._committed.set()

    async def run(self, stop: asyncio.Event) -> None:
        """A bus or a database that is away is tried again, at first soon, then every two seconds."""
        pause = FIRST_PAUSE_SECONDS
        while not stop.is_set():
            self._committed.clear()
            began = asyncio.get_running_loop().time()
            try:
                published = await self.publish_waiting()
            except RetryLater as error:
                if pause == FIRST_PAUSE_SECONDS * 2:  # once an outage, when it outlasts the first pause
                    log.warning("relay_waits", error=type(error).__name__, detail=error.detail)
                await wait_for(stop, pause * random.uniform(0.5, 1.5))
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            pause = FIRST_PAUSE_SECONDS
            if published == 0:
                await self._rest(stop)
            elif published < BATCH:
                took = asyncio.get_running_loop().time() - began
                await wait_for(stop, min(BATCH_REST * took, LONGEST_BATCH_REST_SECONDS))

    async def _rest(self, stop: asyncio.Event) -> None:
        """Until a commit, or a look without one; who stands by is not woken by commits."""
        at_work = [name for name in self._settled if name not in self._standing_by]
        waits = any(self._settled[name].is_behind for name in at_work)
        seconds = UNSETTLED_LOOK_SECONDS if waits else LOOK_SECONDS
        if self._standing_by:
            next_look = min(turn.look_at for turn in self._standing_by.values())
            seconds = min(seconds, max(0.0, next_look - asyncio.get_running_loop().time()))
        await wait_for(self._committed if at_work else stop, seconds, stop=stop)

    async def publish_waiting(self) -> int:
        """Publish one batch of each shard that no other relay is at work on; returns how many events that were."""
        await self._bus.prepare()
        published = 0
        for name in self._shards.names():
            if name not in self._standing_by or await self._takes_over(name):
                published += await self._publish(name)
        return published

    async def turn(self) -> int:
        """`publish_waiting` for a process that does not stay: it waits a moment for events that are not settled yet."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + UNSETTLED_TURN_SECONDS
        while True:
            published = await self.publish_waiting()
            held_back = any(
                settled.is_behind for name, settled in self._settled.items() if name not in self._standing_by
            )
            if published or not held_back or clock() > deadline:
                return published
            await asyncio.sleep(UNSETTLED_LOOK_SECONDS)

    async def _publish(self, name: str) -> int:
        database = self._shards.named(name)
        begin, waiting = await database.read(self._waiting, await self._settled[name].upto())
        if not waiting:
            return 0
        fault_point("before-publish")
        with publishing(waiting) as told:
            await self._bus.publish(told)
        fault_point("after-publish")
        if not await database.transact(self._move_bookmark, begin, waiting[-1].sequence):
            await self._look(name)
        return len(waiting)

    async def _takes_over(self, name: str) -> bool:
        """Whether the other relay of this shard has stopped working."""
        before = self._standing_by[name]
        if asyncio.get_running_loop().time() < before.look_at:
            return False
        if await self._look(name) != before.bookmark or not before.waited:
            return False
        del self._standing_by[name]
        return True

    async def _look(self, name: str) -> int:
        """Stand by from now on; returns where the bookmark is."""
        bookmark, last = await self._shards.named(name).read(self._standing)
        seconds = DOUBT_SECONDS if last > bookmark else STAND_BY_SECONDS
        look_at = asyncio.get_running_loop().time() + seconds
        self._standing_by[name] = _StandBy(bookmark, last > bookmark, look_at)
        return bookmark

    async def lag(self) -> int:
        """How many sequence numbers the slowest shard's bookmark is behind."""
        return max([await self._shards.named(name).read(self._behind) for name in self._shards.names()])

    async def _waiting(self, tx: Transaction, upto: int) -> tuple[int, list[Event]]:
        begin = await self._bookmark(tx)
        return begin, await read_past(tx, begin, BATCH, upto=upto)

    async def _behind(self, tx: Transaction) -> int:
        bookmark, last = await self._standing(tx)
        return last - bookmark

    async def _standing(self, tx: Transaction) -> tuple[int, int]:
        return await self._bookmark(tx), await last_sequence(tx)

    async def _bookmark(self, tx: Transaction) -> int:
        return await tx.value(_BOOKMARK, {"reader": self._reader}) or 0

    async def _move_bookmark(self, tx: Transaction, begin: int, sequence: int) -> bool:
        """False when it was no longer where it had been."""
        values = {"reader": self._reader, "from_sequence": begin, "sequence": sequence}
        return await tx.run(_MOVE, values) == 1
