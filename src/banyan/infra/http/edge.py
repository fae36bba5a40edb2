"""The edge: the outermost ASGI layer of a process.

every request → trace, address, base URL → limits → hot route? ── yes → token → lean handler → answer
                                                    └── no → cross-site check, body limit → the application
              ← security headers, request id, metrics, problem+json for whatever went wrong ←
"""

import time
from collections.abc import Mapping
from contextlib import nullcontext

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from banyan.infra.http.access import Gate
from banyan.infra.http.client import ClientAddress, base_url_of, header
from banyan.infra.http.door import Door
from banyan.infra.http.every_answer import completed, request_id_of
from banyan.infra.http.head import as_get
from banyan.infra.http.health import FOR_MACHINES
from banyan.infra.http.hot import Answer, HotRequest, LeanHandler
from banyan.infra.http.lane import Lane
from banyan.infra.http.origins import Origins
from banyan.infra.http.problems import Failure, problem
from banyan.infra.http.receive import ClientGone, limited
from banyan.infra.http.short_way import COUNTED, STARTED, ShortWay
from banyan.infra.http.whole_answer import write_whole
from banyan.infra.resilience.rate_limit import Rate, RateLimiter, refused
from banyan.infra.telemetry.log import get_logger
from banyan.infra.telemetry.metrics import HttpMetrics
from banyan.infra.telemetry.sampling import Sampler
from banyan.infra.telemetry.trace import continue_trace
from banyan.kernel.errors import BanyanError, Forbidden, TooLarge

log = get_logger(__name__)

