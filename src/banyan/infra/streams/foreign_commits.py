"""Foreign commits: what another process wrote into our SQLite file, such as `banyan users disable` while we serve.

What this process knows (positions, caches, revoked sessions, open streams) it learns from its own commits. So it asks
SQLite, many times a second, whether anybody else has committed, and if so tells the new events to everything that
hears our own. The question costs one statement that reads no page.
"""

import asyncio
from dataclasses import dataclass

from sqlalchemy import text

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import Loop, wait_for
from banyan.infra.streams.log import last_sequence, read_past
from banyan.kernel.events import Event

LOOK_SECONDS = 0.1
READ_BATCH = 500

# "The integer values returned by two invocations of PRAGMA data_version from the same connection will be different if
# changes were committed to the database by any other connection in the interim" (sqlite.org/pragma.html).
_DATA_VERSION = text("PRAGMA data_version")


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far a shard was when we looked. data_version: by the writer's connection, which ignores its own commits."""

    data_version: int
    sequence: int


class ForeignCommits:
    """Finds commits of other processes, and tells their events to the listeners of `shards`.

    Listeners hear of a foreign event at most LOOK_SECONDS and a read after its commit. Events of our own from the same
    moment are told a second time: every listener of commits must take a repeat, as it must a reordering of the two.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._marks: dict[str, _Mark] = {}

    def loop(self) -> Loop:
        return Loop("foreign-commits", self.run)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.look()
            await wait_for(stop, LOOK_SECONDS)

    async def look(self) -> int:
        """Look once at every shard; returns how many events were told."""
        told = 0
        for name in self._shards.names():
            # On the writer's connection, the only one to which our own commits are not foreign.
            mark = await self._shards.named(name).transact(_mark)
            before = self._marks.get(name)
            if before is not None and mark.data_version != before.data_version:
                told += await self._tell(name, before.sequence, mark.sequence)
            self._marks[name] = mark
        return told

    async def _tell(self, shard: str, after: int, upto: int) -> int:
        events: list[Event] = []
        while after < upto:
            page = await self._shards.named(shard).read(read_past, after, READ_BATCH)
            if not page:
                break  # erased meanwhile
            after = page[-1].sequence
            events += page
        # All at once: a stream of which only the beginning was told would seem to be shorter than it is.
        if events:
            self._shards.announce(events)
        return len(events)


async def _mark(tx: Transaction) -> _Mark:
    return _Mark(await tx.value(_DATA_VERSION), await last_sequence(tx))
