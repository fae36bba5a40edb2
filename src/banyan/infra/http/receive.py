"""Bodies: read whole, within a limit."""

from starlette.types import Message, Receive

from banyan.kernel.errors import BanyanError, TooLarge


class ClientGone(BanyanError):
    """The client closed the connection before its request was complete; nobody is there to answer."""

    code = "client_gone"


def limited(receive: Receive, max_bytes: int) -> Receive:
    """`receive` that raises TooLarge as soon as a body grows over `max_bytes`, so that it never lies in memory whole."""
    seen = 0

    async def receive_within_limit() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > max_bytes:
                raise TooLarge(f"The body is larger than the {max_bytes} bytes that this server accepts.")
        return message

    return receive_within_limit


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises ClientGone, and what a limited `receive` raises."""
    message = await receive()
    body = message.get("body", b"")
    if not message.get("more_body", False):
        if message["type"] == "http.disconnect":
            raise ClientGone()
        return body
    parts = [body]
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
