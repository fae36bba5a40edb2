"""One write for one answer.

uvicorn hands over the head and the body of an answer separately, and the event loop sends each by a system call of its own.
Between the two the process may be killed, and a client, or a gateway that has already passed the head on, is left with
half an answer. Sent together they arrive together, for one call in place of two.
"""

import asyncio
from typing import Any

HEAD_END = b"\r\n\r\n"


class OneWrite:
    """A transport that holds what is written until something follows, at the latest until the next turn of the event loop.

    Only a head is held, which ends with an empty line: what holds a body needs nothing to follow it.
    """

    __slots__ = ("_held", "_loop", "_transport", "is_closing", "pause_reading", "resume_reading")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        # Asked for with every request: without a look-up on the way.
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._held:
            together = self._held + data
            self._held = b""
            self._transport.write(together)
        elif data[-4:] != HEAD_END:
            if data:
                self._transport.write(data)
        else:
            self._held = data
            self._loop.call_soon(self._flush)

    def write_whole(self, data: bytes) -> None:
        """Write what nothing follows, such as an answer without a body."""
        if self._held:
            data, self._held = self._held + data, b""
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)
