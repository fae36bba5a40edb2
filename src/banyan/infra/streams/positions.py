"""Positions: how far each stream is, known without asking the database.

In one process the commit itself tells (`observe`), before the writer's caller goes on, so what is known here is never
behind an acknowledged write. A position that is not known is loaded; loads that arrive together share one query.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

from sqlalchemy import select

from banyan.infra.db.coalescer import Coalescer
from banyan.infra.db.shards import Shards
from banyan.infra.db.tables import batch_of_keys
from banyan.infra.db.transaction import Database, Transaction
from banyan.infra.loops import Loop
from banyan.infra.streams.log import as_json
from banyan.infra.streams.tables import streams
from banyan.kernel.events import Event

Key = tuple[str, str]
"""(user_id, stream)"""
Told = Callable[[int | None], None]
"""What is called back with a position, or with None when it has to be asked for by `current`."""

_wanted = batch_of_keys("wanted", streams.c.user_id, streams.c.stream)
_POSITIONS = select(streams.c.user_id, streams.c.stream, streams.c.position).join(
    _wanted, (streams.c.user_id == _wanted.c.user_id) & (streams.c.stream == _wanted.c.stream)
)


class Positions(Protocol):
    """The last committed position of each stream, at least as new as every acknowledged write."""

    def known(self, user_id: str, stream: str) -> int | None:
        """The position, if this process knows it without asking anybody."""
        ...

    async def current(self, user_id: str, stream: str) -> int:
        """The position; 0 for a stream in which nothing happened. Raises Unavailable when nobody can tell."""
        ...

    def tell(self, user_id: str, stream: str, told: Told) -> bool:
        """Call back with what `current` would return, where that costs less than a coroutine that waits; False when it is
        not to be had so, and nobody is called. `told` must not raise."""
        ...

    def observe(self, events: Sequence[Event]) -> None:
        """Take in what was committed."""
        ...

    def loops(self) -> Sequence[Loop]:
        """What has to run beside, for as long as they are used."""
        ...


class ProcessPositions:
    """Positions for the only process that serves its shards.

    max_streams: how many it remembers; the one that has moved longest ago goes first, and is loaded when it is asked for.
    """

    def __init__(self, shards: Shards, *, max_streams: int = 200_000) -> None:
        self._shards = shards
        self._max_streams = max_streams
        self._known: OrderedDict[Key, int] = OrderedDict()
        self._loads: Coalescer[Key, int] = Coalescer(self._load)

    def known(self, user_id: str, stream: str) -> int | None:
        return self._known.get((user_id, stream))

    async def current(self, user_id: str, stream: str) -> int:
        position = self._known.get((user_id, stream))
        return await self._loads.submit((user_id, stream)) if position is None else position

    def tell(self, user_id: str, stream: str, told: Told) -> bool:
        """Nobody can be called back."""
        return False

    def observe(self, events: Sequence[Event]) -> None:
        for event in events:
            self._learn((event.user_id, event.stream), event.position)

    def loops(self) -> Sequence[Loop]:
        return ()

    def _learn(self, key: Key, position: int) -> int:
        """Positions only grow: a load that was overtaken by a commit changes nothing."""
        known = self._known.get(key, -1)
        if position > known:
            self._known[key] = known = position
            self._known.move_to_end(key)
            if len(self._known) > self._max_streams:
                self._known.popitem(last=False)
        return known

    async def _load(self, keys: Sequence[Key]) -> list[int]:
        found = await load_positions(self._shards, keys)
        return [self._learn(key, found.get(key, 0)) for key in keys]


class DatabasePositions:
    """Positions where other processes write too: asked of the database each time, one query for all who ask at once.

    A query begins after each of its askers has asked, so it sees every write that was acknowledged before.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._loads: Coalescer[Key, int] = Coalescer(self._load)

    def known(self, user_id: str, stream: str) -> int | None:
        return None

    async def current(self, user_id: str, stream: str) -> int:
        return await self._loads.submit((user_id, stream))

    def tell(self, user_id: str, stream: str, told: Told) -> bool:
        """Nobody can be called back."""
        return False

    def observe(self, events: Sequence[Event]) -> None:
        """Nothing is remembered, so there is nothing to learn."""

    def loops(self) -> Sequence[Loop]:
        return ()

    async def _load(self, keys: Sequence[Key]) -> list[int]:
        found = await load_positions(self._shards, keys)
        return [found.get(key, 0) for key in keys]


class SwitchingPositions:
    """Positions of shards that may be exchanged: remembered on SQLite, whose file one process serves; else asked for.

    What was remembered of a database is forgotten with it.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._databases = [shards.named(name) for name in shards.names()]
        self._of: list[Database] = []
        self._positions: Positions = DatabasePositions(shards)

    def known(self, user_id: str, stream: str) -> int | None:
        return self._present().known(user_id, stream)

    async def current(self, user_id: str, stream: str) -> int:
        return await self._present().current(user_id, stream)

    def tell(self, user_id: str, stream: str, told: Told) -> bool:
        """Nobody can be called back."""
        return False

    def observe(self, events: Sequence[Event]) -> None:
        self._present().observe(events)

    def loops(self) -> Sequence[Loop]:
        return ()

    def _present(self) -> Positions:
        databases = [database.present for database in self._databases]
        if databases != self._of:
            self._of = databases
            alone = all(database.commits_in_order for database in databases)
            self._positions = ProcessPositions(self._shards) if alone else DatabasePositions(self._shards)
        return self._positions


async def load_positions(shards: Shards, keys: Sequence[Key]) -> dict[Key, int]:
    """What the databases say now; a stream in which nothing happened is left out. Raises Unavailable."""
    by_shard: dict[str, list[Key]] = {}
    for key in keys:
        by_shard.setdefault(shards.of(key[0]).name, []).append(key)
    found: dict[Key, int] = {}
    for shard, wanted in by_shard.items():
        found |= await shards.named(shard).read(_positions_of, wanted)
    return found


async def _positions_of(tx: Transaction, keys: list[Key]) -> dict[Key, int]:
    rows = await tx.all(_POSITIONS, {"wanted": as_json(keys)})
    return {(row["user_id"], row["stream"]): row["position"] for row in rows}
