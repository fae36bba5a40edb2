"""A connection of the load generator: one request at a time, never waiting."""

import select
import selectors
import socket
from collections.abc import Iterator
from typing import Final

import httptools

RECEIVE_BYTES = 1 << 18
CONNECT_SECONDS = 5.0


class Connection:
    """A keep-alive connection. It opens itself again when the server has closed it between two requests.

    is_busy: a request is under way. planned: when that was due. status: of the last answer, None when there was none;
    then `error` says why.
    """

    __slots__ = (
        "_address",
        "_left",
        "_parser",
        "_selector",
        "_socket",
        "_stays_open",
        "error",
        "is_busy",
        "planned",
        "status",
    )

    def __init__(self, address: tuple[str, int], selector: selectors.BaseSelector) -> None:
        self._address: Final = address
        self._selector: Final = selector
        self._socket: socket.socket | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._stays_open = True
        self._left = b""
        self.is_busy = False
        self.planned = 0.0
        self.status: int | None = None
        self.error = ""

    def open_and_wait(self) -> None:
        """Raises OSError when nobody listens."""
        self._use(socket.create_connection(self._address, timeout=CONNECT_SECONDS))

    def send(self, request: bytes, planned: float) -> bool:
        """Start a request; false when that failed at once (`error`)."""
        self.planned = planned
        try:
            if self._socket is None:
                self._open()
            sent = self._send(request)
        except OSError as error:
            self._fail(error.strerror or type(error).__name__)
            return False
        self.is_busy = True
        if sent < len(request):
            self._left = request[sent:]
            self._watch(selectors.EVENT_READ | selectors.EVENT_WRITE)
        return True

    def advance(self, events: int) -> bool:
        """Do what can be done now; true when the request that was under way has ended, well or not."""
        was_busy = self.is_busy
        try:
            if self._left and events & selectors.EVENT_WRITE:
                self._left = self._left[self._send(self._left) :]
                if not self._left:
                    self._watch(selectors.EVENT_READ)
            if events & selectors.EVENT_READ:
                self._receive()
        except OSError as error:
            self._fail(error.strerror or type(error).__name__)
        except httptools.HttpParserError:
            self._fail("not HTTP")
        return was_busy and not self.is_busy

    def close(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def on_message_complete(self) -> None:
        """Called by the parser: the answer's last byte is there."""
        self.is_busy = False
        self.status = self._parser.get_status_code()
        self._stays_open = self._parser.should_keep_alive()

    def _open(self) -> None:
        opening = socket.socket(socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET)
        opening.setblocking(False)
        opening.connect_ex(
            self._address
        )  # what came of it is known at the first send or when the socket is ready
        self._use(opening)

    def _use(self, opened: socket.socket) -> None:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = opened
        self._parser = httptools.HttpResponseParser(self)
        self._stays_open = True
        self._selector.register(opened, selectors.EVENT_READ, self)

    def _watch(self, events: int) -> None:
        assert self._socket is not None
        self._selector.modify(self._socket, events, self)

    def _send(self, data: bytes) -> int:
        assert self._socket is not None
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._fail("connection closed")
            return
        self._parser.feed_data(data)
        if not self._stays_open:
            self.close()

    def _fail(self, error: str) -> None:
        self.close()
        self._left = b""
        self.is_busy = False
        self.status, self.error = None, error


class Wakening:
    """Waits for answers, to the microsecond: `epoll` alone knows whole milliseconds, which would be each request's delay."""

    def __init__(self, selector: selectors.DefaultSelector) -> None:
        self._selector: Final = selector

    def wait(self, seconds: float) -> Iterator[Connection]:
        """The connections whose request has ended, after `seconds` at the latest."""
        if seconds > 0 and not select.select([self._selector], [], [], seconds)[0]:
            return
        for key, events in self._selector.select(0):
            if key.data.advance(events):
                yield key.data
