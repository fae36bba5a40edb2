"""Stream sources: one module's streams as the live hub reads them, whether their log lies here or in another service."""

from collections.abc import Sequence
from typing import Protocol

from banyan.infra.db.shards import Shards
from banyan.infra.streams.log import EventLog
from banyan.infra.streams.positions import Positions
from banyan.kernel.events import Event


class StreamSource(Protocol):
    async def position(self, user_id: str) -> int:
        """The stream's last position, at least as new as every acknowledged write. Raises Unavailable."""
        ...

    async def read(self, user_id: str, *, after: int, limit: int) -> Sequence[Event]:
        """The events past `after`, oldest first. Raises Unavailable."""
        ...


class LocalStream:
    """A stream whose log is in a database of this process."""

    def __init__(self, shards: Shards, positions: Positions, log: EventLog) -> None:
        self._shards = shards
        self._positions = positions
        self._log = log

    async def position(self, user_id: str) -> int:
        return await self._positions.current(user_id, self._log.stream)

    async def read(self, user_id: str, *, after: int, limit: int) -> Sequence[Event]:
        return await self._shards.read(user_id, self._log.read, user_id, after=after, limit=limit)
