"""Routes as Envoy takes them: which request goes to which service, how long it may take, and when it is tried again.

A path that is spelled out is compared, one with parameters is matched by a regular expression; both with and without a
slash at the end. The first route that fits is taken, so what is spelled out comes first. What a path's methods differ in
(a token that is checked, a request that may be repeated) makes several routes of it; the last of them takes every other
method, so that the service itself says which methods the path has.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from banyan.gateway.plan import Plan
from banyan.gateway.routes import INTERNAL, Operation, Path, RouteTable
from banyan.infra.http.origins import CORS_EXPOSED, CORS_HEADERS, CORS_MAX_AGE_SECONDS, CORS_METHODS

REQUEST_TIMEOUT = "15s"
# A try that gives no sign of life for so long is given up for another replica, when the request may be repeated.
TRY_TIMEOUT = "5s"
# Streams say something every 15 to 20 s; one that says nothing for so long is dead.
STREAM_IDLE_TIMEOUT = "120s"
# The request reached nobody: anything may be sent again.
NOT_SENT = "connect-failure,refused-stream,reset-before-request"
# It may have reached somebody, and no answer came: only what has the same effect twice may be sent again. An answer is
# never asked for again, also not a 503: whoever gives it is alive, says when to come back, and has retried already.
NO_ANSWER = f"{NOT_SENT},reset"

# What is between the gateway and the services, or tells with what they are made.
HIDDEN_FROM_CLIENTS = (
    "server",
    "via",
    "x-envoy-upstream-service-time",
    "x-envoy-immediate-health-check-fail",
    "banyan-service-proof",
)

# As in the services' metrics.
UNMATCHED = "unmatched"
CHECK_TOKEN = "token"  # noqa: S105 - the name of a requirement
SAFE_METHODS = ("GET", "HEAD")

CORS = "envoy.filters.http.cors"
RATE_LIMIT = "envoy.filters.http.local_ratelimit"
TOKENS = "envoy.filters.http.jwt_authn"


def public_routes(plan: Plan, table: RouteTable) -> dict[str, Any]:
    """The `RouteConfiguration` of the gateway's own port."""
    routes = [_too_large(plan), _nothing_at({"path_separated_prefix": INTERNAL})]
    routes += [route for path in table.paths for route in _routes_of(path)]
    host: dict[str, Any] = {
        "name": "banyan",
        "domains": ["*"],
        "routes": [*routes, _nothing_at({"prefix": "/"})],
    }
    if plan.allowed_origins:
        host["typed_per_filter_config"] = {CORS: _cors_policy(plan)}
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "public",
        "virtual_hosts": [host],
        "response_headers_to_remove": list(HIDDEN_FROM_CLIENTS),
    }


def internal_routes(service: str) -> dict[str, Any]:
    """The `RouteConfiguration` of a service's internal port: everything goes to its replicas.

    Callers have time-outs, retries and breakers of their own (infra/resilience), so here only what never arrived is sent
    again, and never a request that a replica has seen: retries at two layers would multiply.
    """
    action = {
        "cluster": service,
        "timeout": REQUEST_TIMEOUT,
        "retry_policy": _retries(NOT_SENT),
    }
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": f"internal-{service}",
        "virtual_hosts": [
            {"name": service, "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": action}]}
        ],
    }


def _cors_policy(plan: Plan) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"exact": origin} for origin in plan.allowed_origins],
        "allow_methods": ", ".join(CORS_METHODS),
        "allow_headers": ", ".join(CORS_HEADERS),
        "expose_headers": ", ".join(CORS_EXPOSED),
        "max_age": str(CORS_MAX_AGE_SECONDS),
        "allow_credentials": True,
    }


def _too_large(plan: Plan) -> dict[str, Any]:
    """A body that says how large it is need not be received to be refused."""
    too_long = {"start": plan.max_body_bytes + 1, "end": 2**62}
    return {
        "name": "too-large",
        "match": {"prefix": "/", "headers": [{"name": "content-length", "range_match": too_long}]},
        "direct_response": {"status": 413},
    }


