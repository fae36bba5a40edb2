"""Kafka over TLS, as `BANYAN_KAFKA_TLS` asks for it: a real broker behind a proxy that speaks nothing else."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError
from tests.support.buses import STREAMS, Publisher, until
from tests.support.certificates import make_certificate
from tests.support.databases import opened_shards
from tests.support.kafka import Broker
from tests.support.server import settings_of
from tests.support.tcp_proxy import TcpProxy

from banyan.bootstrap.events import Delivery, delivery
from banyan.fleet.ports import free_port
from banyan.infra.bus.kafka.bus import KafkaBus
from banyan.infra.bus.kafka.session import BrokerSession
from banyan.infra.db.shards import Shards
from banyan.infra.db.transaction import Transaction
from banyan.infra.loops import LoopRunner
from banyan.infra.streams.consumers import Consumer, ConsumerRunner
from banyan.infra.streams.live import LiveHub
from banyan.infra.streams.log import EventLog
from banyan.infra.telemetry.metrics import Metrics
from banyan.kernel.clock import SystemClock
from banyan.kernel.events import Event, NewEvent
from banyan.targets import TARGETS

CLOCK = SystemClock()
LOG = EventLog("todos", CLOCK)


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[Shards]:
    async with opened_shards(tmp_path) as opened:
        yield opened


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """The certificate of the broker, which nobody trusts by himself."""
    return make_certificate(tmp_path).chain


@pytest.fixture
def address(tmp_path: Path, authority: Path) -> Iterator[str]:
    """Where the broker is reached, by TLS alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, tmp_path / "key.pem")
    port = free_port()
    with (
        TcpProxy(port, tls=context) as proxy,
        Broker(tmp_path / "kafka", port=port, advertised_port=proxy.port),
    ):
        yield f"127.0.0.1:{proxy.port}"


class Listener(LiveHub):
    """Remembers what it would have told live."""

    def __init__(self) -> None:
        super().__init__({})
        self.told: list[int] = []

    def deliver(self, events: Sequence[Event]) -> None:
        self.told.extend(event.position for event in events)


async def test_relay_consumers_and_live_updates_speak_tls(
    shards: Shards, address: str, authority: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    settings = settings_of({"BANYAN_KAFKA_SERVERS": address, "BANYAN_KAFKA_TLS": "true"})
    applied: list[int] = []

    async def apply(_tx: Transaction, event: Event) -> None:
        applied.append(event.position)

    consumer = Consumer("recorder", frozenset({"todos"}), apply, frozenset({"Happened"}))
    live = Listener()

    def parts(target: str, runners: list[ConsumerRunner]) -> Delivery:
        return delivery(settings, TARGETS[target], [shards], runners, live, CLOCK, Metrics())

    relay = parts("relay", [])
    service = parts("notifications", [ConsumerRunner(consumer, shards, CLOCK)])
    loops = LoopRunner([*relay.loops, *service.loops])
    loops.start()
    publisher = Publisher(relay.buses[0])
    number = 0

    async def one_more() -> None:
        nonlocal number
        await shards.transact("ada", LOG.append, "ada", [NewEvent("Happened", "s", {})])
        await publisher.publish(await shards.read("ada", LOG.read, "ada", after=number, limit=1))
        number += 1

    async def heard() -> None:
        # Live updates begin with what comes after they are connected, and nobody tells when that is.
        while not live.told:
            await one_more()
            await asyncio.sleep(0.1)

    await asyncio.wait_for(heard(), 20)
    await until(lambda: applied == list(range(1, number + 1)), "every event, in order")
    await loops.stop()
    assert loops.failures == {}


async def test_a_broker_that_nobody_vouches_for_gets_nothing(shards: Shards, address: str):
    bus = KafkaBus([address], shards, CLOCK, STREAMS, tls=ssl.create_default_context())
    with pytest.raises(Exception, match="does not answer") as refused:
        await bus.open()
    assert "CERTIFICATE_VERIFY_FAILED" in repr(refused.value.__cause__)


async def test_without_the_setting_the_broker_is_spoken_to_in_the_clear(address: str):
    # Which one that speaks TLS takes for nonsense.
    with pytest.raises((KafkaConnectionError, OSError, TimeoutError)):
        await BrokerSession.open([address], ["todo-events"])
