"""Live: each subscriber gets every event of its user's streams once and in order, from a cursor on.

A cursor is the vector of positions up to which a subscriber has seen each stream: `todos.12-users.3`. A commit hands
its events to the subscribers of their user. A subscriber passes on what follows its cursor directly; wherever it finds
a gap (it has just come, or its buffer ran over) it reads the log. So there is no gap and no repeat, whatever is lost
on the way.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from banyan.infra.streams.sources import StreamSource
from banyan.kernel.errors import InvalidInput, RateLimited
from banyan.kernel.events import Event

BUFFERED_EVENTS = 256
READ_BATCH = 200


class InvalidCursor(InvalidInput):
    code = "invalid_cursor"
    detail = "This cursor was not made by this server: leave it out to start from now."


Cursor = dict[str, int]
"""stream → the last position seen; a stream that is left out was seen up to 0."""


def format_cursor(cursor: Cursor) -> str:
    return "-".join(f"{stream}.{cursor[stream]}" for stream in sorted(cursor) if cursor[stream]) or "0"


def parse_cursor(text: str, streams: Sequence[str]) -> Cursor:
    """Raises InvalidCursor."""
    cursor: Cursor = {}
    if text == "0":
        return cursor
    for part in text.split("-"):
        stream, dot, digits = part.partition(".")
        if (
            not dot
            or stream not in streams
            or stream in cursor
            or not digits.isascii()
            or not digits.isdigit()
        ):
            raise InvalidCursor()
        if len(digits) > 18:
            raise InvalidCursor()
        cursor[stream] = int(digits)
    return cursor


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell a subscriber. kind: `ready`, `reset`, `event` or `bye`. cursor: where the subscriber is after it."""

    kind: str
    cursor: str
    event: Event | None = None
    reason: str | None = None


@dataclass(eq=False, slots=True)
class Subscription:
    """One open stream. session_id: whose revocation ends it."""

    user_id: str
    session_id: str
    buffered: deque[Event] = field(default_factory=deque)
    signal: asyncio.Event = field(default_factory=asyncio.Event)
    overran: bool = False
    ended: str | None = None

    def offer(self, events: Sequence[Event]) -> None:
        """A slow reader's buffer is bounded: past it the events are dropped, and read from the log when it is ready."""
        if len(self.buffered) + len(events) > BUFFERED_EVENTS:
            self.buffered.clear()
            self.overran = True
        else:
            self.buffered.extend(events)
        self.signal.set()

    def end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self.signal.set()