def _nothing_at(match: dict[str, Any]) -> dict[str, Any]:
    return {"name": UNMATCHED, "match": match, "direct_response": {"status": 404}}


def _routes_of(path: Path) -> Iterator[dict[str, Any]]:
    for place in _places(path):
        if path.streams:
            yield {
                "name": path.template,
                "match": place,
                "route": _stream_action(path),
                **_settings(path, check_token=True),
            }
            continue
        safe = [operation for operation in path.operations if operation.method in SAFE_METHODS]
        if safe:
            yield _route(path, _only(place, SAFE_METHODS), safe, NO_ANSWER)
        keyed = [operation for operation in path.operations if operation.repeatable]
        if keyed:
            match = _only(place, [operation.method for operation in keyed])
            match["headers"].append({"name": "idempotency-key", "present_match": True})
            yield _route(path, match, keyed, NO_ANSWER)
        others = [operation for operation in path.operations if operation.method not in SAFE_METHODS]
        yield from _unsafe_routes(path, place, others)


def _unsafe_routes(
    path: Path, place: dict[str, Any], operations: Sequence[Operation]
) -> Iterator[dict[str, Any]]:
    by_token = sorted(operations, key=lambda operation: operation.needs_token)
    groups = [list(group) for _, group in groupby(by_token, key=lambda operation: operation.needs_token)]
    for group in groups[:-1]:
        yield _route(path, _only(place, [operation.method for operation in group]), group, NOT_SENT)
    yield _route(path, place, groups[-1] if groups else [], NOT_SENT)


def _places(path: Path) -> list[dict[str, Any]]:
    if path.below:
        return [{"path_separated_prefix": path.template}]
    if not path.is_exact:
        return [{"safe_regex": {"regex": path.pattern + "/?"}}]
    if path.template == "/":
        return [{"path": "/"}]
    return [{"path": path.template}, {"path": path.template + "/"}]


def _only(place: dict[str, Any], methods: Sequence[str]) -> dict[str, Any]:
    match: dict[str, Any] = (
        {"exact": methods[0]} if len(methods) == 1 else {"safe_regex": {"regex": "|".join(methods)}}
    )
    return {**place, "headers": [{"name": ":method", "string_match": match}]}


def _route(
    path: Path, match: dict[str, Any], operations: Sequence[Operation], retry_on: str
) -> dict[str, Any]:
    check_token = bool(operations) and all(operation.needs_token for operation in operations)
    action = {"cluster": path.service, "timeout": REQUEST_TIMEOUT, "retry_policy": _retries(retry_on)}
    return {
        "name": path.template,
        "match": match,
        "route": action,
        **_settings(path, check_token=check_token),
    }


def _stream_action(path: Path) -> dict[str, Any]:
    return {
        "cluster": path.service,
        # Streams count apart, so that however many are open, ordinary requests find room.
        "priority": "HIGH",
        "timeout": "0s",
        "idle_timeout": STREAM_IDLE_TIMEOUT,
        "retry_policy": _retries(NOT_SENT),
        "upgrade_configs": [{"upgrade_type": "websocket"}],
    }


def _settings(path: Path, *, check_token: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if check_token:
        found[TOKENS] = {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
            "requirement_name": CHECK_TOKEN,
        }
    if path.unlimited:
        # Probes and scrapes come often, from one address, and must be answered whatever else goes on.
        found[RATE_LIMIT] = {
            "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
            "disabled": True,
        }
    return {"typed_per_filter_config": found} if found else {}


def _retries(retry_on: str) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "retry_on": retry_on,
        "num_retries": 2,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
        # Not the replica again that has just failed, while there is another one.
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        # The one that has just died has the fewest requests in hand and is chosen first, so it takes many looks.
        "host_selection_retry_max_attempts": "40",
    }
    if retry_on == NO_ANSWER:
        policy["per_try_timeout"] = TRY_TIMEOUT
    return policy
