"""Answers that are good as long as a stream stands where it stood when they were made.

position ──▶ remembered at this position? ── yes ──▶ 304 or the bytes
                    └── no ──▶ load once for all who ask, remember
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import NamedTuple

from banyan.infra.cache.response_cache import Entry, ResponseCache
from banyan.infra.cache.single_flight import SingleFlight
from banyan.infra.http.conditional import is_unchanged
from banyan.infra.http.hot import JSON, Answer, Headers, HotRequest
from banyan.infra.streams.positions import Positions

# A browser may keep it, and must ask each time whether it is still true.
PRIVATE = (b"cache-control", b"private, no-cache")


class Loaded(NamedTuple):
    """position: of the snapshot that the entry was made from."""

    position: int
    entry: Entry


class CachedAnswers:
    """The cached GET routes of one stream's module."""

    def __init__(self, stream: str, positions: Positions, cache: ResponseCache) -> None:
        self._stream = stream
        self._positions = positions
        self._cache = cache
        self._loads: SingleFlight[Entry] = SingleFlight()

    async def answer(
        self, request: HotRequest, key: Hashable, load: Callable[[], Awaitable[Loaded]]
    ) -> Answer:
        """200 with the entry of this user and key, or 304 when the client holds it already.

        key: all that the entry depends on besides the user's data. load: makes it anew, from one snapshot.
        """
        user_id = request.principal.user_id
        position = self._positions.known(user_id, self._stream)
        if position is None:
            position = await self._positions.current(user_id, self._stream)
        entry = self._cache.get(user_id, key, position)
        if entry is None:
            # The position is part of the flight: nobody is given what was loaded before their own write.
            entry = await self._loads.do((user_id, key, position), lambda: self._load(user_id, key, load))
        headers: Headers = [(b"etag", entry.etag), PRIVATE]
        if entry.link is not None:
            headers.append((b"link", entry.link))
        if is_unchanged(request.header(b"if-none-match"), entry.etag):
            return Answer(304, headers)
        headers.append(JSON)
        return Answer(200, headers, entry.body)

    async def _load(self, user_id: str, key: Hashable, load: Callable[[], Awaitable[Loaded]]) -> Entry:
        position, entry = await load()
        self._cache.put(user_id, key, position, entry)
        return entry
