"""The short way: an answer that is at hand, given by the connection itself.

Of a cached list that has not changed, most of the price is how it is asked for: uvicorn makes a scope, a cycle, an event, two
timers and a task for each request, and the answer's position is awaited through five coroutines. None of it is needed to look
at a few headers and three dictionaries. So the connection (protocol.py) asks here first, from within the parser's callback:

    admit      a bodyless GET of a cached hot route, with a token that was verified before, for which an answer of any
               position lies here, within its rates? Then it is counted.
    tell       where is the user's stream? Known at once in the only process, called back after an MGET for all in Redis.
    complete   the answer of that position, if it is at hand: the whole of it, in bytes.

Whatever is not as plain goes the ordinary way, through the edge, as if nothing had happened; what was counted is not counted
again. So the short way never refuses anything, and knows of no errors. See docs/decisions/0021-the-short-way.md.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from banyan.infra.auth.principal import Principal
from banyan.infra.http.access import Gate
from banyan.infra.http.cached import CachedRoute
from banyan.infra.http.client import ClientAddress, base_url_of
from banyan.infra.http.every_answer import common, request_id_of
from banyan.infra.http.hot import Headers, LeanHandler
from banyan.infra.http.whole_answer import lines_of
from banyan.infra.resilience.rate_limit import Rate, RateLimiter
from banyan.infra.telemetry.metrics import HttpMetrics
from banyan.infra.telemetry.sampling import Sampler
from banyan.infra.telemetry.trace import Value, record_whole

COUNTED = "banyan.counted"
"""In the scope of a request that was counted against the rate of its address: its principal, when it was let in, too."""
STARTED = "banyan.started"
RECORDED = "banyan.recorded"
"""Whether a request is recorded as a trace, where that was decided before its span could be made."""

# Some 600 bytes each. Who has more people at once than that makes their heads anew.
KNOWN_HEADS = 8192

# What would have to be looked at: bodies, upgrades, other origins (CORS). `connection` is the parser's business.
_UNUSUAL = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"origin", b"range"})


class Asked:
    """A request on the short way.

    principal: None when it is not let in yet, and has to go on the ordinary way.
    """

    __slots__ = ("if_none_match", "is_recorded", "key", "principal", "route", "scope", "started")

    def __init__(
        self,
        route: tuple[str, CachedRoute[Any]],
        key: Hashable,
        principal: Principal | None,
        if_none_match: bytes | None,
        scope: Scope,
        started: float,
        is_recorded: bool,
    ) -> None:
        self.route = route
        self.key = key
        self.principal = principal
        self.if_none_match = if_none_match
        self.scope = scope
        self.started = started
        self.is_recorded = is_recorded

    def done_already(self) -> dict[str, Any]:
        """For the scope of the ordinary way."""
        return {COUNTED: self.principal, STARTED: self.started, RECORDED: self.is_recorded}


class ShortWay:
    """See the module. For one event loop; raises nothing that the ordinary way would not raise too."""

    def __init__(
        self,
        hot: Mapping[tuple[str, str], LeanHandler],
        *,
        gate: Gate,
        limiter: RateLimiter,
        address_rate: Rate,
        addresses: ClientAddress,
        public_url: str | None,
        metrics: HttpMetrics,
        sampler: Sampler | None = None,
    ) -> None:
        """sampler: of what is recorded as a trace, the same as on the ordinary way; None when nothing is."""
        self._routes = {
            path.encode(): (path.rstrip("/"), handler)
            for (method, path), handler in hot.items()
            if method == "GET" and isinstance(handler, CachedRoute)
        }
        self._gate = gate
        self._limiter = limiter
        self._address_rate = address_rate
        self._addresses = addresses
        self._public_url = public_url
        self._metrics = metrics
        self._sampler = sampler

    def admit(self, target: bytes, headers: Headers, connection: Scope) -> Asked | None:
        """The request, counted, if it may go the short way; None when nothing was done.

        target: of a GET over HTTP/1.1 that keeps its connection, as it stands in the request line. connection: `type`, `client`,
        `server` and `scheme`, as in a scope; it is kept.
        """
        path, _, query = target.partition(b"?")
        route = self._routes.get(path)
        if route is None:
            return None
        started = time.perf_counter()
        authorization = if_none_match = traceparent = None
        for name, value in headers:
            if name == b"authorization":
                authorization = value if authorization is None else authorization
            elif name == b"if-none-match":
                if_none_match = value if if_none_match is None else if_none_match
            elif name == b"traceparent":
                traceparent = value
                if value[-2:] != b"00":
                    return None
            elif name in _UNUSUAL:
                return None
        principal = None if authorization is None else self._gate.known(authorization)
        if principal is None:
            return None
        scope = connection
        scope["headers"] = headers
        self._addresses.apply(scope)
        base_url = scope["banyan.base_url"] = self._public_url or base_url_of(scope)
        key = route[1].key_of(query, base_url)
        if not route[1].answers.holds(principal.user_id, key):
            return None
        if not self._limiter.take_at_once(f"address:{scope['banyan.address']}", self._address_rate):
            return None
        admitted = principal if self._gate.count_at_once(principal) else None
        # What has a parent is not recorded by it, or would not be here.
        is_recorded = self._sampler is not None and traceparent is None and self._sampler.take()
        return Asked(route, key, admitted, if_none_match, scope, started, is_recorded)

    def tell(self, asked: Asked, told: Callable[[int | None], None]) -> bool:
        """Call `told` with the position of what was asked for, at once or later; False when it has to go the ordinary way."""
        principal = asked.principal
        return principal is not None and asked.route[1].answers.tell_position(principal.user_id, told)

    def complete(self, asked: Asked, position: int, server_headers: Headers) -> bytes | None:
        """The whole answer as of this position, counted as given; None when it has to go the ordinary way."""
        path, route = asked.route
        assert asked.principal is not None  # it was let in
        answer = route.answers.at_hand(asked.principal.user_id, asked.key, position, asked.if_none_match)
        if answer is None:
            return None
        head = _head(
            answer.status,
            tuple(answer.headers),
            len(answer.body),
            asked.scope["banyan.base_url"].startswith("https://"),
        )
        own = lines_of([*server_headers, (b"x-request-id", request_id_of(asked.scope))])
        if head is None or own is None:
            return None
        self._metrics.observe("GET", path, answer.status, asked.started)
        if asked.is_recorded:
            _record(asked, path, answer.status)
        return b"%b%b%b\r\n%b" % (STATUS_LINE[answer.status], own, head, answer.body)


def _record(asked: Asked, route: str, status: int) -> None:
    """The span that the ordinary way would make of it (traced.py): nothing else belongs to its trace."""
    attributes: dict[str, Value] = {
        "http.request.method": "GET",
        "url.scheme": asked.scope["scheme"],
        "network.protocol.version": "1.1",
        "http.response.status_code": status,
        "http.route": route,
        "url.path": route,
    }
    record_whole(f"GET {route}", "server", attributes, time.perf_counter() - asked.started)


@lru_cache(KNOWN_HEADS)
def _head(
    status: int, headers: tuple[tuple[bytes, bytes], ...], length: int, is_secure: bool
) -> bytes | None:
    """What is the same in an answer each time it is given; None when it cannot be sent."""
    fixed = common(list(headers), is_secure=is_secure)
    if status != 304:
        fixed.append((b"content-length", b"%d" % length))
    return lines_of(fixed)
