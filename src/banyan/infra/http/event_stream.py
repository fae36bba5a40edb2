"""`GET /events` on the wire: ten thousand silent streams in one process.

A stream that has nothing to say is one suspended coroutine, `serve`, which waits for its client to leave; no task, timer or
queue of its own besides. Whoever has something to tell wakes it, and a task tells it and ends:

    commit ─▶ subscription.wake ─▶ woken ─▶ (so many a turn) ─▶ task: write what is pending ─▶ silent again
    one timer for all ─▶ who was silent for long: a comment; whose write takes too long: dropped
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Self

from pydantic_core import to_json
from starlette.types import Message as ASGIMessage
from starlette.types import Receive, Send

from banyan.infra.streams.live import LiveHub, Message, Subscription
from banyan.infra.streams.live_cursor import Cursor
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import BanyanError
from banyan.kernel.events import Event

log = get_logger(__name__)

HEARTBEAT_SECONDS = 15.0
# A client that takes nothing for so long is gone, or might as well be; it resumes from its cursor when it is back.
SEND_TIMEOUT_SECONDS = 20.0
LOOK_SECONDS = 1.0
RETRY = b"retry: 2000\n"
HEARTBEAT = b": still here\n\n"
# Streams that are told in one turn of the event loop: two milliseconds or so, after which others have theirs.
TOLD_AT_ONCE = 100
# An event is encoded once for all devices of its user, as long as nobody lags behind by more than this many.
ENCODED_KEPT = 64


class EventStreams:
    """The open event streams of a process, and what they have in common. For one event loop."""

    def __init__(self, hub: LiveHub) -> None:
        self.hub = hub
        self._woken: deque[EventStream] = deque()
        self._is_telling = False
        # Both in the order of their times, which are of time.monotonic: when told last, and since when writing.
        self._silent: dict[EventStream, float] = {}
        self._writing: dict[EventStream, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._encoded: dict[tuple[str, str, int], bytes] = {}

    def add(self, stream: "EventStream") -> None:
        self._silent[stream] = time.monotonic()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def remove(self, stream: "EventStream") -> None:
        self._silent.pop(stream, None)
        self._writing.pop(stream, None)

    def wake(self, stream: "EventStream") -> None:
        self._woken.append(stream)
        if not self._is_telling:
            self._is_telling = True
            asyncio.get_running_loop().call_soon(self._tell_some)

    def began_writing(self, stream: "EventStream") -> None:
        self._writing[stream] = time.monotonic()

    def ended_writing(self, stream: "EventStream") -> None:
        self._writing.pop(stream, None)
        if self._silent.pop(stream, None) is not None:
            self._silent[stream] = time.monotonic()

    def encoded(self, event: Event) -> bytes:
        """The name and the data of an event, without the cursor, which is each stream's own."""
        key = (event.user_id, event.stream, event.position)
        found = self._encoded.get(key)
        if found is None:
            found = b"event: %s\ndata: %s\n\n" % (event.type.encode(), to_json(content_of_event(event)))
            self._encoded[key] = found
            if len(self._encoded) > ENCODED_KEPT:
                del self._encoded[next(iter(self._encoded))]
        return found

    def _tell_some(self) -> None:
        for _ in range(min(TOLD_AT_ONCE, len(self._woken))):
            self._woken.popleft().tell()
        self._is_telling = bool(self._woken)
        if self._is_telling:
            asyncio.get_running_loop().call_soon(self._tell_some)

    def _look(self) -> None:
        now = time.monotonic()
        for stream in _earlier(self._writing, now - SEND_TIMEOUT_SECONDS):
            log.info("stream_dropped", reason="slow", session_id=stream.subscription.session_id)
            stream.drop()
        for stream in _earlier(self._silent, now - HEARTBEAT_SECONDS):
            del self._silent[stream]
            self._silent[stream] = now
            stream.beat()
        self._timer = None
        if self._silent or self._writing:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)


