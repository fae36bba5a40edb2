"""The files that Envoy runs by. A running Envoy takes up what changes in them without closing a connection.

envoy.yaml                where everything else is; read once, at the start
listeners.yaml            ports and what every request goes through
clusters.yaml             services
routes-public.yaml        which path goes to which service
routes-internal-….yaml    the ports by which services call each other
endpoints-….yaml          the replicas of each service
certificate.yaml          the files of the TLS certificate, when there is one
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from banyan.gateway import clusters, listeners, metrics, traces, virtual_hosts
from banyan.gateway.plan import Plan
from banyan.gateway.routes import RouteTable

BOOTSTRAP = "envoy.yaml"
LISTENERS = "listeners.yaml"
CLUSTERS = "clusters.yaml"
PUBLIC_ROUTES = "routes-public.yaml"
CERTIFICATE = "certificate.yaml"
HEADER = "# Made by `banyan gateway render`: change what it is made from, not this file.\n"
# What each of many idle connections costs is little; all of them together must leave room for those that work.
MOST_CONNECTIONS = 50_000


def write(plan: Plan, table: RouteTable, folder: Path, *, seen_as: Path | None = None) -> list[str]:
    """Bring the files in `folder` up to date; returns the names of those that changed, in the order they were replaced.

    Each is replaced whole, by a rename, so that Envoy never reads half of one. seen_as: the folder as Envoy sees it, when it
    is mounted somewhere else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = render(plan, table, seen_as or folder.resolve())
    return [name for name, text in files.items() if _replace(folder / name, text)]


def render(plan: Plan, table: RouteTable, folder: Path) -> dict[str, str]:
    """File → text, in an order in which each names only what the ones before it brought. folder: where Envoy sees them."""
    resources: dict[str, list[dict[str, Any]]] = dict(clusters.endpoint_files(plan))
    resources[CLUSTERS] = [
        clusters.cluster(service, addresses, _source(folder, clusters.endpoint_file(service)))
        for service, addresses in plan.replicas.items()
    ]
    if plan.traces is not None:
        resources[CLUSTERS].append(traces.cluster(plan.traces))
    if plan.metrics is not None:
        resources[CLUSTERS].append(metrics.cluster(plan))
    resources[PUBLIC_ROUTES] = [virtual_hosts.public_routes(plan, table)]
    for service in plan.internal_ports:
        resources[_internal_file(service)] = [virtual_hosts.internal_routes(service)]
    if plan.certificate is not None:
        resources[CERTIFICATE] = [listeners.certificate(plan)]
    resources[LISTENERS] = _listeners(plan, table, folder)
    texts = {name: _yaml({"resources": found}) for name, found in resources.items()}
    return {**texts, BOOTSTRAP: _yaml(_bootstrap(plan, folder))}


def _listeners(plan: Plan, table: RouteTable, folder: Path) -> list[dict[str, Any]]:
    public = listeners.public_listener(
        plan,
        issuer=table.issuer,
        routes=_source(folder, PUBLIC_ROUTES),
        certificate=_source(folder, CERTIFICATE),
    )
    internal = [
        listeners.internal_listener(service, port, _source(folder, _internal_file(service)))
        for service, port in plan.internal_ports.items()
    ]
    own = [metrics.listener(plan)] if plan.metrics is not None else []
    return [public, *internal, *own]


def _internal_file(service: str) -> str:
    return f"routes-internal-{service}.yaml"


def _bootstrap(plan: Plan, folder: Path) -> dict[str, Any]:
    return {
        "node": {"id": "gateway", "cluster": "banyan"},
        # It can stop the gateway and tell its whole configuration: for this machine alone.
        "admin": {"address": clusters.socket_address("127.0.0.1", plan.admin_port)},
        "dynamic_resources": {
            "cds_config": _source(folder, CLUSTERS),
            "lds_config": _source(folder, LISTENERS),
        },
        # Envoy's own limit is less than a path of three parameters needs. Our expressions are few and plain.
        "layered_runtime": {
            "layers": [
                {
                    "name": "static",
                    "static_layer": {"re2.max_program_size.error_level": 1000, **traces.RUNTIME},
                }
            ]
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": MOST_CONNECTIONS,
                    },
                }
            ]
        },
    }


def _source(folder: Path, name: str) -> dict[str, Any]:
    # The folder is watched, not the file: so it also works where a whole folder is exchanged, as Kubernetes does.
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": str(folder / name), "watched_directory": {"path": str(folder)}},
    }


def _yaml(document: dict[str, Any] | Sequence[Any]) -> str:
    return HEADER + yaml.dump(
        document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False
    )


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out: `&id001` helps nobody who reads it."""
        return True


def _replace(path: Path, text: str) -> bool:
    """Whether the file had another content."""
    try:
        if path.read_text("utf-8") == text:
            return False
    except FileNotFoundError:
        pass
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, "utf-8")
    fresh.replace(path)
    return True