class LiveHub:
    """The open streams of this process.

    sources: the streams that are told live, by name. replay_limit: how many events a resuming subscriber may be behind;
    past it it is told to reset, which is cheaper for both. max_per_user: open streams of one user.
    """

    def __init__(
        self,
        sources: Mapping[str, StreamSource],
        *,
        replay_limit: int = 1000,
        max_per_user: int = 50,
    ) -> None:
        self._sources = sources
        self._replay_limit = replay_limit
        self._max_per_user = max_per_user
        self._by_user: dict[str, set[Subscription]] = {}
        self._draining = False

    @property
    def streams(self) -> list[str]:
        return list(self._sources)

    @property
    def open_streams(self) -> int:
        return sum(map(len, self._by_user.values()))

    def deliver(self, events: Sequence[Event]) -> None:
        """Offer committed events to the streams of their users."""
        by_user: dict[str, list[Event]] = {}
        for event in events:
            if event.user_id in self._by_user:
                by_user.setdefault(event.user_id, []).append(event)
        for user_id, of_user in by_user.items():
            for subscription in self._by_user[user_id]:
                subscription.offer(of_user)

    def end_session(self, user_id: str, session_id: str) -> None:
        for subscription in list(self._by_user.get(user_id, ())):
            if subscription.session_id == session_id:
                subscription.end("revoked")

    def drain(self, over_seconds: float = 0.0) -> None:
        """End every stream and accept no more: the process is about to stop.

        over_seconds: the time over which they end, in no order, so that their clients do not all come back at one moment.
        """
        self._draining = True
        subscriptions = [found for of_user in self._by_user.values() for found in of_user]
        if over_seconds <= 0:
            for subscription in subscriptions:
                subscription.end("draining")
            return
        random.shuffle(subscriptions)
        loop = asyncio.get_running_loop()
        for number, subscription in enumerate(subscriptions):
            loop.call_later(over_seconds * number / len(subscriptions), subscription.end, "draining")

    def open(self, user_id: str, session_id: str) -> Subscription:
        """Begin to listen. Raises RateLimited when the user has too many open streams. Close it with `close`."""
        subscriptions = self._by_user.setdefault(user_id, set())
        if len(subscriptions) >= self._max_per_user:
            raise RateLimited(
                "Too many open streams for one account: close some first.", retry_after_seconds=10
            )
        subscription = Subscription(user_id, session_id)
        subscriptions.add(subscription)
        if self._draining:
            subscription.end("draining")
        return subscription

    def close(self, subscription: Subscription) -> None:
        subscriptions = self._by_user.get(subscription.user_id)
        if subscriptions is not None:
            subscriptions.discard(subscription)
            if not subscriptions:
                del self._by_user[subscription.user_id]

    async def messages(
        self, subscription: Subscription, since: Cursor | None, *, idle_seconds: float
    ) -> AsyncIterator[Message | None]:
        """What to tell the subscriber, until it is closed. None when nothing happened for `idle_seconds`.

        since: what it has seen; None to begin now.
        """
        user_id = subscription.user_id
        cursor = now = await self._now(user_id)
        if since is not None:
            cursor = {stream: since.get(stream, 0) for stream in now}
            if not self._can_resume(cursor, now):
                cursor = now
                yield Message("reset", format_cursor(cursor))
        yield Message("ready", format_cursor(cursor))
        # What is committed from `open` on is in the buffer; what lies before that, and after the cursor, is in the log.
        if cursor != now:
            subscription.overran = True
        cursor = dict(cursor)
        while subscription.ended is None:
            if subscription.overran:
                subscription.overran = False
                async for message in self._catch_up(subscription, cursor):
                    yield message
            while subscription.buffered and subscription.ended is None:
                event = subscription.buffered.popleft()
                seen = cursor.get(event.stream)
                if seen is None or event.position <= seen:
                    continue
                if event.position > seen + 1:
                    subscription.overran = True
                    break
                cursor[event.stream] = event.position
                yield Message("event", format_cursor(cursor), event)
            if subscription.overran or subscription.ended is not None:
                continue
            # Nothing is awaited between finding the buffer empty and here: no signal can get lost.
            subscription.signal.clear()
            try:
                await asyncio.wait_for(subscription.signal.wait(), idle_seconds)
            except TimeoutError:
                yield None
        yield Message("bye", format_cursor(cursor), reason=subscription.ended)

    async def _catch_up(self, subscription: Subscription, cursor: Cursor) -> AsyncIterator[Message]:
        """The events past the cursor, from the log; a `reset` when there are too many, or when the log has a gap."""
        user_id = subscription.user_id
        now = await self._now(user_id)
        if self._can_resume(cursor, now):
            async for event in self._unseen(user_id, cursor, now):
                if event.position != cursor[event.stream] + 1:
                    break
                cursor[event.stream] = event.position
                yield Message("event", format_cursor(cursor), event)
                if subscription.ended is not None:
                    return
        if any(cursor[stream] < now[stream] for stream in now):
            cursor.update(now)
            yield Message("reset", format_cursor(cursor))

    async def _now(self, user_id: str) -> Cursor:
        positions = await asyncio.gather(*(source.position(user_id) for source in self._sources.values()))
        return dict(zip(self._sources, positions, strict=True))

    def _can_resume(self, cursor: Cursor, now: Cursor) -> bool:
        behind = [now[stream] - cursor[stream] for stream in now]
        return min(behind) >= 0 and sum(behind) <= self._replay_limit

    async def _unseen(self, user_id: str, cursor: Cursor, now: Cursor) -> AsyncIterator[Event]:
        for stream, source in self._sources.items():
            while cursor[stream] < now[stream]:
                found = await source.read(user_id, after=cursor[stream], limit=READ_BATCH)
                # The log can be ahead of what this process was told. Whoever got such an event, and came back at once, would
                # seem to have seen the future; the event is on its way to the buffer.
                events = [event for event in found if event.position <= now[stream]]
                if not events:
                    break
                for event in events:
                    yield event