# What nginx logs for a client that did not wait; nobody receives it.
CLIENT_CLOSED_REQUEST = 499
# Too many, or too much: the reasons are counted.
REFUSALS = frozenset({429, 503})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Edge:
    """See the module. app: everything that is not a hot route."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hot: Mapping[tuple[str, str], LeanHandler],
        gate: Gate,
        limiter: RateLimiter,
        address_rate: Rate,
        max_body_bytes: int,
        origins: Origins,
        addresses: ClientAddress,
        public_url: str | None,
        metrics: HttpMetrics,
        lane: Lane | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        self._app = app
        self._hot = hot
        self._gate = gate
        self._limiter = limiter
        self._address_rate = address_rate
        self._max_body_bytes = max_body_bytes
        self._origins = origins
        self._addresses = addresses
        self._public_url = public_url
        self._metrics = metrics
        self._lane = lane
        self.short_way = ShortWay(
            hot,
            gate=gate,
            limiter=limiter,
            address_rate=address_rate,
            addresses=addresses,
            public_url=public_url,
            metrics=metrics,
            sampler=sampler,
        )
        self.door = lane and Door(
            lane,
            limiter=limiter,
            address_rate=address_rate,
            addresses=addresses,
            public_url=public_url,
            metrics=metrics,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = scope.get(STARTED) or time.perf_counter()
        scope, send = as_get(scope, send)
        traceparent = header(scope["headers"], b"traceparent")
        continue_trace(traceparent.decode("latin-1") if traceparent else None)
        scope["banyan.gate"] = self._gate
        self._addresses.apply(scope)
        scope["banyan.base_url"] = self._public_url or base_url_of(scope)
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return

        handler = self._hot.get((scope["method"], scope["path"]))
        if handler is not None:
            self._metrics.in_progress += 1
            try:
                answer = await self._answer_hot(handler, scope, limited(receive, self._max_body_bytes))
                if answer.stream is None:
                    await _send(answer, scope, send)
            finally:
                self._metrics.in_progress -= 1
            if answer.stream is not None:
                await answer.stream.serve(_head(answer, scope), receive, send)
                return  # how long a stream was open says nothing about how fast we are
            self._observe(scope, scope["path"].rstrip("/"), answer.status, started)
            return
        lane = self._lane
        if lane is not None and (scope["method"], scope["path"]) not in lane.routes:
            lane = None
        self._metrics.in_progress += 1
        try:
            await self._pass_on(scope, receive, send, started, lane)
        finally:
            self._metrics.in_progress -= 1

    def _observe(self, scope: Scope, route: str, status: int, started: float) -> None:
        self._metrics.observe(scope["method"], route, status, started)
        if status in REFUSALS and route not in FOR_MACHINES:  # who asks whether we are ready is not refused
            self._metrics.refused(scope.get("banyan.error"))

    async def _answer_hot(self, handler: LeanHandler, scope: Scope, receive: Receive) -> Answer:
        try:
            if COUNTED not in scope:
                await self._limit_address(scope)
            self._refuse_large(scope)
            principal = scope.get(COUNTED)
            if principal is None:
                authorization = header(scope["headers"], b"authorization")
                principal = await self._gate.admit(authorization.decode("latin-1") if authorization else None)
            return await handler(HotRequest(scope, receive, principal))
        except ClientGone:
            return Answer(CLIENT_CLOSED_REQUEST, [])
        except BanyanError as error:
            scope["banyan.error"] = error
            return Answer(*problem(error))
        except Exception as error:
            return _failure(scope, error)

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, started: float, lane: Lane | None
    ) -> None:
        status = 0
        streams = False

        async def send_completed(message: Message) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = message["status"]
                streams = header(message["headers"], b"content-type") == b"text/event-stream; charset=utf-8"
                message["headers"] = completed(list(message["headers"]), scope)
            await send(message)

        answer: Answer | None = None
        try:
            if scope["path"] not in FOR_MACHINES:
                await self._limit_address(scope)
            self._refuse_large(scope)
            if scope["method"] not in SAFE_METHODS:
                self._refuse_cross_site(scope)
            async with lane.inside() if lane else nullcontext():
                await self._app(scope, limited(receive, self._max_body_bytes), send_completed)
        except (ClientGone, ClientDisconnect):
            status = CLIENT_CLOSED_REQUEST
        except BanyanError as error:
            scope["banyan.error"] = error
            answer = Answer(*problem(error))
        except Exception as error:
            answer = _failure(scope, error)
        if answer is not None and not status:
            status = answer.status
            await _send(answer, scope, send)
        if not streams:  # as above
            route = getattr(scope.get("route"), "path", "unmatched")
            self._observe(scope, route, status, started)

    async def _limit_address(self, scope: Scope) -> None:
        decision = await self._limiter.take(f"address:{scope['banyan.address']}", self._address_rate)
        if not decision.allowed:
            raise refused("address", self._address_rate, decision)

    def _refuse_large(self, scope: Scope) -> None:
        """Refuse by the declared length, before anything of the body is read."""
        length = header(scope["headers"], b"content-length")
        if length is not None and length.isdigit() and int(length) > self._max_body_bytes:
            raise TooLarge(
                f"The body is larger than the {self._max_body_bytes} bytes that this server accepts."
            )

    def _refuse_cross_site(self, scope: Scope) -> None:
        site = header(scope["headers"], b"sec-fetch-site")
        origin = header(scope["headers"], b"origin")
        if site != b"cross-site" and (site is not None or origin is None):
            return
        if origin is None or not self._origins.allows(origin.decode("latin-1"), scope["banyan.base_url"]):
            raise Forbidden("Another site may not change anything here; see BANYAN_ALLOWED_ORIGINS.")


def _failure(scope: Scope, error: Exception) -> Answer:
    """The answer to a request that failed by our fault; the log and the answer carry the same request id."""
    request_id = request_id_of(scope).decode()
    log.error(
        "request_failed", path=scope["path"], method=scope["method"], request_id=request_id, exc_info=error
    )
    return Answer(*problem(Failure()))


def _head(answer: Answer, scope: Scope) -> Message:
    headers = completed(list(answer.headers), scope)
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _send(answer: Answer, scope: Scope, send: Send) -> None:
    head = _head(answer, scope)
    if answer.status != 304:
        head["headers"].append((b"content-length", b"%d" % len(answer.body)))
    if write_whole(send, answer.status, head["headers"], answer.body):
        return
    await send(head)
    await send({"type": "http.response.body", "body": answer.body})
