"""Listeners: the gateway's own port, and one port on the loopback address for the calls to each service."""

from collections.abc import Mapping
from typing import Any

from banyan.gateway import traces
from banyan.gateway.access_log import access_log
from banyan.gateway.answers import local_replies
from banyan.gateway.clusters import socket_address
from banyan.gateway.filters import filters, header_hygiene, router
from banyan.gateway.plan import Plan

PUBLIC = "gateway"
CERTIFICATE = "certificate"
MAX_HEADERS_KIB = 32
CONNECTION_BUFFER_BYTES = 64 * 1024
# A request has so long to arrive, its headers so long; a connection may idle so long.
REQUEST_SECONDS = "60s"
HEADERS_SECONDS = "10s"
IDLE_SECONDS = "300s"
# After the last byte Envoy waits so long for the client to close first. A client that is still sending what was refused needs
# a moment to read why; a WebSocket's client waits for us meanwhile, whose session has just been ended.
CLOSE_SECONDS = "0.25s"
# Nothing moved in either direction; above the time-out of a request, so that that one is the first to end it.
STREAM_IDLE_SECONDS = "30s"

Source = Mapping[str, Any]


def public_listener(plan: Plan, *, issuer: str, routes: Source, certificate: Source) -> dict[str, Any]:
    """issuer: of the tokens. routes, certificate: where Envoy finds them (`ConfigSource`)."""
    manager = {
        **_manager(PUBLIC, "public", routes),
        "http_filters": filters(plan, issuer),
        "early_header_mutation_extensions": [header_hygiene(plan)],
        "local_reply_config": local_replies(plan),
        "access_log": [access_log()],
        "use_remote_address": True,
        "xff_num_trusted_hops": plan.trusted_hops,
        # One id from the client, through the access log and the services' logs, to the answer.
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "max_request_headers_kb": MAX_HEADERS_KIB,
        "request_timeout": REQUEST_SECONDS,
        "request_headers_timeout": HEADERS_SECONDS,
        "normalize_path": True,
        # `ab` and some probes speak it.
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        # Only the routes that stream switch it on.
        "upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}],
        "http2_protocol_options": {
            "max_concurrent_streams": 256,
            "initial_stream_window_size": 65_536,
            "initial_connection_window_size": 1_048_576,
            "allow_connect": True,
        },
        **(traces.tracing(plan.traces) if plan.traces is not None else {}),
    }
    chain: dict[str, Any] = {"filters": [_network_filter(manager)]}
    if plan.certificate is not None:
        chain["transport_socket"] = _tls(certificate)
    return {
        **_listener(PUBLIC, plan.listen.host, plan.listen.port),
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "filter_chains": [chain],
    }


def internal_listener(service: str, port: int, routes: Source) -> dict[str, Any]:
    """Plain balancing over the replicas of a service. It listens on the loopback address only."""
    manager = {
        **_manager(f"internal_{service}", f"internal-{service}", routes),
        "http_filters": [router()],
        # Headers go through as the calling service wrote them.
        "use_remote_address": False,
        "skip_xff_append": True,
        "generate_request_id": False,
    }
    return {
        **_listener(f"internal-{service}", "127.0.0.1", port),
        "filter_chains": [{"filters": [_network_filter(manager)]}],
    }


def certificate(plan: Plan) -> dict[str, Any]:
    """The TLS secret: Envoy loads the files again when one is moved into their folder."""
    assert plan.certificate is not None
    return {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": CERTIFICATE,
        "tls_certificate": {
            "certificate_chain": {"filename": str(plan.certificate.chain)},
            "private_key": {"filename": str(plan.certificate.key)},
            "watched_directory": {"path": str(plan.certificate.chain.parent)},
        },
    }


def _manager(prefix: str, route_config: str, routes: Source) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": prefix,
        # HTTP/1.1, and HTTP/2 by TLS's ALPN or by a client that knows beforehand.
        "codec_type": "AUTO",
        "rds": {"route_config_name": route_config, "config_source": dict(routes)},
        "server_header_transformation": "PASS_THROUGH",
        "stream_idle_timeout": STREAM_IDLE_SECONDS,
        "delayed_close_timeout": CLOSE_SECONDS,
        "common_http_protocol_options": {"idle_timeout": IDLE_SECONDS},
    }


def _listener(name: str, host: str, port: int) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": name,
        "address": socket_address(host, port),
    }


def _network_filter(manager: dict[str, Any]) -> dict[str, Any]:
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _tls(source: Source) -> dict[str, Any]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificate_sds_secret_configs": [{"name": CERTIFICATE, "sds_config": dict(source)}],
            },
        },
    }
