"""What a gateway is to stand in front of: the facts that its configuration is made from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from banyan.infra.resilience.rate_limit import Rate
from banyan.settings import Settings
from banyan.targets import MODULES

EVERY_SERVICE = "all"


class Address(NamedTuple):
    host: str
    port: int

    @property
    def is_name(self) -> bool:
        """Whether the host has to be looked up in the DNS."""
        try:
            ip_address(self.host)
        except ValueError:
            return True
        return False


Replicas = Mapping[str, tuple[Address, ...]]
"""service → where its replicas listen."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of the certificate (with its chain) and of its key. Envoy loads them again when they are replaced."""

    chain: Path
    key: Path


class Traces(NamedTuple):
    """endpoint: where spans are sent by OTLP over HTTP; `/v1/traces` is added. share: of the requests without a `traceparent`
    that are recorded, 0 to 1. environment: what the spans say that this is."""

    endpoint: str
    share: float
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """replicas: of every service; one process that serves everything stands there three times.

    internal_ports: service → the port on 127.0.0.1 at which the others call it; none where something else balances those
    calls. trusted_hops: proxies in front of this gateway, which have put the client's address into `X-Forwarded-For`.
    traces: None when none are recorded.
    metrics: where it tells its own, if anywhere.
    """

    listen: Address
    replicas: Replicas
    admin_port: int
    address_rate: Rate
    max_body_bytes: int
    internal_ports: Mapping[str, int] = field(default_factory=dict)
    allowed_origins: tuple[str, ...] = ()
    public_url: str | None = None
    trusted_hops: int = 0
    certificate: Certificate | None = None
    traces: Traces | None = None
    metrics: Address | None = None

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        replicas: Replicas | None = None,
        internal_ports: Mapping[str, int] | None = None,
        admin_port: int | None = None,
        port: int | None = None,
    ) -> "Plan":
        """As the settings say; what is given here wins over them. Raises ValueError with a sentence for the operator."""
        if replicas is None:
            replicas = parse_replicas(settings.gateway_replicas)
        if internal_ports is None:
            internal_ports = parse_ports(settings.gateway_internal)
        lost = [module for module in MODULES if not replicas.get(module)]
        if lost:
            raise ValueError(f"the gateway knows no address of {', '.join(lost)}")
        endpoint, share = settings.otlp_endpoint, settings.trace_sample
        chain, key = settings.gateway_certificate, settings.gateway_key
        if (chain is None) != (key is None):
            raise ValueError(
                "a certificate and its key belong together: BANYAN_GATEWAY_CERTIFICATE, BANYAN_GATEWAY_KEY"
            )
        return cls(
            listen=Address(settings.host, settings.port if port is None else port),
            replicas=replicas,
            admin_port=settings.gateway_admin_port if admin_port is None else admin_port,
            address_rate=Rate.parse(settings.rate_limit_address),
            max_body_bytes=settings.max_body_bytes,
            internal_ports=internal_ports,
            allowed_origins=settings.allowed_origins,
            public_url=settings.public_url,
            trusted_hops=settings.gateway_trusted_hops,
            certificate=Certificate(chain.resolve(), key.resolve()) if chain and key else None,
            traces=Traces(endpoint, share, settings.env) if endpoint else None,
            metrics=parse_address(settings.gateway_metrics) if settings.gateway_metrics else None,
        )

    @property
    def is_secure(self) -> bool:
        """Whether people reach it over HTTPS, here or at a proxy in front."""
        return self.certificate is not None or (self.public_url or "").startswith("https://")


def parse_replicas(texts: Iterable[str]) -> Replicas:
    """`users=HOST:PORT`, or `all=HOST:PORT` for a process that serves everything. Raises ValueError."""
    found: dict[str, tuple[Address, ...]] = {}
    for text in texts:
        service, equals, where = text.partition("=")
        host, colon, port = where.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not equals or not colon or not host or not port.isdigit() or "/" in where:
            raise ValueError(f"{text!r} is not SERVICE=HOST:PORT")
        for name in MODULES if service == EVERY_SERVICE else (_known(service),):
            found[name] = (*found.get(name, ()), Address(host, int(port)))
    for service, addresses in found.items():
        # Envoy keeps a list of addresses or asks the DNS, for one service never both.
        if len({address.is_name for address in addresses}) > 1:
            raise ValueError(f"the replicas of {service} are either all IP addresses or all names")
    return found


def parse_address(text: str) -> Address:
    """`HOST:PORT`, an IPv6 host in brackets. Raises ValueError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return Address(host, int(port))


def parse_ports(texts: Iterable[str]) -> dict[str, int]:
    """`users=9101` → {"users": 9101}. Raises ValueError."""
    found: dict[str, int] = {}
    for text in texts:
        service, _, port = text.partition("=")
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is not SERVICE=PORT")
        found[_known(service)] = int(port)
    return found


def _known(service: str) -> str:
    if service not in MODULES:
        raise ValueError(f"there is no service {service!r}; there are {', '.join(MODULES)}")
    return service
