"""The metrics of several processes that serve one address, on one page.

A scrape reaches any one of them. That one asks the others, over a loopback socket that each has for this alone, and
shows every sample with the label `worker`. So no value is lost or counted twice, each kind of metric keeps its meaning, and
a process that was started anew is a counter that was reset, as Prometheus knows it.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from pydantic_core import from_json, to_json

from banyan.infra.telemetry.metrics import Metrics

ANSWER_SECONDS = 1.0
UP = "banyan_worker_up"


def listen() -> socket.socket:
    """What a worker tells its metrics on: to this machine alone, on a port of its own."""
    return socket.create_server(("127.0.0.1", 0))


class MetricsExchange:
    """worker: our number. own: our listening socket. addresses: of every worker's, in the order of their numbers from 1."""

    def __init__(
        self, metrics: Metrics, worker: int, own: socket.socket, addresses: Sequence[tuple[str, int]]
    ) -> None:
        self._metrics = metrics
        self._worker = worker
        self._own = own
        self._addresses = addresses

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Tell and ask the others inside."""
        server = await asyncio.start_server(self._tell, sock=self._own)
        self._metrics.of_all = self._page
        try:
            yield
        finally:
            self._metrics.of_all = None
            server.close()

    async def _page(self) -> bytes:
        told = await asyncio.gather(
            *(self._ask(number, address) for number, address in enumerate(self._addresses, start=1))
        )
        together = CollectorRegistry(auto_describe=False)
        together.register(_Together(told))
        return generate_latest(together)

    async def _ask(self, worker: int, address: tuple[str, int]) -> bytes | None:
        """What a worker tells; None when it does not answer, as while it is started anew."""
        if worker == self._worker:
            return _written(await self._metrics.collected())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_connection(*address)
                try:
                    return await reader.read(-1) or None
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return None

    async def _tell(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_written(await self._metrics.collected()))
        writer.close()


class _Together(Collector):
    """Metrics as each worker told them, in the order of their numbers; None for one that did not."""

    def __init__(self, told: Sequence[bytes | None]) -> None:
        self._told = told

    def collect(self) -> Iterator[Metric]:
        up = Metric(UP, "1 when the worker has told its metrics for this page.", "gauge")
        families = {UP: up}
        for worker, text in enumerate(self._told, start=1):
            label = {"worker": str(worker)}
            up.add_sample(UP, label, 0 if text is None else 1)
            for name, documentation, kind, samples in () if text is None else from_json(text):
                family = families.setdefault(name, Metric(name, documentation, kind))
                for sample, labels, value in samples:
                    family.add_sample(sample, {**label, **labels}, float(value))
        yield from families.values()


def _written(metrics: Iterable[Metric]) -> bytes:
    # Values as text: infinity and NaN are no JSON.
    return to_json(
        [
            [
                metric.name,
                metric.documentation,
                metric.type,
                [[sample.name, sample.labels, repr(float(sample.value))] for sample in metric.samples],
            ]
            for metric in metrics
        ]
    )
