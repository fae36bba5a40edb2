"""Threads for work that is slow on purpose, with a queue that sheds what could not be answered in time."""

import asyncio
import contextlib
import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from banyan.kernel.errors import Unavailable

T = TypeVar("T")

# Below the event loop (0) on the machine's scheduler: when the cores are short, logins get slower, not everything else.
_NICENESS = 10
# How much the newest job counts in the estimate of how long a job takes. When the machine gets busy the estimate must follow at
# once, or too many are let in; when it gets quiet again there is time.
_WEIGHT_OF_SLOWER = 0.4
_WEIGHT_OF_QUICKER = 0.2


class PasswordQueueFull(Unavailable):
    code = "password_queue_full"
    detail = "Too many people are logging in at this moment; try again shortly."


class HashingPool:
    """At most `threads` jobs at once, at most `max_waiting` behind them, and none waits longer than `max_wait_seconds`.

    A job that would be done later than that, its own time included, by the running average of the last ones, is refused at once with
    PasswordQueueFull (load shedding: an early no is worth more than a late yes to someone who has left). First come, first served.
    A caller that is cancelled while its job runs leaves the job to finish; the thread counts as busy until then.
    Belongs to one event loop; `close` ends the threads.
    """

    def __init__(
        self,
        *,
        threads: int = 2,
        max_waiting: int = 64,
        max_wait_seconds: float = 0.7,
        first_estimate_seconds: float = 0.05,
    ) -> None:
        """max_wait_seconds: what a login needs besides its hash should find room in what it leaves of the second within which one is
        answered."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="passwords", initializer=_be_nice)
        self._free = threads
        self._threads = threads
        self._max_waiting = max_waiting
        self._max_wait_seconds = max_wait_seconds
        self._seconds_per_job = first_estimate_seconds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    @property
    def max_wait_seconds(self) -> float:
        return self._max_wait_seconds

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def threads(self) -> int:
        return self._threads

    @property
    def running(self) -> int:
        return self._threads - self._free

    async def run(self, job: Callable[[], T]) -> T:
        """The result of `job`, from one of the threads. Raises PasswordQueueFull, and whatever the job raises."""
        await self._acquire()
        if self._closed:
            self._release()
            raise _refusal(self._max_wait_seconds)
        future = asyncio.get_running_loop().run_in_executor(self._executor, _timed, job)
        future.add_done_callback(self._finished)
        seconds, result = await asyncio.shield(future)
        weight = _WEIGHT_OF_SLOWER if seconds > self._seconds_per_job else _WEIGHT_OF_QUICKER
        self._seconds_per_job += weight * (seconds - self._seconds_per_job)
        return result

    def close(self) -> None:
        """End the threads once their present jobs are done, without waiting; who still queues is refused."""
        self._closed = True
        self._executor.shutdown(wait=False)

    def refuse_beyond(self, jobs: int) -> None:
        """Raise PasswordQueueFull when a job with so many before it, running ones included, would be done too late.

        For whoever wants to know before the work that comes before the hash.
        """
        if jobs >= self._threads:
            self._refuse(jobs - self._threads)

    def late(self) -> PasswordQueueFull:
        """What is raised when the estimate was wrong and somebody has waited for too long."""
        return _refusal(self._max_wait_seconds)

    def _refuse(self, waiting: int) -> None:
        expected = (waiting + 1) * self._seconds_per_job / self._threads
        if waiting >= self._max_waiting or expected + self._seconds_per_job > self._max_wait_seconds:
            raise _refusal(expected)

    async def _acquire(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        self._refuse(len(self._waiting))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            # The estimate may have been wrong; the promise to the client holds all the same.
            async with asyncio.timeout(self._max_wait_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._release()  # The turn came in the very moment of giving up: pass it on.
            else:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise _refusal(self._max_wait_seconds) from error
            raise

    def _finished(self, future: asyncio.Future[tuple[float, T]]) -> None:
        self._release()
        if not future.cancelled():
            future.exception()  # Seen: the caller may be gone, and nobody else will ask.

    def _release(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def _timed(job: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = job()
    return time.perf_counter() - started, result


def _refusal(expected_seconds: float) -> PasswordQueueFull:
    # Spread out, so that those who were refused together do not come back together.
    return PasswordQueueFull(retry_after_seconds=round(max(1.0, expected_seconds) * random.uniform(1, 3), 1))


def _be_nice() -> None:
    # On Linux a thread has a niceness of its own; elsewhere this would slow the whole process.
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
