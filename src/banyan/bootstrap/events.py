"""Events: how they get from the databases of a process to consumers, here or in other processes."""

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from banyan.bootstrap import meters
from banyan.infra.bus.in_process import InProcessBus
from banyan.infra.bus.protocol import Bus
from banyan.infra.db.shards import Shards
from banyan.infra.loops import Loop
from banyan.infra.streams.consumers import ConsumerRunner
from banyan.infra.streams.live import LiveHub
from banyan.infra.telemetry.metrics import Metrics
from banyan.kernel.clock import Clock
from banyan.settings import Settings, SettingsError
from banyan.targets import MODULES, Target


@dataclass(frozen=True, slots=True)
class Delivery:
    """buses: for the relay of each database, in order. loops: what carries events to consumers and live streams."""

    buses: Sequence[Bus]
    loops: Sequence[Loop]


def delivery(
    settings: Settings,
    target: Target,
    databases: Sequence[Shards],
    runners: Sequence[ConsumerRunner],
    live: LiveHub,
    clock: Clock,
    metrics: Metrics,
) -> Delivery:
    """Through Kafka when its servers are set, else in the process, which then must be everything. Raises SettingsError."""
    if not settings.kafka_servers:
        if not target.relays:
            raise SettingsError(
                "BANYAN_KAFKA_SERVERS is missing: a service hears through Kafka of what happens in the others"
            )
        return Delivery([InProcessBus(runners) for _ in databases] if target.relays else [], [])
    # Imported here: its driver is an extra.
    from banyan.infra.bus.kafka.broadcast import KafkaBroadcast
    from banyan.infra.bus.kafka.bus import KafkaBus
    from banyan.infra.bus.kafka.consumers import KafkaConsumers

    servers = settings.kafka_servers
    tls = ssl.create_default_context() if settings.kafka_tls else None
    buses = (
        [KafkaBus(servers, shards, clock, MODULES, tls=tls) for shards in databases] if target.relays else []
    )
    loops = [bus.loop() for bus in buses]
    consumers = KafkaConsumers(servers, runners, clock, tls=tls)
    loops += consumers.loops()
    for group in consumers.groups:
        meters.consumer_lag(metrics, group.name, group.lag)
    elsewhere = _elsewhere(target)
    if elsewhere:
        loops.append(KafkaBroadcast(servers, elsewhere, live.deliver, tls=tls).loop())
    return Delivery(buses, loops)


def _elsewhere(target: Target) -> Iterable[str]:
    """The streams that are told live here, and whose commits this process does not hear of."""
    return [name for name in MODULES if name not in target.modules] if target.live else []
