"""Foreign commits: what other processes wrote into our database, such as `banyan users disable` while we serve.

What this process knows (positions, caches, revoked sessions, open streams) it learns from its own commits. So it asks
the database whether anybody else has committed, and if so tells the new events to everything that hears our own.

On SQLite it asks many times a second; the question costs one statement that reads no page. On PostgreSQL, where others
write all the time, the ids past the last look are read, and those that are not our own are told. There a commit wakes
the other processes (db/postgres_wake.py); as long as it is heard, the looks in between are for wakes that were lost.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import bindparam, select, text

from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Database, Transaction
from banyan.infra.loops import Loop, wait_for
from banyan.infra.streams.log import last_sequence, read_chosen
from banyan.infra.streams.settled import SettledSequence
from banyan.infra.streams.tables import events as event_rows
from banyan.kernel.errors import Unavailable
from banyan.kernel.events import Event

LOOK_SECONDS = 0.1
# While every commit wakes us. One is lost when its process dies, or its connection, between commit and wake.
LISTENING_LOOK_SECONDS = 1.0
# However often we are woken; also until what a transaction holds back is settled, at first.
SHORTEST_LOOK_SECONDS = 0.02
READ_BATCH = 500
# More of our own than this between two looks: they are forgotten, and told twice, which listeners take.
MOST_OWN = 100_000

# "The integer values returned by two invocations of PRAGMA data_version from the same connection will be different if
# changes were committed to the database by any other connection in the interim" (sqlite.org/pragma.html).
_DATA_VERSION = text("PRAGMA data_version")
_IDS = (
    select(event_rows.c.sequence, event_rows.c.id)
    .where(event_rows.c.sequence > bindparam("after"), event_rows.c.sequence <= bindparam("upto"))
    .order_by(event_rows.c.sequence)
)


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far a shard was when we looked. database: the one that was asked, which may have been exchanged since.

    data_version: on SQLite, by the writer's connection, which ignores its own commits; elsewhere always 0.
    """

    database: Database
    data_version: int
    sequence: int


class Wake(Protocol):
    """How the processes that share a database tell each other that they have committed."""

    @property
    def listens(self) -> bool:
        """Whether commits of other processes are heard of at present."""
        ...

    def when_heard(self, call: Callable[[], None]) -> None: ...

    def tell(self) -> None:
        """Let the others know, soon. Returns at once and never fails."""
        ...


class ForeignCommits:
    """Finds commits of other processes, and tells their events to the listeners of `shards`.

    Listeners hear of a foreign event at most LOOK_SECONDS and a read after its commit; while all `wakes` listen mostly
    at once, and at most LISTENING_LOOK_SECONDS after. Events of our own from the same moment may be told a second time:
    every listener of commits must take a repeat, as it must a reordering of the two.
    """

    def __init__(self, shards: Shards, wakes: Sequence[Wake] = ()) -> None:
        self._shards = shards
        self._wakes = wakes
        self._heard = asyncio.Event()
        for wake in wakes:
            wake.when_heard(self._heard.set)
        self._marks: dict[str, _Mark] = {}
        self._settled = {name: SettledSequence(shards.named(name)) for name in shards.names()}
        self._own: set[str] = set()
        self._telling = False

    def loop(self) -> Loop:
        return Loop("foreign-commits", self.run)

    async def run(self, stop: asyncio.Event) -> None:
        pause = SHORTEST_LOOK_SECONDS
        while not stop.is_set():
            self._heard.clear()
            # What it waited for by then may have been settled now; what came meanwhile has not even been looked at.
            was_behind = self._is_behind()
            await self.look()
            if was_behind or self._is_behind():
                await wait_for(stop, pause)
                pause = min(pause * 2, LOOK_SECONDS)
                continue
            pause = SHORTEST_LOOK_SECONDS
            await wait_for(stop, SHORTEST_LOOK_SECONDS)
            await wait_for(self._heard, self._look_seconds() - SHORTEST_LOOK_SECONDS, stop=stop)

    def _is_behind(self) -> bool:
        return any(settled.is_behind for settled in self._settled.values())

    def _look_seconds(self) -> float:
        listens = bool(self._wakes) and all(wake.listens for wake in self._wakes)
        return LISTENING_LOOK_SECONDS if listens else LOOK_SECONDS

    def observe(self, events: Sequence[Event]) -> None:
        """Remember which events are our own, where the database cannot tell, and let other processes know of them."""
        if self._telling or all(self._shards.named(name).commits_in_order for name in self._shards.names()):
            return
        if len(self._own) > MOST_OWN:
            self._own.clear()
        self._own.update(event.id for event in events)
        for wake in self._wakes:
            wake.tell()

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
        told = 0 if before is None else await self._tell(name, await self._news(name, before, mark))
        self._marks[name] = mark
        return told

    async def _mark_of(self, name: str, database: Database, before: _Mark | None) -> _Mark:
        if database.commits_in_order:
            # On the writer's connection, the only one to which our own commits are not foreign.
            version, sequence = await database.transact(_version_and_sequence)
        else:
            version, sequence = 0, await self._settled[name].upto()
        return _Mark(database, version, max(sequence, before.sequence if before else 0))

    async def _news(self, name: str, before: _Mark, mark: _Mark) -> list[int]:
        """The sequence numbers of what others committed since the last look; our own too where we cannot tell them apart."""
        unchanged = mark.database.commits_in_order and (mark.database, mark.data_version) == (
            before.database,
            before.data_version,
        )
        if unchanged or before.sequence == mark.sequence:
            return []
        between = await self._shards.named(name).read(_between, before.sequence, mark.sequence)
        others = [sequence for sequence, event_id in between if event_id not in self._own]
        self._own.difference_update(event_id for _, event_id in between)
        return others

    async def _tell(self, shard: str, sequences: Sequence[int]) -> int:
        events: list[Event] = []
        for start in range(0, len(sequences), READ_BATCH):
            chosen = sequences[start : start + READ_BATCH]
            events += await self._shards.named(shard).read(read_chosen, chosen)
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


async def _between(tx: Transaction, after: int, upto: int) -> list[tuple[int, str]]:
    return [(row["sequence"], row["id"]) for row in await tx.all(_IDS, {"after": after, "upto": upto})]
