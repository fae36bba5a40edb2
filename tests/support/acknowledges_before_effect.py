"""The worker with a planted bug: a task is acknowledged when it is taken. The fault tests must see it."""

import asyncio
import sys
from collections.abc import Sequence

from tests.support.task_worker import main

from banyan.infra.tasks.protocol import Take, TakenTask, TaskBroker


class Early:
    """A broker whose tasks are settled before anybody has done them."""

    def __init__(self, broker: TaskBroker) -> None:
        self._broker = broker
        self._settling: set[asyncio.Task[None]] = set()

    def __getattr__(self, name: str) -> object:
        return getattr(self._broker, name)

    async def take(self, take: Take, *, at_once: int, stop: asyncio.Event) -> None:
        async def settle_and_take(taken: TakenTask) -> None:
            await taken.done()
            await asyncio.sleep(0.05)  # it is on the wire
            take(taken)

        def early(taken: TakenTask) -> None:
            settling = asyncio.create_task(settle_and_take(taken))
            self._settling.add(settling)
            settling.add_done_callback(self._settling.discard)

        await self._broker.take(early, at_once=at_once, stop=stop)


def arguments(given: Sequence[str]) -> tuple[str, str]:
    return given[1], given[2]


if __name__ == "__main__":
    asyncio.run(main(*arguments(sys.argv), wrap=Early))  # type: ignore[arg-type]
