"""A fleet of stand-ins, run by the real supervisor: `python -m tests.support.standin_fleet` is a small `banyan fleet up`.

What the gateway is told lies in `fleet/endpoints.jsonl`, a line for each time.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from banyan.cli import fleet, fleet_up
from banyan.cli.problems import report
from banyan.fleet.folder import FleetFolder
from banyan.fleet.plan import Job, Plan, Planned, Stage
from banyan.fleet.ports import free_port
from banyan.fleet.probe import answers_ready
from banyan.fleet.servers.server import Server
from banyan.settings import Settings

STANDIN = Path(__file__).with_name("standin.py")
STOP_SECONDS = 1.0
TAKE_UP_SECONDS = 0.1


class RecordedEndpoints:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def publish(self, service: str, ports: Sequence[int]) -> None:
        # A gateway, too, takes its time.
        await asyncio.sleep(TAKE_UP_SECONDS)
        with self._path.open("a") as file:
            file.write(json.dumps({"at": time.time(), "service": service, "ports": list(ports)}) + "\n")


def make_plan(settings: Settings, folder: FleetFolder, replicas: Mapping[str, int]) -> Plan:
    def standin(name: str, service: str, replica: int, port: int, stage: Stage, where: Path) -> Planned:
        server = Server(
            name=name,
            argv=[sys.executable, "-S", "-E", str(STANDIN), str(port)],
            folder=where,
            is_ready=lambda: answers_ready(port),
            stop_seconds=STOP_SECONDS,
        )
        after = ("migrations",) if stage is Stage.SERVICES else ()
        tells = None if stage is Stage.SERVERS else port
        return Planned(server, stage, service, replica, port, after, metrics_port=tells)

    def service(name: str, replica: int, port: int) -> Planned:
        process = f"{name}-{replica}"
        return standin(process, name, replica, port, Stage.SERVICES, folder.of_service(process))

    database = standin("database", "database", 1, free_port(), Stage.SERVERS, folder.of_server("database"))
    port = settings.port or free_port()
    job = [
        sys.executable,
        "-S",
        "-c",
        "import pathlib; assert not pathlib.Path('fail').exists(), 'told to fail'",
    ]
    return Plan(
        url=f"http://127.0.0.1:{port}",
        servers=[database],
        jobs=[Job("migrations", job, folder.root / "migrations", {}, after=("database",))],
        replicas={"todos": 2, "relay": 1, **replicas},
        service=service,
        gateway=standin("envoy", "envoy", 1, port, Stage.GATEWAY, folder.of_server("gateway")),
        endpoints=RecordedEndpoints(folder.root / "endpoints.jsonl"),
        routed=frozenset({"todos"}),
        environment={"BANYAN_DATA_DIR": str(folder.data_dir), "BANYAN_REDIS_URL": "redis://it's"},
    )


if __name__ == "__main__":
    try:
        fleet_up.run(fleet.folder_of_settings(), {}, None, make_plan)
    except Exception as error:
        raise SystemExit(report(error)) from error
