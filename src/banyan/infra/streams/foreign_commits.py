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
from banyan.infra.db.transaction import Database, Transaction
from banyan.infra.loops import Loop, wait_for
from banyan.infra.streams.log import last_sequence, read_past
from banyan.infra.streams.settled import SettledSequence
from banyan.infra.streams.tables import events as event_rows
from banyan.kernel.errors import Unavailable
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
    """How far a shard was when we looked. database: the one that was asked, which may have been exchanged since.

    data_version: on SQLite, by the writer's connection, which ignores its own commits; elsewhere always 0.
    """

    database: Database
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
        return sum([await self._look_at(name) for name in self._shards.names()])

    async def _look_at(self, name: str) -> int:
        database = self._shards.named(name).present
        before = self._marks.get(name)
        try:
            mark = await self._mark_of(name, database, before)
        except Unavailable:
            if self._shards.named(name).present is database:
                raise
            return 0  # it was exchanged, and closed, while we asked it; the next look is at the other one
        told = 0
        if before is not None and await self._is_news(name, before, mark):
            told = await self._tell(name, before.sequence, mark.sequence)
        self._marks[name] = mark
        return told

    async def _mark_of(self, name: str, database: Database, before: _Mark | None) -> _Mark:
        if database.commits_in_order:
            # On the writer's connection, the only one to which our own commits are not foreign.
            version, sequence = await database.transact(_version_and_sequence)
        else:
            version, sequence = 0, await self._settled[name].upto()
        return _Mark(database, version, max(sequence, before.sequence if before else 0))

    async def _is_news(self, name: str, before: _Mark, mark: _Mark) -> bool:
        if mark.database.commits_in_order:
            return (mark.database, mark.data_version) != (before.database, before.data_version)
        return await self._others_wrote(name, before.sequence, mark.sequence)

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


async def _version_and_sequence(tx: Transaction) -> tuple[int, int]:
    return await tx.value(_DATA_VERSION), await last_sequence(tx)


async def _ids_between(tx: Transaction, after: int, upto: int) -> set[str]:
    return {row["id"] for row in await tx.all(_IDS, {"after": after, "upto": upto})}
