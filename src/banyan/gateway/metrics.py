"""The gateway's own metrics: a port that answers `GET /metrics`, and nothing else of what Envoy's admin interface can do."""

from typing import Any
from urllib.parse import quote

from banyan.gateway.clusters import socket_address
from banyan.gateway.plan import Plan
from banyan.targets import MODULES

NAME = "metrics"
PATH = "/metrics"
# What dashboards and alerts may ask for, also before it was counted for the first time; the rest is twice as much again.
SHOWN = (
    r"^(http\.gateway\.(downstream_|rq_|jwt_)|address\.http_local_rate_limit"
    rf"|cluster\.({'|'.join(MODULES)})\.(upstream_|membership_|outlier_detection\.ejections_(active|enforced_)|health_check|circuit_breakers|retry_)"
    r"|listener\..*(overflow|cx_active)|server\.|overload\.)"
)
ASK_SECONDS = "5s"


def listener(plan: Plan) -> dict[str, Any]:
    """Only where the plan has an address for it."""
    assert plan.metrics is not None
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": NAME,
        "route_config": {
            "name": NAME,
            "virtual_hosts": [
                {
                    "name": NAME,
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {
                                "path": PATH,
                                "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
                            },
                            "route": {
                                "cluster": NAME,
                                "timeout": ASK_SECONDS,
                                "regex_rewrite": {
                                    "pattern": {"regex": "^.*$"},
                                    "substitution": f"/stats/prometheus?filter={quote(SHOWN, safe='')}",
                                },
                            },
                        }
                    ],
                }
            ],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
    }
    return {
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": NAME,
        "address": socket_address(*plan.metrics),
        # It is looked at when too many are connected, too.
        "ignore_global_conn_limit": True,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def cluster(plan: Plan) -> dict[str, Any]:
    """The admin interface of the same process."""
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": NAME,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": NAME,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": socket_address("127.0.0.1", plan.admin_port)}}]}
            ],
        },
    }
