"""How long a producer leaves a queue alone that does not take what it has."""

import asyncio
import random
import time

from banyan.infra.loops import wait_for

FIRST_SECONDS = 0.2
# After an outage, however long, what waited is put within this and the next look.
LONGEST_SECONDS = 5.0


class Backoff:
    """Growing pauses with jitter while the queue refuses; none while it takes."""

    def __init__(self) -> None:
        self._pause_seconds = 0.0
        self._until = 0.0

    @property
    def seconds_left(self) -> float:
        """How long still to wait; 0 when the queue may be asked."""
        return max(0.0, self._until - time.monotonic())

    def refused(self) -> None:
        self._pause_seconds = min(max(self._pause_seconds * 2, FIRST_SECONDS), LONGEST_SECONDS)
        self._until = time.monotonic() + self._pause_seconds * random.uniform(0.75, 1.0)

    def taken(self) -> None:
        self._pause_seconds = self._until = 0.0

    async def wait(self, stop: asyncio.Event) -> None:
        """Return when the queue may be asked again, or at `stop`."""
        if self.seconds_left:
            await wait_for(stop, self.seconds_left)
