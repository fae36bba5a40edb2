"""A whole answer, written at once.

An ASGI application tells its server the head of an answer and its body one after another, and uvicorn looks at every header of it by
two regular expressions, and again for those that it acts upon. For an answer that is ready, with its length, it is enough to write it.
Only where the edge speaks with uvicorn itself: whoever has put a `send` of their own in between (CORS, a HEAD, the last answers of a
server that drains) is told in the ordinary way, and so is a client that reads slowly or has gone.
"""

from collections.abc import Callable

from starlette.types import Message, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from banyan.infra.http.hot import Headers


class Watched:
    """A `send` that shows the head of an answer to somebody who only looks, and changes nothing: an answer can be written whole."""

    __slots__ = ("look", "send")

    def __init__(self, send: Send, look: Callable[[int, Headers], None]) -> None:
        """look: at the status and the headers, before they are sent or right after."""
        self.send = send
        self.look = look

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.look(message["status"], message["headers"])
        await self.send(message)


def write_whole(send: Send, status: int, headers: Headers, body: bytes) -> bool:
    """Write the answer to a request that is not answered yet; False when it has to be sent in the ordinary way.

    headers: all of them, with lower-case names; of the connection it says nothing.
    """
    if isinstance(send, Watched):
        is_written = write_whole(send.send, status, headers, body)
        if is_written:
            send.look(status, headers)
        return is_written
    cycle = getattr(send, "__self__", None)
    if type(cycle) is not RequestResponseCycle or cycle.response_started:
        return False
    if cycle.disconnected or cycle.flow.write_paused or cycle.access_log or cycle.transport.is_closing():
        return False
    whole = in_one_piece(status, cycle.default_headers, headers, body, keep_alive=cycle.keep_alive)
    if whole is None:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(whole)
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


def in_one_piece(
    status: int, server_headers: Headers, headers: Headers, body: bytes, *, keep_alive: bool = True
) -> bytes | None:
    """The answer as it goes over the wire; None when a header cannot be sent. Names are lower-case."""
    fields = lines_of([*server_headers, *headers])
    if fields is None:
        return None
    end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
    return b"%b%b%b%b" % (STATUS_LINE[status], fields, end, body)


def lines_of(headers: Headers) -> bytes | None:
    """Headers as they go over the wire; None when one cannot be sent."""
    lines = b"".join([part for name, value in headers for part in (name, b": ", value, b"\r\n")])
    # No value may end its line: what came from a client would be a header of its own. uvicorn says so, and refuses.
    ends = len(headers)
    if lines.count(b"\n") != ends or lines.count(b"\r") != ends or b"\0" in lines:
        return None
    return lines
