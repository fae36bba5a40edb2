"""Receivers: what one of them does, or fails to do, is not felt by the others.

Each has a few places. When they are taken, the next one waits as long as the receiver answers, and is refused at once
when it has not for a while (bulkhead). One that does not answer several times in a row is left alone for a growing while
(circuit breaker). All of this is known to one process; the others find out by themselves.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from banyan.infra.outbound.errors import NotReached
from banyan.infra.resilience.breaker import Breaker, CircuitOpen

MOST_AT_ONCE = 4
# Without an answer for so long, a receiver whose places are all taken is one that hangs.
STALLED_SECONDS = 2.0
FAILURES_IN_A_ROW = 3
LONGEST_PAUSE_SECONDS = 30.0
# Receivers that are remembered; those that nobody sends to are forgotten, the longest unused first.
MOST_REMEMBERED = 10_000


class Receiver:
    def __init__(self, most_at_once: int, stalled_seconds: float) -> None:
        self._places = asyncio.Semaphore(most_at_once)
        self._stalled_seconds = stalled_seconds
        self._answered_at = 0.0
        self.in_use = 0
        self.breaker = Breaker(
            "The receiver",
            most_in_a_row=FAILURES_IN_A_ROW,
            longest_pause=LONGEST_PAUSE_SECONDS,
            # Only its own time-out speaks against it: whoever is cancelled by a shutdown does not.
            patience_seconds=float("inf"),
        )

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of its places. Raises NotReached when it hangs, or is to be left alone."""
        if self.breaker.state == "open":
            raise NotReached("ReceiverDown")
        if self.in_use == 1:
            # The first of a burst: until now it has had nothing to answer.
            self._answered_at = time.monotonic()
        while True:
            patience = self._answered_at + self._stalled_seconds - time.monotonic()
            if self._places.locked() and patience <= 0:
                raise NotReached("ReceiverBusy")
            try:
                async with asyncio.timeout(max(patience, 0.001)):
                    await self._places.acquire()
                break
            except TimeoutError:
                continue  # it may have answered others meanwhile
        try:
            yield
        finally:
            self._answered_at = time.monotonic()
            self._places.release()


class Receivers:
    def __init__(self, most_at_once: int = MOST_AT_ONCE, stalled_seconds: float = STALLED_SECONDS) -> None:
        self._most_at_once = most_at_once
        self._stalled_seconds = stalled_seconds
        self._known: OrderedDict[str, Receiver] = OrderedDict()

    @asynccontextmanager
    async def admitted(self, name: str) -> AsyncIterator[None]:
        """Do something with the receiver `name` inside. Raises NotReached when it is to be left alone.

        NotReached and TimeoutError that are raised inside speak against it.
        """
        receiver = self._known.setdefault(name, Receiver(self._most_at_once, self._stalled_seconds))
        self._known.move_to_end(name)
        receiver.in_use += 1
        try:
            async with receiver.place():
                try:
                    ticket = receiver.breaker.admit()
                except CircuitOpen:
                    raise NotReached("ReceiverDown") from None
                try:
                    yield
                except (NotReached, TimeoutError):
                    receiver.breaker.failed(ticket)
                    raise
                except BaseException:
                    receiver.breaker.abandoned(ticket)
                    raise
                receiver.breaker.succeeded(ticket)
        finally:
            receiver.in_use -= 1
            self._forget_unused()

    def _forget_unused(self) -> None:
        while len(self._known) > MOST_REMEMBERED:
            unused = next((name for name, one in self._known.items() if one.in_use == 0), None)
            if unused is None:
                return
            del self._known[unused]
