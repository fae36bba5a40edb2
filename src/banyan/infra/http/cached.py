"""Answers that are good as long as a stream stands where it stood when they were made (see cache/read_through.py)."""

from collections.abc import Hashable

from banyan.infra.cache.following import Follower, as_loaded
from banyan.infra.cache.read_through import Load, Loaded, ReadThrough
from banyan.infra.cache.response_cache import ResponseCache
from banyan.infra.cache.shared import SharedCache
from banyan.infra.http.conditional import is_unchanged
from banyan.infra.http.hot import JSON, Answer, Headers, HotRequest
from banyan.infra.streams.positions import Positions

__all__ = ["CachedAnswers", "Loaded"]

# A browser may keep it, and must ask each time whether it is still true.
PRIVATE = (b"cache-control", b"private, no-cache")


class CachedAnswers:
    """The cached GET routes of one stream's module."""

    def __init__(
        self,
        stream: str,
        positions: Positions,
        cache: ResponseCache,
        shared: SharedCache | None = None,
        *,
        follower: Follower | None = None,
    ) -> None:
        self._entries = ReadThrough(stream, positions, cache, shared, follower=follower)

    async def answer(self, request: HotRequest, key: Hashable, load: Load) -> Answer:
        """200 with the entry of this user and key, or 304 when the client holds it already.

        key: all that the entry depends on besides the user's data. load: makes it anew, from one snapshot.
        """
        entry = await self._entries.get(request.principal.user_id, key, load)
        headers: Headers = [(b"etag", entry.etag), PRIVATE]
        if entry.link is not None:
            headers.append((b"link", entry.link))
        held = request.header(b"if-none-match")
        if held is not None and is_unchanged(as_loaded(held), as_loaded(entry.etag)):
            return Answer(304, headers)
        headers.append(JSON)
        return Answer(200, headers, entry.body)
