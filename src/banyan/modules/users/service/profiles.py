"""Profiles: accounts as they are read, kept in memory and in the shared cache while the user's stream stands still."""

from dataclasses import asdict
from datetime import timedelta
from typing import Self

from pydantic_core import from_json, to_json

from banyan.infra.cache.read_through import Loaded, ReadThrough
from banyan.infra.cache.response_cache import Entry, ResponseCache
from banyan.infra.cache.shared import SharedCache
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import EventLog
from banyan.infra.streams.positions import Positions
from banyan.infra.telemetry.metrics import Metrics
from banyan.modules.users.contract import STREAM, Account, UserNotFound
from banyan.modules.users.store import accounts as store

TTL = timedelta(seconds=300)
CACHE_BYTES = 16 * 1024 * 1024


class Profiles:
    """What is cached under `user:{id}`. Every change to an account appends to its stream, so none is missed."""

    def __init__(
        self, shards: Shards, log: EventLog, positions: Positions, shared: SharedCache | None
    ) -> None:
        self._shards = shards
        self._log = log
        cache = ResponseCache(max_bytes=CACHE_BYTES)
        self._entries = ReadThrough(STREAM, positions, cache, shared, name="user", ttl=TTL)

    def measured(self, metrics: Metrics) -> Self:
        self._entries.measured(metrics, "users")
        return self

    async def get(self, user_id: str) -> Account:
        """Raises UserNotFound."""
        entry = await self._entries.get(user_id, None, lambda: self._load(user_id))
        return Account(**from_json(entry.body))

    async def exists(self, user_id: str) -> bool:
        try:
            await self._entries.get(user_id, None, lambda: self._load(user_id))
        except UserNotFound:
            return False
        return True

    async def _load(self, user_id: str) -> Loaded:
        position, account = await self._shards.read(user_id, self._read, user_id)
        return Loaded(position, Entry(b"", to_json(asdict(account))))

    async def _read(self, tx: Transaction, user_id: str) -> tuple[int, Account]:
        return await self._log.position(tx, user_id), await store.get(tx, user_id)
