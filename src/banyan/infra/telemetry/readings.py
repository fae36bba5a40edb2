"""Metrics that are read when somebody looks: a part keeps plain numbers, and pays nothing for being measured."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from banyan.infra.telemetry.log import get_logger

log = get_logger(__name__)

Kind = Literal["counter", "gauge", "histogram"]
# Less than what another process waits for our page (exchange.py).
ASK_SECONDS = 0.5


class Reading(NamedTuple):
    """One sample. labels: of a fixed number of values. suffix: `_bucket`, `_sum`, `_count` of a histogram."""

    value: float
    labels: Mapping[str, str] = {}
    suffix: str = ""


Read = Callable[[], Iterable[Reading]]
Ask = Callable[[], Awaitable[Mapping[str, Iterable[Reading]]]]


class _Family(NamedTuple):
    kind: Kind
    documentation: str
    reads: list[Read]


class Readings(Collector):
    """See the module. Several parts may tell samples of one metric, with labels of their own."""

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}
        self._asks: list[Ask] = []
        self._answers: dict[Ask, Mapping[str, Iterable[Reading]]] = {}

    def add(self, kind: Kind, name: str, documentation: str, read: Read) -> None:
        """name: of a counter with `_total`. Raises ValueError when it is known as something else."""
        if (kind == "counter") != name.endswith("_total"):
            raise ValueError(f"a counter, and nothing else, ends with _total: {name}")
        family = self._families.setdefault(name, _Family(kind, documentation, []))
        if family[:2] != (kind, documentation):
            raise ValueError(f"{name} is known as another metric")
        family.reads.append(read)

    def ask(self, gauges: Mapping[str, str], ask: Ask) -> None:
        """Gauges (name → documentation) for which a database or a broker has to be asked: before each page, all at once.

        Who does not answer in time has no samples on that page; what it said before is not repeated as if it were true.
        """
        self._asks.append(ask)
        for name, documentation in gauges.items():
            self.add("gauge", name, documentation, lambda name=name: self._answers.get(ask, {}).get(name, ()))

    async def refresh(self) -> None:
        """Ask; to be called before `collect`. Never raises, and takes at most ASK_SECONDS."""
        answers = await asyncio.gather(*(self._answer(ask) for ask in self._asks))
        self._answers = dict(zip(self._asks, answers, strict=True))

    def collect(self) -> Iterator[Metric]:
        for name, (kind, documentation, reads) in self._families.items():
            metric = Metric(name.removesuffix("_total"), documentation, kind)
            for read in reads:
                for reading in read():
                    metric.add_sample(name + reading.suffix, dict(reading.labels), float(reading.value))
            yield metric

    async def _answer(self, ask: Ask) -> Mapping[str, Iterable[Reading]]:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await ask()
        except Exception as error:
            log.debug("metric_not_known", error=type(error).__name__)
            return {}
