"""Clusters: one for each service, with what keeps a sick replica from being asked and a sick service from being overrun."""

from collections.abc import Mapping, Sequence
from typing import Any

from banyan.gateway.plan import Address, Plan

# A replica that says 503 on /readyz gets no new request from then on; one that says nothing, after two tries.
HEALTH_INTERVAL = "0.5s"
HEALTH_TIMEOUT = "1s"
CONNECT_TIMEOUT = "1s"
# Less than the 75 s after which a service closes an idle connection: it must never close one that we are about to use.
IDLE_CONNECTION = "30s"
# Retries beside the first tries of a service, in per cent of them; few requests may always be tried again.
RETRY_PER_CENT = 20
RETRIES_ALWAYS = 64
# Requests that a service may have in hand, and those that wait for a connection to it.
MOST_REQUESTS = 2048
MOST_WAITING = 1024
MOST_STREAMS = 50_000


def endpoint_files(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """File → resources: the replicas of each service. Envoy takes a service's endpoints from a file of its own."""
    return {
        endpoint_file(service): [endpoints(service, addresses)]
        for service, addresses in plan.replicas.items()
        if not _are_names(addresses)
    }


def endpoint_file(service: str) -> str:
    return f"endpoints-{service}.yaml"


def cluster(service: str, addresses: Sequence[Address], source: Mapping[str, Any]) -> dict[str, Any]:
    """source: where Envoy finds the replicas (`ConfigSource`), when they are no names."""
    found = {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": service,
        "connect_timeout": CONNECT_TIMEOUT,
        "lb_policy": "LEAST_REQUEST",
        "common_lb_config": {
            # While no replica is ready all are asked: a service without its database still answers from its cache,
            # and says for itself what it cannot do.
            "healthy_panic_threshold": {"value": 1},
            # Envoy saves up such news for a second, for clusters of thousands. In that second a replica that is back gets
            # nothing, and one that is stopping gets requests.
            "update_merge_window": "0s",
        },
        # A replica that has left the list is let go of, whatever its health.
        "ignore_health_on_host_removal": True,
        "health_checks": [_health_check()],
        "outlier_detection": _outlier_detection(),
        "circuit_breakers": {
            "thresholds": [
                _breaker("DEFAULT", MOST_REQUESTS, MOST_WAITING),
                _breaker("HIGH", MOST_STREAMS, MOST_STREAMS),
            ]
        },
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 30, "keepalive_interval": 10}},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": IDLE_CONNECTION},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }
    if _are_names(addresses):
        # A name of several addresses is asked for again and again: each address is a replica.
        assignment = {key: value for key, value in endpoints(service, addresses).items() if key != "@type"}
        found |= {"type": "STRICT_DNS", "dns_refresh_rate": "2s", "load_assignment": assignment}
    else:
        found |= {"type": "EDS", "eds_cluster_config": {"service_name": service, "eds_config": dict(source)}}
    return found


def _are_names(addresses: Sequence[Address]) -> bool:
    return any(address.is_name for address in addresses)


def endpoints(service: str, addresses: Sequence[Address]) -> dict[str, Any]:
    """The replicas of a service, as Envoy's resource."""
    return {
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": service,
        "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": socket_address(*address)}} for address in addresses]}
        ],
    }


def _health_check() -> dict[str, Any]:
    return {
        "http_health_check": {"path": "/readyz"},
        "timeout": HEALTH_TIMEOUT,
        "interval": HEALTH_INTERVAL,
        "unhealthy_interval": HEALTH_INTERVAL,
        # Envoy's own default for a service that nobody asks is a minute.
        "no_traffic_interval": HEALTH_INTERVAL,
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
    }


def _outlier_detection() -> dict[str, Any]:
    """Leaves out a replica that says on `/readyz` that it is well, and then breaks every connection or answers nothing but
    503. When all of them do, half of them stay in, and soon the others are back."""
    return {
        # A connection that cannot be made, or that breaks or is silent after the request, counts as a 503. (Told apart from
        # the answers of the service, each connection that can be made would make up for one that breaks.)
        "consecutive_gateway_failure": 5,
        "enforcing_consecutive_gateway_failure": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_time": "10s",
        "max_ejection_percent": 50,
        # What the probe says has just been found to be untrue.
        "successful_active_health_check_uneject_host": False,
    }


def _breaker(priority: str, most: int, waiting: int) -> dict[str, Any]:
    return {
        "priority": priority,
        "max_connections": most,
        "max_requests": most,
        "max_pending_requests": waiting,
        "retry_budget": {
            "budget_percent": {"value": RETRY_PER_CENT},
            "min_retry_concurrency": RETRIES_ALWAYS,
        },
    }


def socket_address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
