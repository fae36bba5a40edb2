"""How sessions end: the row goes, an event tells it, and every process refuses the session's access tokens."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from banyan.infra.auth.sessions import EndedSession, EndedSessions
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.streams.log import Append, EventLog
from banyan.kernel.clock import Clock, now_text, to_text
from banyan.kernel.events import Event, NewEvent
from banyan.modules.users.contract import SESSION_REVOKED, USER_DELETED
from banyan.modules.users.store import sessions


class SessionEndings:
    """Ends sessions within a transaction."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock

    async def end(
        self, tx: Transaction, user_id: str, session_ids: Sequence[str], *, reason: str, actor: str | None
    ) -> list[str]:
        """End these sessions of one user; returns those that were alive."""
        now = now_text(self._clock)
        ended = [session_id for session_id in session_ids if await sessions.end(tx, user_id, session_id, now)]
        if ended:
            events = [NewEvent(SESSION_REVOKED, session_id, {"reason": reason}) for session_id in ended]
            await self._log.append(tx, user_id, events, actor=actor)
        return ended

    async def end_all(
        self, tx: Transaction, user_id: str, *, reason: str, actor: str | None, keep: str | None = None
    ) -> list[str]:
        """End all sessions of one user but `keep`; returns them."""
        alive = [session.id for session in await sessions.of_user(tx, user_id) if session.id != keep]
        return await self.end(tx, user_id, alive, reason=reason, actor=actor)

    async def end_expired(self, tx: Transaction, limit: int) -> int:
        """End sessions of a whole shard that nobody used for too long; returns how many, at most `limit`."""
        now = now_text(self._clock)
        expired = await sessions.expired(tx, now, limit)
        for user_id, session_id in expired:
            await sessions.end(tx, user_id, session_id, now)
        appends = [
            Append(user_id, [NewEvent(SESSION_REVOKED, session_id, {"reason": "expired"})])
            for user_id, session_id in expired
        ]
        if appends:
            await self._log.append_many(tx, appends)
        return len(expired)


class EndingsWatch:
    """Lets this process refuse the access tokens of ended sessions, and close their streams, whoever ended them.

    Commits tell it, also those of other processes (streams/foreign_commits.py); at the start the table does.
    """

    def __init__(self, shards: Shards, clock: Clock, ended: EndedSessions) -> None:
        self._shards = shards
        self._clock = clock
        self._ended = ended
        self._news = asyncio.Event()
        self._latest, self._after_latest = "", 0

    def observe(self, events: Sequence[Event]) -> None:
        """Hear what was committed; hearing it twice is fine."""
        for event in events:
            if event.type == SESSION_REVOKED:
                self._add(EndedSession(event.user_id, event.subject, event.at))
            elif event.type == USER_DELETED:
                for session_id in event.data["sessions"]:
                    self._add(EndedSession(event.user_id, session_id, event.at))

    async def load(self) -> None:
        """Learn of every session whose access tokens could still live; before the first request."""
        for ended in await self.ended_since(None):
            self._add(ended)

    @property
    def edition(self) -> str:
        """What this process knows, named: another name after each ending, and in all processes the same a moment later."""
        return f"{self._latest}+{self._after_latest}"

    async def wait_for_news(self, seconds: float) -> None:
        """Return when another session ends, at most so much later."""
        self._news.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)

    def _add(self, ended: EndedSession) -> None:
        if not self._ended.add(ended):
            return
        if ended.ended_at > self._latest:
            self._latest, self._after_latest = ended.ended_at, 0
        else:
            self._after_latest += 1
        self._news.set()

    async def ended_since(self, since: str | None) -> list[EndedSession]:
        """Sessions that ended since an instant; None for all whose access tokens could still live."""
        since = since or to_text(self._clock.now() - self._ended.kept)
        return [
            ended
            for name in self._shards.names()
            for ended in await self._shards.named(name).read(sessions.ended_since, since)
        ]
