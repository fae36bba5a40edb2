"""The door of the lane: people who come at the same moment pass it one by one, and who could not be served in time stays outside.

    the first bytes of a request for the lane ─▶ a turn of the event loop ─▶ could it be done in time? ─▶ edge, lane, application
                                                                                └── no ─▶ 503 with Retry-After

Between two turns everybody else has theirs. And as others wait for what a refusal costs, it costs little: most of that would be what is
made of a request before anybody looks at it, a scope, a cycle and a task. So the connection (protocol.py) asks here first, as it asks
the short way for cached answers. Whatever is not as plain as a login is goes the ordinary way, and is refused in the lane.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from starlette.types import Scope

from banyan.infra.http.client import ClientAddress, base_url_of
from banyan.infra.http.every_answer import completed
from banyan.infra.http.hot import Headers
from banyan.infra.http.lane import Lane
from banyan.infra.http.problems import problem
from banyan.infra.http.whole_answer import in_one_piece
from banyan.infra.resilience.rate_limit import Rate, RateLimiter
from banyan.infra.telemetry.metrics import HttpMetrics
from banyan.kernel.errors import BanyanError

# No login is larger: what has no length, or a greater one, is something else.
LARGEST_BODY = 16_384

_UNUSUAL = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


class Door:
    """For one event loop."""

    def __init__(
        self,
        lane: Lane,
        *,
        limiter: RateLimiter,
        address_rate: Rate,
        addresses: ClientAddress,
        public_url: str | None,
        metrics: HttpMetrics,
    ) -> None:
        self._lane = lane
        self._paths = {path.encode(): path.rstrip("/") for method, path in lane.routes if method == "POST"}
        self._beginnings = tuple(b"POST %b " % path for path in self._paths)
        self._limiter = limiter
        self._address_rate = address_rate
        self._addresses = addresses
        self._public_url = public_url
        self._metrics = metrics
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_passing = False

    def holds(self, data: bytes, pass_on: Callable[[], None]) -> bool:
        """Whether these are the first bytes of a request for the lane, and others are before it: `pass_on` is called when it is
        its turn. Nobody has to be known for certain: who is not, is only not held."""
        if not data.startswith(self._beginnings):
            return False
        if self._is_passing:
            self._waiting.append(pass_on)
            return True
        self._is_passing = True
        asyncio.get_running_loop().call_soon(self._next)
        return False

    def refusal(
        self, target: bytes, headers: Headers, connection: Scope, server_headers: Headers
    ) -> bytes | None:
        """The whole answer to whoever could not be served in time, counted as given; None for whoever goes the ordinary way.

        target: of a POST over HTTP/1.1 that keeps its connection. connection: `type`, `client`, `server` and `scheme`, as in a
        scope; it is kept.
        """
        route = self._paths.get(target)
        if route is None:
            return None
        started = time.perf_counter()
        try:
            self._lane.expect_one()
            return None
        except BanyanError as error:
            why = error
        scope = connection
        scope["headers"] = headers
        self._addresses.apply(scope)
        base_url = scope["banyan.base_url"] = self._public_url or base_url_of(scope)
        if not _is_plain(headers, base_url.encode()):
            return None
        if not self._limiter.take_at_once(f"address:{scope['banyan.address']}", self._address_rate):
            return None
        status, own, body = problem(why)
        answer = [*completed(own, scope), (b"content-length", b"%d" % len(body))]
        whole = in_one_piece(status, server_headers, answer, body)
        self._metrics.observe("POST", route, status, started)
        self._metrics.refused(why)
        return whole

    def _next(self) -> None:
        if not self._waiting:
            self._is_passing = False
            return
        asyncio.get_running_loop().call_soon(self._next)
        self._waiting.popleft()()


def _is_plain(headers: Headers, base_url: bytes) -> bool:
    """Whether the answer depends on nothing in the headers, and what follows them is short."""
    has_length = False
    for name, value in headers:
        if name == b"content-length":
            has_length = value.isdigit() and int(value) <= LARGEST_BODY
        elif name == b"origin":
            # Another site may read the answer only with the headers of CORS.
            if value != base_url:
                return False
        elif name == b"traceparent":
            if value[-2:] != b"00":
                return False  # it is recorded
        elif name in _UNUSUAL:
            return False
    return has_length
