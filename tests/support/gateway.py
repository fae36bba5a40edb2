"""A gateway of a test's own: a real Envoy, configured as `banyan gateway render` does, in front of given replicas."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.ports import free_ports
from tests.support.programs import missing
from tests.support.running import Running

from banyan.fleet.servers import envoy
from banyan.fleet.servers.server import MissingProgram
from banyan.gateway.plan import Address, Plan, Replicas
from banyan.gateway.render import write
from banyan.gateway.routes import RouteTable, route_table
from banyan.settings import Settings
from banyan.targets import MODULES


def everything_at(*ports: int) -> Replicas:
    """Replicas that each serve all modules, on these ports of 127.0.0.1."""
    return {module: tuple(Address("127.0.0.1", port) for port in ports) for module in MODULES}


class Gateway:
    """An Envoy in its folder. plan, table: what its files were made from; `change` makes them anew."""

    def __init__(self, folder: Path, plan: Plan, table: RouteTable) -> None:
        self.folder = folder
        self.plan = plan
        self.table = table
        self.url = f"{'https' if plan.certificate else 'http'}://127.0.0.1:{plan.listen.port}"
        self.running = Running(envoy.describe(folder, plan.admin_port, prepare=self._prepare, threads=1))

    def _prepare(self) -> None:
        self._write()

    def change(self, **changes: Any) -> list[str]:
        """Write the files for another plan; returns those that changed. Envoy takes them up a moment later."""
        self.plan = replace(self.plan, **changes)
        return self._write()

    def internal_url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.plan.internal_ports[service]}"

    def count(self, name: str) -> int:
        """One of Envoy's own counters."""
        _, text = envoy.ask(self.plan.admin_port, "GET", f"/stats?filter=^{name}$")
        return int(text.rpartition(":")[2] or 0)

    def access_log(self) -> Sequence[Mapping[str, Any]]:
        """What it has logged so far of requests."""
        lines = self.running.log_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _write(self) -> list[str]:
        return write(self.plan, self.table, self.folder)


@contextmanager
def gateway(
    folder: Path,
    replicas: Replicas,
    settings: Settings | None = None,
    *,
    internal: Sequence[str] = (),
    **changes: Any,
) -> Iterator[Gateway]:
    """A running gateway. changes: fields of its plan that are not as the settings say."""
    try:
        envoy.find_program()
    except MissingProgram as reason:
        missing(str(reason))
    settings = settings or Settings()  # pyright: ignore[reportCallIssue] - every field has a default
    port, admin_port, *internal_ports = free_ports(2 + len(internal))
    plan = Plan.of(
        settings,
        replicas=replicas,
        internal_ports=dict(zip(internal, internal_ports, strict=True)),
        admin_port=admin_port,
        port=port,
    )
    made = Gateway(folder, replace(plan, **changes), route_table(settings))
    with made.running:
        yield made
