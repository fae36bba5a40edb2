"""Answers that are good as long as a stream stands where it stood when they were made (see cache/read_through.py)."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Self, TypeVar

from banyan.infra.cache.following import Follower, as_loaded
from banyan.infra.cache.read_through import Load, Loaded, ReadThrough
from banyan.infra.cache.response_cache import Entry, ResponseCache
from banyan.infra.cache.shared import SharedCache
from banyan.infra.http.conditional import is_unchanged
from banyan.infra.http.hot import JSON, Answer, Headers, HotRequest
from banyan.infra.streams.positions import Positions, Told
from banyan.infra.telemetry.metrics import Metrics

__all__ = ["CachedAnswers", "CachedRoute", "Loaded"]

Key = TypeVar("Key", bound=Hashable)

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

    def measured(self, metrics: Metrics, cache: str) -> Self:
        self._entries.measured(metrics, cache)
        return self

    async def answer(self, request: HotRequest, key: Hashable, load: Load) -> Answer:
        """200 with the entry of this user and key, or 304 when the client holds it already.

        key: all that the entry depends on besides the user's data. load: makes it anew, from one snapshot.
        """
        entry = await self._entries.get(request.principal.user_id, key, load)
        return answer_of(entry, request.header(b"if-none-match"))

    def route(
        self, key_of: Callable[[bytes, str], Key], load: Callable[[HotRequest, Key], Awaitable[Loaded]]
    ) -> "CachedRoute[Key]":
        """The lean handler of such a route.

        key_of: (query, base URL) → all that an entry depends on besides the user's data; may refuse the query.
        load: makes the entry of this key anew, from one snapshot.
        """
        return CachedRoute(self, key_of, load)

    def holds(self, user_id: str, key: Hashable) -> bool:
        """Whether it may be worth asking where the user's stream is: there is an answer, of then or of now."""
        return self._entries.holds(user_id, key)

    def tell_position(self, user_id: str, told: Told) -> bool:
        """See ReadThrough.tell_position."""
        return self._entries.tell_position(user_id, told)

    def at_hand(
        self, user_id: str, key: Hashable, position: int, if_none_match: bytes | None
    ) -> Answer | None:
        """What `answer` would return at this position; None when it has to wait for something."""
        entry = self._entries.at_hand(user_id, key, position)
        return None if entry is None else answer_of(entry, if_none_match)


class CachedRoute(Generic[Key]):
    """A lean handler whose whole work is an answer of `answers`, so that whoever has the answer at hand may give it."""

    def __init__(
        self,
        answers: CachedAnswers,
        key_of: Callable[[bytes, str], Key],
        load: Callable[[HotRequest, Key], Awaitable[Loaded]],
    ) -> None:
        self.answers = answers
        self.key_of = key_of
        self._load = load

    async def __call__(self, request: HotRequest) -> Answer:
        key = self.key_of(request.query, request.scope["banyan.base_url"])
        return await self.answers.answer(request, key, lambda: self._load(request, key))


def answer_of(entry: Entry, if_none_match: bytes | None) -> Answer:
    """200 with the entry, or 304 when the client holds it already."""
    headers: Headers = [(b"etag", entry.etag), PRIVATE]
    if entry.link is not None:
        headers.append((b"link", entry.link))
    if if_none_match is not None and is_unchanged(as_loaded(if_none_match), as_loaded(entry.etag)):
        return Answer(304, headers)
    headers.append(JSON)
    return Answer(200, headers, entry.body)
