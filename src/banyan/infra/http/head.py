"""HEAD: answered as the GET would be, without its body."""

from starlette.types import Message, Scope, Send

# A stream would never come to the end of its answer.
ENDLESS = frozenset({"/events"})


def as_get(scope: Scope, send: Send) -> tuple[Scope, Send]:
    """A HEAD as the GET that it asks about, of whose answer the head alone is sent; everything else as it is."""
    if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].rstrip("/") in ENDLESS:
        return scope, send

    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    # A copy: the server looks at its own, to know that no body may follow.
    return {**scope, "method": "GET"}, send_head
