"""A connection: uvicorn's HTTP/1.1, with the short way, the lane's door, fewer timers, and problems for what is no HTTP at all."""

import asyncio
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from banyan.infra.http.door import Door
from banyan.infra.http.every_answer import SECURITY_HEADERS
from banyan.infra.http.one_write import OneWrite
from banyan.infra.http.problems import problem
from banyan.infra.http.short_way import Asked, ShortWay
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import BanyanError, MalformedRequest

log = get_logger(__name__)


class _PlainGet:
    """What the parser says of a request that went the short way first, when it is asked only later."""

    def get_http_version(self) -> str:
        return "1.1"

    def get_method(self) -> bytes:
        return b"GET"

    def should_upgrade(self) -> bool:
        return False

    def should_keep_alive(self) -> bool:
        return True


_PLAIN_GET = _PlainGet()


class Protocol(HttpToolsProtocol):
    """short_way, door: past the server's own application. A server that drains serves another one in its place, to old
    connections and new ones, and everybody goes the ordinary way then.

    At most one request is on the short way, and none beside it: when another follows before it is answered, when the server
    shuts down, or when the client reads slowly, it goes on the ordinary way, which knows what to do.
    """

    def __init__(self, short_way: ShortWay | None, door: Door | None, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._short_way = short_way
        self._door = door
        self._asked: Asked | None = None
        # Received, and not looked at before it is its turn at the door.
        self._held: list[bytes] = []
        # Answered by the door; what still comes of the request is let fall.
        self._is_refused = False
        self._extra: dict[str, Any] = {}
        self._is_idle = False
        self._idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._wire = OneWrite(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._wire))

    def connection_lost(self, exc: Exception | None) -> None:
        self._asked = None
        super().connection_lost(exc)
        self._drop_timer()

    def shutdown(self) -> None:
        self._pass_the_door()
        self._go_on()
        super().shutdown()

    # The parser's callbacks

    def on_message_begin(self) -> None:
        self._go_on()
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        method = self._plain_method()
        try:
            if method == b"GET" and self._short_way is not None:
                self._asked = self._short_way.admit(self.url, self.headers, self._connection())
                if self._asked is not None:
                    return
            elif method == b"POST" and self._door is not None:
                refusal = self._door.refusal(
                    self.url, self.headers, self._connection(), self.server_state.default_headers
                )
                if refusal is not None:
                    self._is_refused = True
                    self._answer(refusal)
                    return
        except BanyanError:
            pass  # it is refused on the ordinary way
        except Exception:
            log.exception("connection_answer_failed")
        self._start_cycle()

    def on_body(self, body: bytes) -> None:
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._is_refused:
            self._is_refused = False
            self._become_idle()
            return
        asked = self._asked
        if asked is None:
            super().on_message_complete()
            return
        assert self._short_way is not None
        if not self._short_way.tell(asked, lambda position: self._told(asked, position)):
            self._go_on()

    # The short way, and the door

    def _plain_method(self) -> bytes | None:
        """Of a request that may be answered here; None when it has to go the ordinary way."""
        parser = self.parser
        if (
            self.app is self.config.app
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and parser is not None
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
        ):
            return parser.get_method()
        return None

    def _connection(self) -> Scope:
        return {"type": "http", "client": self.client, "server": self.server, "scheme": self.scheme}

    def _answer(self, whole: bytes) -> None:
        self._wire.write_whole(whole)
        self.server_state.total_requests += 1

    def _told(self, asked: Asked, position: int | None) -> None:
        if self._asked is not asked:
            return  # it has gone on, or its client has gone
        whole: bytes | None = None
        if position is not None and not self.flow.write_paused and not self.transport.is_closing():
            assert self._short_way is not None
            try:
                whole = self._short_way.complete(asked, position, self.server_state.default_headers)
            except Exception:
                # Others wait for the same callback. On the ordinary way it is answered, or fails by itself.
                log.exception("connection_answer_failed")
        if whole is None:
            self._go_on()
            return
        self._asked = None
        self._answer(whole)
        self._become_idle()

    def _go_on(self) -> None:
        """Let the request that is on the short way, if there is one, go the ordinary way."""
        asked = self._asked
        if asked is None:
            return
        self._asked = None
        self._extra = asked.done_already()
        parser, self.parser = self.parser, cast(Any, _PLAIN_GET)
        try:
            self._start_cycle()
            super().on_message_complete()
        finally:
            self.parser = parser
            self._extra = {}

    def _start_cycle(self) -> None:
        """What uvicorn does at the beginning and at the end of a request's head."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        cast(dict[str, Any], self.scope).update(self._extra)
        super().on_headers_complete()

    # A connection that nobody uses

    def data_received(self, data: bytes) -> None:
        self._is_idle = False
        if self._held or (self._door is not None and self._door.holds(data, self._pass_the_door)):
            self._held.append(data)
        else:
            super().data_received(data)

    def _pass_the_door(self) -> None:
        if self._held and not self.transport.is_closing():
            data = b"".join(self._held)
            self._held.clear()
            super().data_received(data)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        else:
            self._become_idle()

    def _become_idle(self) -> None:
        """Arm the keep-alive timer: one for many requests, which looks when it goes off whether it is time."""
        if self.transport.is_closing():
            return
        self._is_idle = True
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._arm(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        """uvicorn cancels its timer at every request; ours finds out by itself that there was one."""

    def _arm(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if not self._is_idle:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._arm(left)
        else:
            super().timeout_keep_alive_handler()

    def _drop_timer(self) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def send_400_response(self, msg: str) -> None:
        self._go_on()
        _, headers, body = problem(MalformedRequest("This is not a valid HTTP/1.1 request."))
        fields = [
            *headers,
            *SECURITY_HEADERS,
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        head = b"".join(b"%s: %s\r\n" % field for field in fields)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head + b"\r\n" + body)
        self.transport.close()
