"""The plan of Banyan's own fleet: its servers, its services and the gateway in front of them."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from banyan.fleet.folder import FleetFolder
from banyan.fleet.gateway_endpoints import EnvoyEndpoints
from banyan.fleet.plan import Job, Plan, Planned, Stage
from banyan.fleet.ports import free_port
from banyan.fleet.probe import answers_ready
from banyan.fleet.servers import envoy, kafka, postgresql, rabbitmq, valkey
from banyan.fleet.servers.password import kept_password
from banyan.fleet.servers.server import MissingProgram, Server
from banyan.settings import Settings
from banyan.targets import MODULES

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
# How many processes of each service there are, unless `--replicas` says otherwise.
REPLICAS = {"users": 1, "todos": 2, "notifications": 1, "relay": 1, "worker": 1}
# Those that the gateway sends requests to; the others answer for their own health alone.
ROUTED = frozenset(MODULES)
# Not the gateway, through which they call each other: it begins beside them. RabbitMQ takes its time; what is to be done through it waits in the databases.
BEFORE_SERVICES = ("migrate", "valkey", "kafka")
# All processes together stay below PostgreSQL's `max_connections`, with replicas to come.
POOL_SIZE = 20
# Beyond what a service has to finish what it has in hand (BANYAN_SHUTDOWN_TIMEOUT); a worker then gives back what it has not.
STOP_MARGIN_SECONDS = 7.0


class MissingPrograms(Exception):
    """What this machine lacks; the text has a line for each."""


class UnknownService(Exception):
    """A number of replicas was given for what is no service."""


@dataclass(frozen=True, slots=True)
class _Addresses:
    """Where the servers of this run answer."""

    databases: Mapping[str, str]
    redis: str
    kafka: str
    amqp: str
    internal: Mapping[str, int]


def make_plan(settings: Settings, folder: FleetFolder, replicas: Mapping[str, int]) -> Plan:
    """The whole fleet. replicas: other numbers than the usual ones.

    A server whose address the settings name (`BANYAN_REDIS_URL`, …) is used where it is, and none is started. Only secrets are
    written. Raises MissingPrograms with all that is missing, UnknownService.
    """
    unknown = sorted(set(replicas) - set(REPLICAS))
    if unknown:
        raise UnknownService(f"there is no service {unknown[0]}; there are {', '.join(REPLICAS)}")
    ports: set[int] = set()
    servers = _Servers(folder, ports)
    addresses = _Addresses(
        databases=servers.databases(settings),
        redis=servers.redis(settings),
        kafka=servers.kafka(settings),
        amqp=servers.amqp(settings),
        internal={module: free_port(ports) for module in MODULES},
    )
    port = settings.port or free_port(ports)
    admin_port, metrics_port = free_port(ports), free_port(ports)
    gateway_folder = folder.of_server("gateway")
    gateway = servers.found(lambda: envoy.describe(gateway_folder, admin_port))
    if servers.missing:
        raise MissingPrograms("\n".join(servers.missing))
    assert gateway is not None
    host = LOOPBACK if settings.host in EVERY_ADDRESS else settings.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    common = _common(settings, folder, addresses, url)
    everywhere = {**common, **_all_databases(addresses), "BANYAN_DATA_DIR": str(folder.data_dir)}
    gateway_settings = {
        **everywhere,
        "BANYAN_HOST": settings.host,
        "BANYAN_PORT": str(port),
        "BANYAN_GATEWAY_ADMIN_PORT": str(admin_port),
        "BANYAN_GATEWAY_METRICS": f"{LOOPBACK}:{metrics_port}",
        "BANYAN_GATEWAY_INTERNAL": ",".join(f"{name}={port}" for name, port in addresses.internal.items()),
        # Nobody answers there: the supervisor writes the real ones into the same files before Envoy reads them.
        "BANYAN_GATEWAY_REPLICAS": f"all={LOOPBACK}:1",
    }
    return Plan(
        url=url,
        servers=servers.planned,
        jobs=[
            Job("migrate", _banyan("migrate"), folder.root, everywhere, after=("postgresql",)),
            Job(
                "routes",
                _banyan("gateway", "render", "--out", str(gateway_folder)),
                folder.root,
                gateway_settings,
            ),
        ],
        replicas={**REPLICAS, **replicas},
        service=lambda name, number, port: _service(settings, folder, addresses, common, name, number, port),
        gateway=Planned(
            gateway, Stage.GATEWAY, "envoy", 1, port, after=("routes",), metrics_port=metrics_port
        ),
        endpoints=EnvoyEndpoints(gateway_folder, admin_port),
        routed=ROUTED,
        environment=everywhere,
    )


class _Servers:
    """The servers to start, and those that cannot be: all of them are looked for before anything is said."""

    def __init__(self, folder: FleetFolder, ports: set[int]) -> None:
        self.planned: list[Planned] = []
        self.missing: list[str] = []
        self._folder = folder
        self._ports = ports

    def databases(self, settings: Settings) -> dict[str, str]:
        named = {
            module: getattr(settings, f"{module}_database_url") or settings.database_url for module in MODULES
        }
        given = {module: url.get_secret_value() for module, url in named.items() if url is not None}
        if len(given) == len(MODULES):
            return given
        names = {module: f"banyan_{module}" for module in MODULES}
        where, port = self._place("postgresql")
        self._add(port, lambda: postgresql.describe(where, port, list(names.values())))
        return {module: postgresql.url(where, port, name) for module, name in names.items()}

    def redis(self, settings: Settings) -> str:
        if settings.redis_url is not None:
            return settings.redis_url.get_secret_value()
        where, port = self._place("valkey")
        self._add(port, lambda: valkey.describe(where, port))
        return f"redis://{LOOPBACK}:{port}/0"

    def kafka(self, settings: Settings) -> str:
        if settings.kafka_servers:
            return ",".join(settings.kafka_servers)
        where, port = self._place("kafka")
        self._add(port, lambda: kafka.describe(where, port))
        return f"{LOOPBACK}:{port}"

    def amqp(self, settings: Settings) -> str:
        if settings.amqp_url is not None:
            return settings.amqp_url.get_secret_value()
        where, port = self._place("rabbitmq")
        password = kept_password(where)
        self._add(port, lambda: rabbitmq.describe(where, port, password=password))
        return rabbitmq.url(port, password=password)

    def found(self, describe: Callable[[], Server]) -> Server | None:
        try:
            return describe()
        except MissingProgram as error:
            self.missing.append(str(error))
            return None

    def _place(self, name: str) -> tuple[Path, int]:
        return self._folder.of_server(name), free_port(self._ports)

    def _add(self, port: int, describe: Callable[[], Server]) -> None:
        server = self.found(describe)
        if server is not None:
            self.planned.append(Planned(server, Stage.SERVERS, server.name, 1, port))


def _common(settings: Settings, folder: FleetFolder, addresses: _Addresses, url: str) -> dict[str, str]:
    """What every process of ours is told: the operator's own settings, and what the fleet decides."""
    secret = settings.secret_key or SecretStr(settings.secret())
    given = {name: value for name, value in os.environ.items() if name.startswith("BANYAN_")}
    return {
        "BANYAN_DATABASE_POOL_SIZE": str(POOL_SIZE),
        # Whoever is told to end has left the gateway's list before.
        "BANYAN_DRAIN_DELAY": "0",
        # Links in mails lead to the gateway.
        "BANYAN_PUBLIC_URL": url,
        **given,
        "BANYAN_SECRET_KEY": secret.get_secret_value(),
        "BANYAN_REDIS_URL": addresses.redis,
        "BANYAN_KAFKA_SERVERS": addresses.kafka,
        "BANYAN_AMQP_URL": addresses.amqp,
        **{
            f"BANYAN_{name.upper()}_URL": f"http://{LOOPBACK}:{port}"
            for name, port in addresses.internal.items()
        },
    }