class EventStream:
    """One open stream. subscription: open, and closed by the end of `serve`. first: what `LiveHub.begin` gave."""

    __slots__ = (
        "_beats",
        "_first",
        "_is_dropped",
        "_is_woken",
        "_send",
        "_serving",
        "_streams",
        "_telling",
        "subscription",
    )

    def __init__(self, streams: EventStreams, subscription: Subscription, first: Sequence[Message]) -> None:
        self.subscription = subscription
        self._streams = streams
        self._first = first
        self._send: Send | None = None
        self._serving: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._is_woken = False
        self._is_dropped = False
        self._beats = False

    @classmethod
    async def begin(cls, streams: EventStreams, subscription: Subscription, since: Cursor | None) -> Self:
        """Raises Unavailable when the subscriber's positions cannot be known; the subscription is closed then."""
        try:
            return cls(streams, subscription, await streams.hub.begin(subscription, since))
        except BaseException:
            streams.hub.close(subscription)
            raise

    async def serve(self, head: ASGIMessage, receive: Receive, send: Send) -> None:
        """See infra/http/hot.py, `Stream`."""
        self._serving, self._send = asyncio.current_task(), send
        self._streams.add(self)
        try:
            await send(head)
            # With the first message, not before it: some clients take a lone `retry` for an empty message.
            await self._write(RETRY + b"".join(map(self._text, self._first)))
            self._first = ()
            self.subscription.wake = self._wake
            if self.subscription.has_news:
                self._wake()
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            if not self._is_dropped:
                raise
        finally:
            self._serving = None
            if self._telling is not None:
                self._telling.cancel()
            self._streams.remove(self)
            self._streams.hub.close(self.subscription)

    def tell(self) -> None:
        """Begin to write what is pending, unless that is being done."""
        self._is_woken = False
        if self._serving is not None and self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    def beat(self) -> None:
        """Write a comment, by which the client, and what is between, sees that the connection lives."""
        self._beats = True
        self._wake()

    def drop(self) -> None:
        """End it without a word, as it takes none."""
        if self._serving is not None:
            self._is_dropped = True
            self._serving.cancel()

    def _wake(self) -> None:
        if not self._is_woken and self._telling is None:
            self._is_woken = True
            self._streams.wake(self)

    async def _tell(self) -> None:
        try:
            if self._beats:
                self._beats = False
                await self._write(HEARTBEAT)
            async for message in self._streams.hub.pending(self.subscription):
                await self._write(self._text(message), is_last=message.kind == "bye")
        except BanyanError as error:
            # The client comes back with its cursor, and is answered 503 for as long as that lasts.
            log.info("stream_dropped", reason=error.code, session_id=self.subscription.session_id)
            self.drop()
        except Exception as error:
            log.error("stream_failed", session_id=self.subscription.session_id, exc_info=error)
            self.drop()
        finally:
            # Nothing is awaited between finding nothing pending and here: no wake can get lost.
            self._telling = None

    async def _write(self, text: bytes, *, is_last: bool = False) -> None:
        assert self._send is not None
        self._streams.began_writing(self)
        await self._send({"type": "http.response.body", "body": text, "more_body": not is_last})
        self._streams.ended_writing(self)

    def _text(self, message: Message) -> bytes:
        cursor = b"id: %s\n" % message.cursor.encode()
        if message.event is not None:
            return cursor + self._streams.encoded(message.event)
        text = cursor + b"event: %s\ndata: %s\n\n" % (message.kind.encode(), to_json(content_of(message)))
        return RETRY + text if message.reason == "draining" else text


def name_of(message: Message) -> str:
    return message.event.type if message.event is not None else message.kind


def content_of(message: Message) -> dict[str, object]:
    """What a message says besides its name and cursor."""
    if message.event is not None:
        return content_of_event(message.event)
    return {"reason": message.reason} if message.reason else {}


def content_of_event(event: Event) -> dict[str, object]:
    return {
        "stream": event.stream,
        "position": event.position,
        "type": event.type,
        "subject": event.subject,
        "data": event.data,
        "at": event.at,
    }


def _earlier(times: Mapping[EventStream, float], limit: float) -> list[EventStream]:
    """Those of before `limit`. times: in their order."""
    return [stream for stream, _ in takewhile(lambda entry: entry[1] < limit, times.items())]
