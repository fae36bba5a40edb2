"""The span of a request, around the edge. Only in processes that record traces; a request that is not recorded passes at once.

Its parent, when the request carries a `traceparent`, decides whether it is recorded; otherwise a sampler does.

Source of names: OpenTelemetry semantic conventions, HTTP server spans. Left out on purpose is what tells of a person, or opens
something: the address and the program of the client, and the query, which may hold a ticket.
"""

from collections.abc import Container

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from banyan.infra.http.client import header
from banyan.infra.http.short_way import COUNTED
from banyan.infra.telemetry.sampling import Sampler
from banyan.infra.telemetry.trace import Span, begin, is_recorded, valid_traceparent

# Asked for again and again by machines; of no use to anybody in a trace.
NEVER = frozenset({"/livez", "/readyz", "/health", "/metrics"})
EVENT_STREAM = b"text/event-stream"
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
            # What went the short way first was passed by there.
            recorded = COUNTED not in scope and self._sampler.take()
        if not recorded or scope["type"] != "http" or scope["path"] in NEVER:
            await self.app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
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
        inner = {**scope, "headers": [*headers, (b"traceparent", span.traceparent.encode())]}

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(span, method, inner, message)
            await send(message)

        await self.app(inner, receive, noting)

    def _note(self, span: Span, method: str, scope: Scope, start: Message) -> None:
        status: int = start["status"]
        is_hot = (scope["method"], scope["path"]) in self._hot
        route = scope["path"].rstrip("/") if is_hot else getattr(scope.get("route"), "path", None)
        span.note({"http.response.status_code": status})
        if route is not None:
            span.name(f"{method} {route}")
            # A path without a route may be anything that somebody typed.
            span.note({"http.route": route, "url.path": scope["path"]})
        if status >= 500:
            span.failed(str(status))
        if (header(start["headers"], b"content-type") or b"").startswith(EVENT_STREAM):
            span.end()  # how long a stream stays open says nothing
