"""The gateway's part in traces: a span of each recorded request, sent by OTLP over HTTP to where the services send theirs.

A `traceparent` of the client decides whether its request is recorded; of the requests without one a share is. What is decided
goes on to the services in the `traceparent` that they get, recorded or not, so that nobody decides anew.

Envoy describes a request by tags of its own. Those that tell of a person, or open something, are written over.
"""

from typing import Any
from urllib.parse import urlsplit

from banyan import __version__
from banyan.gateway.clusters import CONNECT_TIMEOUT, endpoints
from banyan.gateway.plan import Address, Traces

CLUSTER = "traces"
SERVICE = "banyan-gateway"
SEND_TIMEOUT = "3s"
# As the services send them (infra/telemetry/otlp.py); by itself Envoy sends five at a time.
RUNTIME = {
    "tracing.opentelemetry.flush_interval_ms": 1000,
    "tracing.opentelemetry.min_flush_spans": 512,
}
# The query may hold a ticket, a path without a route anything that somebody typed.
PRIVATE = ("http.url", "user_agent", "peer.address")
LEFT_OUT = "-"
# Where Debian, and so Envoy's own images, have the authorities that a receiver's certificate may be from.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"

_TYPES = "type.googleapis.com/"
_OPENTELEMETRY = "envoy.extensions.tracers.opentelemetry"


def tracing(traces: Traces) -> dict[str, Any]:
    """What the `HttpConnectionManager` of the public listener is told."""
    return {
        "tracing": {
            "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": _tracer(traces)},
            # There is one way to have a request recorded: a `traceparent` that says so.
            "client_sampling": {"value": 0},
            "operation": "%REQ(:METHOD)% %ROUTE_NAME%",
            "custom_tags": [
                {"tag": "http.route", "value": "%ROUTE_NAME%"},
                *({"tag": name, "literal": {"value": LEFT_OUT}} for name in PRIVATE),
            ],
        },
        # By itself Envoy decides by the digits of `X-Request-Id`, which are the client's, and changes one of them.
        "request_id_extension": {
            "typed_config": {
                "@type": _TYPES + "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                "pack_trace_reason": False,
                "use_request_id_for_trace_sampling": False,
            }
        },
    }


def cluster(traces: Traces) -> dict[str, Any]:
    """The receiver of traces."""
    place = urlsplit(traces.endpoint)
    is_secure = place.scheme == "https"
    host = place.hostname or ""
    address = Address(host, place.port or (443 if is_secure else 80))
    assignment = {key: value for key, value in endpoints(CLUSTER, [address]).items() if key != "@type"}
    found = {
        "@type": _TYPES + "envoy.config.cluster.v3.Cluster",
        "name": CLUSTER,
        "type": "STRICT_DNS" if address.is_name else "STATIC",
        "connect_timeout": CONNECT_TIMEOUT,
        "load_assignment": assignment,
    }
    return found | {"transport_socket": _tls(host)} if is_secure else found


def _tracer(traces: Traces) -> dict[str, Any]:
    resource = {
        "service.namespace": "banyan",
        "service.version": __version__,
        "deployment.environment.name": traces.environment,
    }
    return {
        "@type": _TYPES + "envoy.config.trace.v3.OpenTelemetryConfig",
        "service_name": SERVICE,
        "http_service": {
            "http_uri": {
                "uri": f"{traces.endpoint}/v1/traces",
                "cluster": CLUSTER,
                "timeout": SEND_TIMEOUT,
            }
        },
        "resource_detectors": [
            _extension(
                "resource_detectors.static_config",
                "resource_detectors.v3.StaticConfigResourceDetectorConfig",
                attributes=resource,
            )
        ],
        "sampler": _extension(
            "samplers.parent_based",
            "samplers.v3.ParentBasedSamplerConfig",
            wrapped_sampler=_extension(
                "samplers.trace_id_ratio_based",
                "samplers.v3.TraceIdRatioBasedSamplerConfig",
                sampling_percentage={"numerator": round(traces.share * 1_000_000), "denominator": "MILLION"},
            ),
        ),
    }


def _extension(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    typed = {"@type": f"{_TYPES}{_OPENTELEMETRY}.{kind}", **settings}
    return {"name": f"envoy.tracers.opentelemetry.{name}", "typed_config": typed}


def _tls(host: str) -> dict[str, Any]:
    named = [{"san_type": "DNS", "matcher": {"exact": host}}]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": _TYPES + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": host,
            "common_tls_context": {
                "validation_context": {
                    "trusted_ca": {"filename": AUTHORITIES},
                    "match_typed_subject_alt_names": named,
                }
            },
        },
    }
