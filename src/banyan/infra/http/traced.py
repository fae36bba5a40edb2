"""The span of a request, around the edge. Only in processes that record traces; a request that is not recorded passes at once.

Its parent, when the request carries a `traceparent`, decides whether it is recorded; otherwise a sampler does.

Source of names: OpenTelemetry semantic conventions, HTTP server spans. Left out on purpose is what tells of a person, or opens
something: the address and the program of the client, and the query, which may hold a ticket.
"""

from collections.abc import Callable, Container

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from banyan.infra.http.client import header
from banyan.infra.http.head import as_get
from banyan.infra.http.health import FOR_MACHINES
from banyan.infra.http.hot import Headers
from banyan.infra.http.short_way import RECORDED
from banyan.infra.http.whole_answer import Watched
from banyan.infra.telemetry.sampling import Sampler
from banyan.infra.telemetry.trace import Span, Value, begin, is_recorded, valid_traceparent

EVENT_STREAM = b"text/event-stream"
# How the request for a socket may be answered: message → status, unless it says another.
ANSWERS = {"websocket.accept": 101, "websocket.close": 403, "websocket.http.response.start": 403}
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Traced:
    """app: the edge. hot: its hot routes, by method and path. sampler: decides for requests without a parent."""

    def __init__(self, app: ASGIApp, *, hot: Container[tuple[str, str]], sampler: Sampler) -> None:
        self.app = app
        self._hot = hot
        self._sampler = sampler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = header(scope["headers"], b"traceparent")
        parent = None if sent is None else valid_traceparent(sent.decode("latin-1"))
        if parent is not None:
            recorded = is_recorded(parent)
        else:
            # Of what went the short way first it was decided there.
            decided: bool | None = scope.get(RECORDED)
            recorded = self._sampler.take() if decided is None else decided
        if not recorded or scope["type"] not in ("http", "websocket") or scope["path"] in FOR_MACHINES:
            await self.app(scope, receive, send)
            return
        asked = scope.get("method", "GET")  # a socket is opened by a GET
        method = asked if asked in METHODS else "_OTHER"
        known = {
            "http.request.method": method,
            "url.scheme": scope["scheme"],
            "network.protocol.version": scope["http_version"],
        }
        with begin(method, "server", known, parent=parent) as span:
            if span is None:  # not yet, or not any more
                await self.app(scope, receive, send)
            else:
                await self._serve(span, method, scope, receive, send)

    async def _serve(self, span: Span, method: str, scope: Scope, receive: Receive, send: Send) -> None:
        # The edge takes its trace from here: what it does belongs to this span, and not to the client's.
        headers = [pair for pair in scope["headers"] if pair[0] != b"traceparent"]
        traced = {**scope, "headers": [*headers, (b"traceparent", span.traceparent.encode())]}
        # The edge does the same, in a copy whose route would not be seen here.
        inner, send_on = as_get(traced, send)

        def note(status: int, headers: Headers) -> None:
            self._note(span, method, inner, status, headers)

        watch = Watched if scope["type"] == "http" else _watched_socket
        await self.app(inner, receive, watch(send_on, note))

    def _note(self, span: Span, method: str, scope: Scope, status: int, headers: Headers) -> None:
        is_hot = (scope.get("method", ""), scope["path"]) in self._hot
        route = scope["path"].rstrip("/") if is_hot else getattr(scope.get("route"), "path", None)
        seen: dict[str, Value] = {"http.response.status_code": status}
        if route is not None:
            span.name(f"{method} {route}")
            # A path without a route may be anything that somebody typed.
            seen |= {"http.route": route, "url.path": scope["path"]}
        span.note(seen)
        if status >= 500:
            span.failed(str(status))
        is_stream = (header(headers, b"content-type") or b"").startswith(EVENT_STREAM)
        if is_stream or scope["type"] == "websocket":
            span.end()  # how long it stays open says nothing


def _watched_socket(send: Send, look: Callable[[int, Headers], None]) -> Send:
    """Shows how the request for a socket is answered; what is sent through the socket afterwards is not looked at."""
    answered = False

    async def watched(message: Message) -> None:
        nonlocal answered
        kind = message["type"]
        if not answered and kind in ANSWERS:
            answered = True
            look(message.get("status", ANSWERS[kind]), message.get("headers", []))
        await send(message)

    return watched
