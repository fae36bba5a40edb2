"""Thousands of clients that listen to `GET /events`, in one thread: raw sockets and epoll.

Nothing of an answer is kept; counted is what has arrived, and when the last of it did.
"""

import resource
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self
from urllib.parse import urlsplit

READ_BYTES = 65536
WAIT_SECONDS = 30.0
# As many as the server takes from one address by default; a connection's own address is one of 127.0.0.0/8.
PER_ADDRESS = 500
# Connections that are being opened side by side: what waits in the server's backlog is not yet a stream.
OPENING_AT_ONCE = 200


class NotDelivered(AssertionError):
    """A stream was refused or ended, or messages did not arrive; the text says which."""


def raise_file_limit() -> None:
    """Each stream is an open file. The limit is inherited by servers that are started from now on."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Listeners:
    """Open streams. tokens: of each stream, the access token of its user."""

    def __init__(self, url: str, tokens: Sequence[str]) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._rests: dict[int, bytes] = {}
        for begin in range(0, len(tokens), OPENING_AT_ONCE):
            some = tokens[begin : begin + OPENING_AT_ONCE]
            for number, token in enumerate(some, start=begin):
                self._connect(number, token)
            self.wait(b"\nevent: ready\n", len(some))

    def __len__(self) -> int:
        return len(self._sockets)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for one in self._sockets.values():
            one.close()
        self._poll.close()

    def wait(self, mark: bytes, count: int) -> float:
        """Read until so many of these have arrived over all streams together; returns when the last one did.

        That moment is one of time.perf_counter. Raises NotDelivered when a stream ends, or when they take longer than 30 s.
        """
        left = count
        deadline = time.monotonic() + WAIT_SECONDS
        while left > 0:
            ready = self._poll.poll(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise NotDelivered(f"{left} of {count} did not arrive within {WAIT_SECONDS:g} s")
            for number, _ in ready:
                left -= self._read(number, mark)
        if left < 0:
            raise NotDelivered(f"{-left} more arrived than the {count} that were sent")
        return time.perf_counter()

    def _read(self, number: int, mark: bytes) -> int:
        chunk = self._sockets[number].recv(READ_BYTES)
        if not chunk:
            raise NotDelivered(f"the server ended a stream after {self._rests[number]!r}")
        seen = self._rests[number] + chunk
        # A mark may lie across two reads: what could be its beginning is kept, and a whole one never.
        self._rests[number] = seen[-(len(mark) - 1) :]
        return seen.count(mark)

    def _connect(self, number: int, token: str) -> None:
        one = socket.socket()
        address = f"127.0.{1 + number // PER_ADDRESS}.1"
        # Only the address: the kernel takes a port when it knows where the connection goes.
        one.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        one.bind((address, 0))
        one.connect(self._server)
        one.sendall(
            f"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        self._sockets[one.fileno()] = one
        self._rests[one.fileno()] = b""
        self._poll.register(one.fileno(), select.EPOLLIN)


@contextmanager
def listening(url: str, tokens: Sequence[str]) -> Iterator[Listeners]:
    """Streams that have all said that they are ready."""
    raise_file_limit()
    with Listeners(url, tokens) as listeners:
        yield listeners
