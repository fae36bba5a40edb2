"""Read-through: loaded once, then answered from memory or from Redis, for as long as the stream has not moved.

position ──▶ in this process? ── yes ──▶ it
                 └── no ──▶ an earlier one, and every event since? ── yes ──▶ bring it up (following.py)
                              └── no ──▶ one of all who ask here: in the shared cache? ── yes ──▶ keep it here too
                                                                        └── no ──▶ load, keep in both
"""

import hashlib
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from struct import Struct
from typing import NamedTuple, Self

from banyan.infra.cache.following import Follower
from banyan.infra.cache.response_cache import Entry, ResponseCache
from banyan.infra.cache.shared import Made, SharedCache
from banyan.infra.cache.single_flight import SingleFlight
from banyan.infra.streams.positions import Positions, Told
from banyan.infra.telemetry.counted import CacheUse
from banyan.infra.telemetry.metrics import Metrics

_LENGTHS = Struct(">II")


class Loaded(NamedTuple):
    """position: of the snapshot that the entry was made from."""

    position: int
    entry: Entry


Load = Callable[[], Awaitable[Loaded]]


class ReadThrough:
    """Entries of one stream's users, valid by position.

    shared: what processes have in common; None for the only process. name: of its keys there (`user:…`).
    ttl: how long an entry that nobody uses stays there. It never decides whether an entry is right.
    follower: brings earlier entries up to date; None where entries cannot be told from events.
    """

    def __init__(
        self,
        stream: str,
        positions: Positions,
        local: ResponseCache,
        shared: SharedCache | None = None,
        *,
        name: str | None = None,
        ttl: timedelta = timedelta(seconds=60),
        follower: Follower | None = None,
    ) -> None:
        self._stream = stream
        self._positions = positions
        self._local = local
        self._shared = shared
        self._name = name or stream
        self._ttl = ttl
        self._follower = follower
        self._loads: SingleFlight[Entry] = SingleFlight()
        self.use = CacheUse()

    def measured(self, metrics: Metrics, cache: str) -> Self:
        """Show how often it had the answer, and how large it is. cache: its name in the metrics."""
        metrics.cache(cache, self.use)
        size = "Memory that the answers take that are kept in this process."
        metrics.gauge("banyan_cache_size_bytes", size, lambda: self._local.size_bytes, cache=cache)
        return self

    async def get(self, user_id: str, key: Hashable, load: Load) -> Entry:
        """The entry of this user and key as of now. key: all that it depends on besides the user's data."""
        position = self._positions.known(user_id, self._stream)
        if position is None:
            position = await self._positions.current(user_id, self._stream)
        entry = self.at_hand(user_id, key, position)
        if entry is None:
            self.use.misses += 1
            # The position is part of the flight: nobody is given what was loaded before their own write.
            entry = await self._loads.do(
                (user_id, key, position), lambda: self._load(user_id, key, position, load)
            )
        return entry

    def holds(self, user_id: str, key: Hashable) -> bool:
        """Whether there is an entry of any position in this process."""
        return self._local.at_any_position(user_id, key) is not None

    def tell_position(self, user_id: str, told: Told) -> bool:
        """See Positions.tell; what is known here is told at once."""
        position = self._positions.known(user_id, self._stream)
        if position is None:
            return self._positions.tell(user_id, self._stream, told)
        told(position)
        return True

    def at_hand(self, user_id: str, key: Hashable, position: int) -> Entry | None:
        """The entry as of `position`, if it can be had without asking anybody."""
        entry = self._local.get(user_id, key, position)
        if entry is None and self._follower is not None:
            entry = self._followed(self._follower, user_id, key, position)
        if entry is not None:
            self.use.hits += 1
        return entry

    def _followed(self, follower: Follower, user_id: str, key: Hashable, position: int) -> Entry | None:
        found = self._local.at_any_position(user_id, key)
        if found is None:
            return None
        entry = follower.brought_up(user_id, key, *found, position)
        if entry is not None:
            self._local.put(user_id, key, position, entry)
        return entry

    async def _load(self, user_id: str, key: Hashable, position: int, load: Load) -> Entry:
        if self._shared is None:
            position, entry = await load()
        else:
            position, entry = await self._from_shared(self._shared, user_id, key, position, load)
        self._local.put(user_id, key, position, entry)
        return entry

    async def _from_shared(
        self, shared: SharedCache, user_id: str, key: Hashable, position: int, load: Load
    ) -> Loaded:
        loaded: Loaded | None = None

        async def make() -> Made:
            nonlocal loaded
            loaded = await load()
            return Made(loaded.position, _packed(loaded.entry))

        place = f"{self._name}:{user_id}"
        if key is not None:
            # Hashed: a query may be long, and what people search for belongs into no key.
            place += ":" + hashlib.blake2b(repr(key).encode(), digest_size=16).hexdigest()
        made = await shared.through(place, position, self._ttl, make)
        return loaded if loaded is not None else Loaded(made.position, _unpacked(made.value))


def _packed(entry: Entry) -> bytes:
    link = entry.link or b""
    return _LENGTHS.pack(len(entry.etag), len(link)) + entry.etag + link + entry.body


def _unpacked(value: bytes) -> Entry:
    etag, link = _LENGTHS.unpack_from(value)
    body = _LENGTHS.size + etag + link
    return Entry(
        value[_LENGTHS.size : _LENGTHS.size + etag],
        value[body:],
        value[_LENGTHS.size + etag : body] or None,
    )
