"""The gateway's access log: a JSON line for each request on standard output, with the field names of ECS, as the services' logs.

Addresses, user agents and query strings (which may hold tickets) are not in it.
"""

from typing import Any

from banyan import __version__
from banyan.gateway.traces import SERVICE
from banyan.infra.telemetry.log import ECS_VERSION


def access_log() -> dict[str, Any]:
    """Envoy's `AccessLog`. `trace.id` and `span.id` are there when traces are on; facts without a field in ECS go below `banyan`."""
    fields = {
        "@timestamp": "%START_TIME(%Y-%m-%dT%H:%M:%S.%6fZ)%",
        "log.level": "info",
        "message": "request",
        "event.action": "request",
        "ecs.version": ECS_VERSION,
        "service.name": SERVICE,
        "service.version": __version__,
        "event.duration": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:ns)%",
        "http.request.id": "%REQ(X-REQUEST-ID)%",
        "http.request.method": "%REQ(:METHOD)%",
        "http.request.body.bytes": "%BYTES_RECEIVED%",
        "http.response.status_code": "%RESPONSE_CODE%",
        "http.response.body.bytes": "%BYTES_SENT%",
        "url.path": "%PATH(NQ:PATH)%",
        "trace.id": "%TRACE_ID%",
        "span.id": "%SPAN_ID%",
        "banyan.route": "%ROUTE_NAME%",
        "banyan.protocol": "%PROTOCOL%",
        "banyan.flags": "%RESPONSE_FLAGS%",
        "banyan.details": "%RESPONSE_CODE_DETAILS%",
        "banyan.service_milliseconds": "%RESPONSE_DURATION%",
        "banyan.tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "banyan.service": "%UPSTREAM_CLUSTER%",
        "banyan.replica": "%UPSTREAM_HOST%",
        "banyan.traceparent": "%REQ(TRACEPARENT)%",
    }
    return {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": fields, "omit_empty_values": True},
        },
    }