def _all_databases(addresses: _Addresses) -> dict[str, str]:
    return {f"BANYAN_{module.upper()}_DATABASE_URL": url for module, url in addresses.databases.items()}


def _service(
    settings: Settings,
    folder: FleetFolder,
    addresses: _Addresses,
    common: Mapping[str, str],
    name: str,
    number: int,
    port: int,
) -> Planned:
    process = f"{name}-{number}"
    where = folder.of_service(process)
    # A service knows its own database and no other; a worker asks the services.
    databases: Mapping[str, str] = {}
    if name in addresses.databases:
        databases = {"BANYAN_DATABASE_URL": addresses.databases[name]}
    elif name == "relay":
        databases = _all_databases(addresses)
    server = Server(
        name=process,
        argv=_banyan("worker") if name == "worker" else _banyan("serve", name),
        folder=where,
        is_ready=lambda: answers_ready(port),
        prepare=lambda: _share_mails(where, folder.mails),
        environment={
            **common,
            **databases,
            "BANYAN_HOST": LOOPBACK,
            "BANYAN_PORT": str(port),
            "BANYAN_DATA_DIR": str(where),
            # The gateway, which tells who a client is.
            "BANYAN_TRUSTED_PROXIES": LOOPBACK,
            "BANYAN_LOG_FORMAT": "json",
        },
        stop_seconds=settings.drain_seconds + settings.shutdown_timeout.total_seconds() + STOP_MARGIN_SECONDS,
    )
    return Planned(server, Stage.SERVICES, name, number, port, after=BEFORE_SERVICES, metrics_port=port)


def _share_mails(folder: Path, mails: Path) -> None:
    """Every process keeps its mails in its own data folder; here those are one, which `banyan mail` reads."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    link = folder / "mail"
    if not link.exists():
        link.symlink_to(mails, target_is_directory=True)


def _banyan(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", "banyan", *arguments]
