"""The bus of a single process: published is delivered."""

import asyncio
from collections.abc import Sequence

from banyan.infra.streams.consumers import ConsumerRunner
from banyan.kernel.events import Event


class InProcessBus:
    """Delivers to each consumer before `publish` returns, so that the relay's bookmark never passes an event that a
    consumer has neither applied nor set aside."""

    def __init__(self, runners: Sequence[ConsumerRunner]) -> None:
        self._runners = runners

    async def prepare(self) -> None:
        """The consumers are always there; what they cannot take `publish` says."""

    async def publish(self, events: Sequence[Event]) -> None:
        results = await asyncio.gather(
            *(runner.deliver(events) for runner in self._runners), return_exceptions=True
        )
        for result in results:
            if isinstance(
                result, BaseException
            ):  # raised when all are done: nothing goes on behind the relay's back
                raise result
