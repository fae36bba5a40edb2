"""What a process that verifies tokens must know of sessions: the keys that sign, and the sessions that have ended.

    users ── session_news ──▶ SessionFollower ──▶ key ring, revocations, token cache, open streams

The service that keeps the sessions is always being asked for the news by every other process, and answers when there are
some, or after half a second. So an ended session is refused everywhere at once, and tokens verify while that service is
away: nothing can end a session then.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from banyan.infra.auth.keys import KeyRing, SigningKey
from banyan.infra.auth.revocations import Revocations
from banyan.infra.auth.token_cache import VerifiedTokenCache
from banyan.infra.auth.tokens import MAX_LEEWAY
from banyan.infra.loops import Loop, wait_for
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.clock import from_text, to_text
from banyan.kernel.errors import Unavailable

log = get_logger(__name__)

# How long the service keeps a question that it has no news for. Shorter than any answer may take (BANYAN_SERVICE_TIMEOUT).
HELD_SECONDS = 0.5
# Between two questions, however quickly the first was answered.
PAUSE_SECONDS = 0.05
# After a question that nobody answered.
FAILED_PAUSE_SECONDS = 0.5
# An ending may be committed some time after the moment that it says: each question reaches back so far.
OVERLAP = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class EndedSession:
    """ended_at: an instant, as text."""

    user_id: str
    session_id: str
    ended_at: str


@dataclass(frozen=True, slots=True)
class SessionNews:
    """keys: the JWKS of this moment. ended: sessions that ended, as far back as was asked. upto: an instant; what is
    committed later has not been seen. edition: what names these news; every replica has the same name for the same."""

    keys: dict[str, Any]
    ended: Sequence[EndedSession]
    upto: str
    edition: str


class SessionSource(Protocol):
    async def session_news(self, since: str | None, *, seen: str | None = None) -> SessionNews:
        """The keys, and what has ended since an instant; None for all whose tokens could still live.

        seen: the last edition that the caller knows; while there is no other, the answer waits for HELD_SECONDS.
        Raises Unavailable.
        """
        ...


class EndedSessions:
    """Lets this process refuse the tokens of ended sessions. end_streams: closes what (user_id, session_id) has open."""

    def __init__(
        self,
        revocations: Revocations,
        token_cache: VerifiedTokenCache,
        end_streams: Callable[[str, str], None],
        *,
        token_lifetime: timedelta,
    ) -> None:
        self._revocations = revocations
        self._token_cache = token_cache
        self._end_streams = end_streams
        self.kept = token_lifetime + MAX_LEEWAY

    def add(self, ended: EndedSession) -> bool:
        """Returns whether it was news; hearing it twice is fine."""
        is_news = not self._revocations.is_revoked(ended.session_id)
        self._revocations.revoke(ended.session_id, (from_text(ended.ended_at) + self.kept).timestamp())
        self._token_cache.forget_session(ended.session_id)
        self._end_streams(ended.user_id, ended.session_id)
        return is_news


class SessionFollower:
    """Keeps a process up to date that does not keep the sessions itself."""

    def __init__(
        self, source: SessionSource, keys: KeyRing, token_cache: VerifiedTokenCache, ended: EndedSessions
    ) -> None:
        self._source = source
        self._keys = keys
        self._token_cache = token_cache
        self._ended = ended
        self._since: str | None = None
        self._seen: str | None = None

    def loop(self) -> Loop:
        async def run(stop: asyncio.Event) -> None:
            failing = False
            while not stop.is_set():
                pause = PAUSE_SECONDS
                try:
                    await self.follow()
                    failing = False
                except Unavailable as error:
                    if not failing:
                        log.warning("session_news_unavailable", error=error.detail)
                    failing, pause = True, FAILED_PAUSE_SECONDS
                await wait_for(stop, pause)

        return Loop("session-news", run)

    async def follow(self) -> None:
        """Ask once. Raises Unavailable."""
        news = await self._source.session_news(self._since, seen=self._seen)
        for ended in news.ended:
            self._ended.add(ended)
        # Last: until it knows who must be refused, this process verifies nobody.
        self._use(KeyRing.from_jwks(news.keys).keys)
        self._since, self._seen = to_text(from_text(news.upto) - OVERLAP), news.edition

    async def check(self) -> None:
        """Raises Unavailable until the first news have come."""
        if self._since is None:
            raise Unavailable("The keys that tokens are verified with are not known yet.")

    def _use(self, keys: Sequence[SigningKey]) -> None:
        gone = {key.kid for key in self._keys.keys} - {key.kid for key in keys}
        self._keys.replace(keys)
        if gone:
            self._token_cache.clear()
