"""Telling a running Envoy who serves: the file of a service's replicas is replaced, and Envoy asked until it has taken it up."""

import asyncio
import http.client
import json
import time
from collections.abc import Sequence
from pathlib import Path

from banyan.gateway.clusters import endpoint_file, endpoints
from banyan.gateway.plan import Address

TAKE_UP_SECONDS = 5.0
LOOK_SECONDS = 0.02
ASK_SECONDS = 1.0
LOOPBACK = "127.0.0.1"


class EnvoyEndpoints:
    """folder: where Envoy's configuration lies. admin_port: of its admin interface."""

    def __init__(self, folder: Path, admin_port: int) -> None:
        self._folder = folder
        self._admin_port = admin_port

    async def publish(self, service: str, ports: Sequence[int]) -> None:
        """Returns when Envoy uses these ports of a service and no others; at once while no Envoy runs."""
        await asyncio.to_thread(self._publish, service, set(ports))

    def _publish(self, service: str, ports: set[int]) -> None:
        self._write(service, ports)
        deadline = time.monotonic() + TAKE_UP_SECONDS
        while (used := self._used(service)) is not None and used != ports and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)

    def _write(self, service: str, ports: set[int]) -> None:
        """As a whole, by a rename: Envoy never reads half of it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        assignment = endpoints(service, [Address(LOOPBACK, port) for port in sorted(ports)])
        path = self._folder / endpoint_file(service)
        beside = path.with_suffix(".new")
        # JSON is YAML.
        beside.write_text(json.dumps({"resources": [assignment]}, indent=1), "utf-8")
        beside.replace(path)

    def _used(self, service: str) -> set[int] | None:
        """The ports that Envoy knows of a service; None when it does not answer."""
        connection = http.client.HTTPConnection(LOOPBACK, self._admin_port, timeout=ASK_SECONDS)
        try:
            connection.request("GET", "/clusters?format=json")
            found = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return {
            host["address"]["socket_address"]["port_value"]
            for cluster in found.get("cluster_statuses", [])
            if cluster["name"] == service
            for host in cluster.get("host_statuses", [])
        }
