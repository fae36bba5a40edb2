"""An HTTP server for tests of load generators: it answers at once, but for what it was told to do on the way."""

import socket
import threading
import time
from collections.abc import Callable
from selectors import EVENT_READ, DefaultSelector
from types import TracebackType
from typing import Self

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
CLOSE, SILENCE = b"close", b"silence"


def stalls_once(at_request: int, seconds: float) -> Callable[[int], bytes]:
    """Everybody waits while this one request is answered, as behind a lock or a collection of garbage."""

    def answer(number: int) -> bytes:
        if number == at_request:
            time.sleep(seconds)
        return ANSWER

    return answer


class StandIn:
    """One thread serves all connections. answer: of a request's number, from 0: bytes, CLOSE, or SILENCE."""

    def __init__(self, answer: Callable[[int], bytes] = lambda _number: ANSWER) -> None:
        self._answer = answer
        self._selector = DefaultSelector()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._wake, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.close()
        self._thread.join()

    def _serve(self) -> None:
        for one in (self._listening, self._wake):
            self._selector.register(one, EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                one = key.fileobj
                assert isinstance(one, socket.socket)
                if one is self._wake:
                    self._close()
                    return
                if one is self._listening:
                    self._selector.register(one.accept()[0], EVENT_READ)
                else:
                    self._serve_one(one)

    def _serve_one(self, connection: socket.socket) -> None:
        try:
            asked = connection.recv(65536)
        except ConnectionError:
            asked = b""
        answer = CLOSE
        if asked:
            answer = self._answer(self.requests)
            self.requests += 1
        if answer == CLOSE:
            self._selector.unregister(connection)
            connection.close()
        elif answer != SILENCE:
            connection.send(answer)

    def _close(self) -> None:
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
