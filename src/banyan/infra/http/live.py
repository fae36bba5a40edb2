"""Live updates over HTTP: Server-Sent Events and a WebSocket, with the same messages."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Header, Query, WebSocket, WebSocketDisconnect
from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Scope

from banyan.infra.auth.principal import Principal
from banyan.infra.http.access import Caller, Gate
from banyan.infra.http.event_stream import (
    SEND_TIMEOUT_SECONDS,
    EventStream,
    EventStreams,
    content_of,
    name_of,
)
from banyan.infra.http.hot import Answer, HotRequest, served_by
from banyan.infra.http.origins import Origins
from banyan.infra.http.problems import ProblemResponse
from banyan.infra.http.route import problems, router
from banyan.infra.streams.live import LiveHub, Subscription
from banyan.infra.streams.live_cursor import Cursor, parse_cursor
from banyan.kernel.errors import BanyanError, Forbidden, Unauthenticated

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
# RFC 6455, section 7.4: 1001 is "going away"; 4000–4999 are an application's own.
CLOSE_CODES = {"revoked": 4401, "expired": 4401, "draining": 1001}
TRY_AGAIN_LATER = 1013

RedeemTicket = Callable[[str], Awaitable[Principal]]
"""The principal of a single-use ticket, which is used up by this. Raises Unauthenticated."""


def live_router(hub: LiveHub, redeem_ticket: RedeemTicket, origins: Origins) -> APIRouter:
    api = router("live")
    streams = EventStreams(hub)

    async def open_stream(request: HotRequest) -> Answer:
        since = _cursor(_since(request), hub)
        subscription = _open(hub, request.scope, request.principal)
        return Answer(200, STREAM_HEADERS, stream=await EventStream.begin(streams, subscription, since))

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
    @served_by(open_stream)
    async def stream_events(
        _caller: Caller,
        since: Annotated[str | None, Query(description="A cursor to continue from.", max_length=200)] = None,
        last_event_id: Annotated[
            str | None, Header(description="The same, as browsers send it.", max_length=200)
        ] = None,
    ) -> None:
        """Everything that changes for the caller, from now or from a cursor on, each once and in order.

        The first message is `ready` (or `reset`, when the log does not reach back to the cursor: load everything again).
        Each message's `id` is the cursor to continue from.
        """

    @api.websocket("/ws")
    async def socket(websocket: WebSocket, ticket: str | None = None, since: str | None = None) -> None:
        try:
            _check_origin(websocket, origins)
            principal = await _who(websocket, ticket, redeem_ticket)
            start = _cursor(since, hub)
            subscription = _open(hub, websocket.scope, principal)
        except BanyanError as error:
            await websocket.send_denial_response(ProblemResponse(error))
            return
        try:
            await websocket.accept()
            await _talk(websocket, hub, subscription, start)
        finally:
            hub.close(subscription)

    return api


def _open(hub: LiveHub, scope: Scope, principal: Principal) -> Subscription:
    """Begin to listen. Raises Unauthenticated when the session has ended since its token was looked at: nobody would
    end a stream that began to listen after that."""
    gate: Gate = scope["banyan.gate"]
    subscription = hub.open(principal.user_id, principal.session_id, scope["banyan.address"])
    try:
        gate.refuse_revoked(principal)
    except Unauthenticated:
        hub.close(subscription)
        raise
    return subscription


def _cursor(text: str | None, hub: LiveHub) -> Cursor | None:
    return None if text is None else parse_cursor(text, hub.streams)


def _since(request: HotRequest) -> str | None:
    header = request.header(b"last-event-id")
    if header is not None:
        return header.decode("latin-1")
    return dict(parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)).get("since")


async def _talk(websocket: WebSocket, hub: LiveHub, subscription: Subscription, since: Cursor | None) -> None:
    """Send until either side ends. Clients need not send anything; what they send is read and dropped."""
    listener = asyncio.create_task(_until_gone(websocket, subscription))
    try:
        # The server's own pings keep the connection alive.
        async for message in hub.messages(subscription, since):
            if message.kind == "bye":
                if message.reason != "gone":
                    await websocket.close(CLOSE_CODES.get(message.reason or "", 1000), message.reason)
                return
            content = {"event": name_of(message), "cursor": message.cursor, **content_of(message)}
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
