"""Live: each subscriber gets every event of its user's streams once and in order, from a cursor on.

A commit hands its events to the subscribers of their user. A subscriber passes on what follows its cursor directly;
wherever it finds a gap (it has just come, or its buffer ran over) it reads the log. So there is no gap and no repeat,
whatever is lost on the way.

    open ──▶ begin ──▶ pending ──▶ pending ──▶ … ──▶ close
              `ready`    events      whenever it is woken
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from banyan.infra.streams.live_cursor import Cursor, format_cursor
from banyan.infra.streams.sources import StreamSource
from banyan.kernel.errors import RateLimited
from banyan.kernel.events import Event

BUFFERED_EVENTS = 256
READ_BATCH = 200


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell a subscriber. kind: `ready`, `reset`, `event` or `bye`. cursor: where the subscriber is after it."""

    kind: str
    cursor: str
    event: Event | None = None
    reason: str | None = None


def _nobody() -> None:
    """Nobody waits for this subscription yet."""


@dataclass(eq=False, slots=True)
class Subscription:
    """One open stream; there may be ten thousand, so it is little.

    session_id: whose revocation ends it. cursor: up to where it was told. wake: called whenever there may be something
    to tell; must not wait.
    """

    user_id: str
    session_id: str
    address: str = ""
    cursor: Cursor = field(default_factory=dict)
    # An empty list is a tenth of an empty deque; it is taken whole.
    buffered: list[Event] = field(default_factory=list)
    overran: bool = False
    ended: str | None = None
    wake: Callable[[], None] = _nobody

    @property
    def has_news(self) -> bool:
        return bool(self.buffered) or self.overran or self.ended is not None

    def offer(self, events: Sequence[Event]) -> None:
        """A slow reader's buffer is bounded: past it the events are dropped, and read from the log when it is ready."""
        if len(self.buffered) + len(events) > BUFFERED_EVENTS:
            self.buffered.clear()
            self.overran = True
        else:
            self.buffered.extend(events)
        self.wake()

    def end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self.wake()


class LiveHub:
    """The open streams of this process.

    sources: the streams that are told live, by name. replay_limit: how many events a resuming subscriber may be behind;
    past it it is told to reset, which is cheaper for both. max_per_user, max_per_address: open streams of one user, and
    from one network address.
    """

    def __init__(
        self,
        sources: Mapping[str, StreamSource],
        *,
        replay_limit: int = 1000,
        max_per_user: int = 50,
        max_per_address: int = 5000,
    ) -> None:
        self._sources = sources
        self._replay_limit = replay_limit
        self._max_per_user = max_per_user
        self._max_per_address = max_per_address
        self._by_user: dict[str, set[Subscription]] = {}
        self._of_address: Counter[str] = Counter()
        self._draining = False

    @property
    def streams(self) -> list[str]:
        return list(self._sources)

    @property
    def open_streams(self) -> int:
        return self._of_address.total()

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

    def open(self, user_id: str, session_id: str, address: str = "") -> Subscription:
        """Begin to listen. Raises RateLimited when the user, or the address, has too many open streams.

        Close it with `close`.
        """
        if len(self._by_user.get(user_id, ())) >= self._max_per_user:
            raise RateLimited(
                "Too many open streams for one account: close some first.", retry_after_seconds=10
            )
        if self._of_address[address] >= self._max_per_address:
            raise RateLimited("Too many open streams from one address.", retry_after_seconds=10)
        subscription = Subscription(user_id, session_id, address)
        self._by_user.setdefault(user_id, set()).add(subscription)
        self._of_address[address] += 1
        if self._draining:
            subscription.end("draining")
        return subscription

    def close(self, subscription: Subscription) -> None:
        """Listen no more; closing twice is fine."""
        subscriptions = self._by_user.get(subscription.user_id, set())
        if subscription not in subscriptions:
            return
        subscriptions.remove(subscription)
        if not subscriptions:
            del self._by_user[subscription.user_id]
        self._of_address[subscription.address] -= 1
        if not self._of_address[subscription.address]:
            del self._of_address[subscription.address]

    async def messages(self, subscription: Subscription, since: Cursor | None) -> AsyncIterator[Message]:
        """What to tell the subscriber, until it has ended; `since` as in `begin`."""
        woken = asyncio.Event()
        subscription.wake = woken.set
        for message in await self.begin(subscription, since):
            yield message
        while True:
            # Before the look, so that what comes after the look is seen by the next.
            woken.clear()
            async for message in self.pending(subscription):
                yield message
                if message.kind == "bye":
                    return
            await woken.wait()

    async def begin(self, subscription: Subscription, since: Cursor | None) -> Sequence[Message]:
        """The first messages: `ready`, after a `reset` when the log does not lead on from `since`.

        since: what it has seen; None to begin now. Raises Unavailable when the positions cannot be known.
        """
        cursor = now = await self._now(subscription.user_id)
        told: list[Message] = []
        if since is not None:
            cursor = {stream: since.get(stream, 0) for stream in now}
            if not self._can_resume(cursor, now):
                cursor = now
                told.append(Message("reset", format_cursor(cursor)))
        # What is committed from `open` on is in the buffer; what lies before that, and after the cursor, is in the log.
        if cursor != now:
            subscription.overran = True
        subscription.cursor = cursor
        told.append(Message("ready", format_cursor(cursor)))
        return told

    async def pending(self, subscription: Subscription) -> AsyncIterator[Message]:
        """What there is to tell at this moment; ends when there is nothing, with `bye` when the stream has ended.

        One at a time for each subscription. Raises Unavailable when the log cannot be read.
        """
        cursor = subscription.cursor
        while subscription.ended is None:
            if subscription.overran:
                subscription.overran = False
                async for message in self._catch_up(subscription, cursor):
                    yield message
            elif subscription.buffered:
                events, subscription.buffered = subscription.buffered, []
                for event in events:
                    seen = cursor.get(event.stream)
                    if seen is None or event.position <= seen:
                        continue
                    if event.position > seen + 1:
                        subscription.overran = True
                        break
                    cursor[event.stream] = event.position
                    yield Message("event", format_cursor(cursor), event)
                    if subscription.ended is not None:
                        break
            else:
                return
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
