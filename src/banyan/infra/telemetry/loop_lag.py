"""How late the event loop is: everything in the process waits so long for its turn."""

import asyncio

from banyan.infra.loops import Loop, wait_for
from banyan.infra.telemetry.counted import Sizes

# Four wake-ups a second cost nothing that can be measured, and a minute has enough of them for a p99 to be seen.
INTERVAL_SECONDS = 0.25
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class LoopLag:
    def __init__(self) -> None:
        self.seconds = Sizes(BUCKETS)

    def loop(self) -> Loop:
        return Loop("loop-lag", self._watch)

    async def _watch(self, stop: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        while not stop.is_set():
            due = clock() + INTERVAL_SECONDS
            await wait_for(stop, INTERVAL_SECONDS)
            if not stop.is_set():
                self.seconds.observe(max(0.0, clock() - due))
