"""Foreign commits: what other processes wrote into our database, such as `banyan users disable` while we serve.

What this process knows (positions, caches, revoked sessions, open streams) it learns from its own commits. So it asks
the database, many times a second, whether anybody else has committed, and if so tells the new events to everything that
hears our own.

On SQLite the question costs one statement that reads no page. On PostgreSQL, where others write all the time, the ids
past the last look are read, and those that are not our own are told.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, text

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import Loop, wait_for
from banyan.infra.streams.log import last_sequence, read_past
from banyan.infra.streams.settled import SettledSequence
from banyan.infra.streams.tables import events as event_rows
from banyan.kernel.events import Event

LOOK_SECONDS = 0.1
READ_BATCH = 500
# More of our own than this between two looks: they are forgotten, and told twice, which listeners take.
MOST_OWN = 100_000

# "The integer values returned by two invocations of PRAGMA data_version from the same connection will be different if
# changes were committed to the database by any other connection in the interim" (sqlite.org/pragma.html).
_DATA_VERSION = text("PRAGMA data_version")
_IDS = select(event_rows.c.id).where(
    event_rows.c.sequence > bindparam("after"), event_rows.c.sequence <= bindparam("upto")
)


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far a shard was when we looked.

    data_version: on SQLite, by the writer's connection, which ignores its own commits; elsewhere always 0.
    """

    data_version: int
    sequence: int


class ForeignCommits:
    """Finds commits of other processes, and tells their events to the listeners of `shards`.

    Listeners hear of a foreign event at most LOOK_SECONDS and a read after its commit. Events of our own from the same
    moment may be told a second time: every listener of commits must take a repeat, as it must a reordering of the two.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._marks: dict[str, _Mark] = {}
        self._settled = {name: SettledSequence(shards.named(name)) for name in shards.names()}
        self._own: set[str] = set()
        self._telling = False

    def loop(self) -> Loop:
        return Loop("foreign-commits", self.run)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.look()
            await wait_for(stop, LOOK_SECONDS)

    def observe(self, events: Sequence[Event]) -> None:
        """Remember which events are our own, where the database cannot tell."""
        if self._telling or all(self._shards.named(name).commits_in_order for name in self._shards.names()):
            return
        if len(self._own) > MOST_OWN:
            self._own.clear()
        self._own.update(event.id for event in events)

    async def look(self) -> int:
        """Look once at every shard; returns how many events were told."""
        told = 0
        for name in self._shards.names():
            database = self._shards.named(name)
            before = self._marks.get(name)
            if database.commits_in_order:
                # On the writer's connection, the only one to which our own commits are not foreign.
                mark = await database.transact(_mark)
                is_news = before is not None and mark.data_version != before.data_version
            else:
                mark = _Mark(0, await self._settled[name].upto())
                is_news = before is not None and await self._others_wrote(
                    name, before.sequence, mark.sequence
                )
            if before is not None and is_news:
                told += await self._tell(name, before.sequence, mark.sequence)
            self._marks[name] = mark
        return told

    async def _others_wrote(self, shard: str, after: int, upto: int) -> bool:
        if after == upto:
            return False
        ids = await self._shards.named(shard).read(_ids_between, after, upto)
        others = ids - self._own
        self._own -= ids
        return bool(others)

    async def _tell(self, shard: str, after: int, upto: int) -> int:
        events: list[Event] = []
        while after < upto:
            page = await self._shards.named(shard).read(read_past, after, READ_BATCH, upto=upto)
            if not page:
                break  # erased meanwhile
            after = page[-1].sequence
            events += page
        # All at once: a stream of which only the beginning was told would seem to be shorter than it is.
        if events:
            await self._shards.hear(events)
            self._telling = True
            try:
                self._shards.announce(events)
            finally:
                self._telling = False
        return len(events)


async def _mark(tx: Transaction) -> _Mark:
    return _Mark(await tx.value(_DATA_VERSION), await last_sequence(tx))


async def _ids_between(tx: Transaction, after: int, upto: int) -> set[str]:
    return {row["id"] for row in await tx.all(_IDS, {"after": after, "upto": upto})}
