"""Live updates over HTTP: Server-Sent Events and a WebSocket, with the same messages."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, WebSocket, WebSocketDisconnect
from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse
from starlette.types import Message as ASGIMessage
from starlette.types import Receive, Scope, Send

from banyan.infra.auth.principal import Principal
from banyan.infra.http.access import Caller, Gate
from banyan.infra.http.origins import Origins
from banyan.infra.http.problems import ProblemResponse
from banyan.infra.http.route import problems, router
from banyan.infra.streams.live import Cursor, LiveHub, Message, Subscription, parse_cursor
from banyan.infra.telemetry.log import get_logger
from banyan.kernel.errors import BanyanError, Forbidden, Unauthenticated

log = get_logger(__name__)

HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 2000
# RFC 6455, section 7.4: 1001 is "going away"; 4000–4999 are an application's own.
CLOSE_CODES = {"revoked": 4401, "expired": 4401, "draining": 1001}
TRY_AGAIN_LATER = 1013
# A client that takes nothing for so long is gone, or might as well be; it resumes from its cursor when it is back.
SEND_TIMEOUT_SECONDS = 20.0

RedeemTicket = Callable[[str], Awaitable[Principal]]
"""The principal of a single-use ticket, which is used up by this. Raises Unauthenticated."""


def live_router(hub: LiveHub, redeem_ticket: RedeemTicket, origins: Origins) -> APIRouter:
    api = router("live")

    @api.get(
        "/events",
        summary="Live updates (Server-Sent Events)",
        response_class=Response,
        responses={
            200: {
                "description": "A stream of events",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            **problems(401),
        },
    )
    async def stream_events(
        request: Request,
        caller: Caller,
        since: Annotated[str | None, Query(description="A cursor to continue from.", max_length=200)] = None,
        last_event_id: Annotated[
            str | None, Header(description="The same, as browsers send it.", max_length=200)
        ] = None,
    ) -> Response:
        """Everything that changes for the caller, from now or from a cursor on, each once and in order.

        The first message is `ready` (or `reset`, when the log does not reach back to the cursor: load everything again).
        Each message's `id` is the cursor to continue from.
        """
        start = _cursor(last_event_id or since, hub)
        subscription = _open(hub, request.scope["banyan.gate"], caller)
        return EventStream(_as_sse(hub, subscription, start), hub, subscription)

    @api.websocket("/ws")
    async def socket(websocket: WebSocket, ticket: str | None = None, since: str | None = None) -> None:
        try:
            _check_origin(websocket, origins)
            principal = await _who(websocket, ticket, redeem_ticket)
            start = _cursor(since, hub)
            subscription = _open(hub, websocket.scope["banyan.gate"], principal)
        except BanyanError as error:
            await websocket.send_denial_response(ProblemResponse(error))
            return
        try:
            await websocket.accept()
            await _talk(websocket, hub, subscription, start)
        finally:
            hub.close(subscription)

    return api


class EventStream(StreamingResponse):
    """Closes its subscription however it ends, and gives up on a client that takes nothing any more."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], hub: LiveHub, subscription: Subscription) -> None:
        super().__init__(content, headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._hub = hub
        self._subscription = subscription

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: ASGIMessage) -> None:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        except TimeoutError:
            log.info("stream_dropped", reason="slow", session_id=self._subscription.session_id)
        finally:
            self._hub.close(self._subscription)


def _open(hub: LiveHub, gate: Gate, principal: Principal) -> Subscription:
    """Begin to listen. Raises Unauthenticated when the session has ended since its token was looked at: nobody would
    end a stream that began to listen after that."""
    subscription = hub.open(principal.user_id, principal.session_id)
    try:
        gate.refuse_revoked(principal)
    except Unauthenticated:
        hub.close(subscription)
        raise
    return subscription


def _cursor(text: str | None, hub: LiveHub) -> Cursor | None:
    return None if text is None else parse_cursor(text, hub.streams)


async def _as_sse(hub: LiveHub, subscription: Subscription, since: Cursor | None) -> AsyncIterator[bytes]:
    # With the first message, not before it: some clients take a lone `retry` for an empty message.
    retry = b"retry: %d\n" % RETRY_MILLISECONDS
    async for message in hub.messages(subscription, since, idle_seconds=HEARTBEAT_SECONDS):
        if message is None:
            yield b": still here\n\n"
        else:
            yield retry + b"id: %s\nevent: %s\ndata: %s\n\n" % (
                message.cursor.encode(),
                _name(message).encode(),
                to_json(_content(message)),
            )
            retry = b""


async def _talk(websocket: WebSocket, hub: LiveHub, subscription: Subscription, since: Cursor | None) -> None:
    """Send until either side ends. Clients need not send anything; what they send is read and dropped."""
    listener = asyncio.create_task(_until_gone(websocket, subscription))
    try:
        async for message in hub.messages(subscription, since, idle_seconds=HEARTBEAT_SECONDS):
            if message is None:
                continue  # the server's own pings keep the connection alive
            if message.kind == "bye":
                if message.reason != "gone":
                    await websocket.close(CLOSE_CODES.get(message.reason or "", 1000), message.reason)
                return
            content = {"event": _name(message), "cursor": message.cursor, **_content(message)}
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await websocket.send_text(to_json(content).decode())
    except (WebSocketDisconnect, RuntimeError, TimeoutError):
        return  # the client went away while we were sending, or takes nothing any more
    except BanyanError:
        await websocket.close(TRY_AGAIN_LATER, "unavailable")
    finally:
        listener.cancel()
        await asyncio.wait({listener})


async def _until_gone(websocket: WebSocket, subscription: Subscription) -> None:
    try:
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        subscription.end("gone")


async def _who(websocket: WebSocket, ticket: str | None, redeem_ticket: RedeemTicket) -> Principal:
    if ticket is not None:
        return await redeem_ticket(ticket)
    gate: Gate = websocket.scope["banyan.gate"]
    authorization = websocket.headers.get("authorization")
    if authorization is None:
        raise Unauthenticated("Open the socket with a ticket (POST /auth/ticket) or an Authorization header.")
    return gate.principal_of(authorization)


def _check_origin(websocket: WebSocket, origins: Origins) -> None:
    """A browser says from which site a socket is opened; no other client needs to."""
    origin = websocket.headers.get("origin")
    if origin is not None and not origins.allows(origin, websocket.scope["banyan.base_url"]):
        raise Forbidden("Sockets may not be opened from this site; see BANYAN_ALLOWED_ORIGINS.")


def _name(message: Message) -> str:
    return message.event.type if message.event is not None else message.kind


def _content(message: Message) -> dict[str, object]:
    event = message.event
    if event is None:
        return {"reason": message.reason} if message.reason else {}
    return {
        "stream": event.stream,
        "position": event.position,
        "type": event.type,
        "subject": event.subject,
        "data": event.data,
        "at": event.at,
    }
