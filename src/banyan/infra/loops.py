"""Loops: the work that a process does beside answering requests."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from banyan.infra.telemetry.log import get_logger

log = get_logger(__name__)

FIRST_RESTART_SECONDS = 0.2
# A loop's work must go on soon after a fault has passed, and trying costs next to nothing.
SLOWEST_RESTART_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Loop:
    """A piece of work that goes on until it is told to stop.

    run: returns soon after `stop` is set. When it raises it is started again, later each time.
    turn: the same work for a process that does not stay (turns.py): a bounded piece of what is due now. Returns how much
    that was, 0 when nothing was left. None for what matters only to a process that stays.
    """

    name: str
    run: Callable[[asyncio.Event], Awaitable[None]]
    turn: Callable[[], Awaitable[int]] | None = None


class LoopRunner:
    """Runs loops, restarts those that fail, and stops them all."""

    def __init__(self, loops: Sequence[Loop]) -> None:
        self._loops = loops
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.failures: dict[str, int] = {}

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._keep(loop), name=loop.name) for loop in self._loops]

    async def stop(self, timeout_seconds: float = 5.0) -> None:
        """Tell all to stop and wait; what does not stop in time is cancelled."""
        self._stop.set()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout_seconds)
        for task in late:
            log.warning("loop_cancelled", loop=task.get_name())
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, loop: Loop) -> None:
        pause = FIRST_RESTART_SECONDS
        while not self._stop.is_set():
            started = asyncio.get_running_loop().time()
            try:
                await loop.run(self._stop)
                return
            except Exception as error:
                self.failures[loop.name] = self.failures.get(loop.name, 0) + 1
                log.error("loop_failed", loop=loop.name, error=type(error).__name__, exc_info=True)
            if asyncio.get_running_loop().time() - started > SLOWEST_RESTART_SECONDS:
                pause = FIRST_RESTART_SECONDS
            await wait_for(self._stop, pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, SLOWEST_RESTART_SECONDS)


async def wait_for(signal: asyncio.Event, seconds: float, *, stop: asyncio.Event | None = None) -> bool:
    """Wait until the signal (or `stop`, when given) is set, at most so long. True when one was set."""
    waits = [asyncio.ensure_future(one.wait()) for one in (signal, stop) if one is not None]
    try:
        done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for wait in waits:
            wait.cancel()
