"""Coalescing: what arrives while a batch is under way goes together in the next one.

There is no timer. An idle system runs a batch of one at once; a busy one pays the fixed price of a statement, a round
trip or an fsync once for many requests.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from banyan.infra.telemetry.trace import UNRECORDED, is_recording, span
from banyan.kernel.errors import RetryLater, StorageFull, Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Callback(Generic[Result]):
    """As much of a future as a batch asks of it."""

    __slots__ = ("_told",)

    def __init__(self, told: Callable[[Result | None], None]) -> None:
        self._told = told

    def done(self) -> bool:
        return False

    def set_result(self, result: Result) -> None:
        self._told(result)

    def set_exception(self, error: BaseException) -> None:
        self._told(None)

    def cancel(self) -> None:
        self._told(None)


class Coalescer(Generic[Item, Result]):
    """Answers each item by way of a batch.

    run_batch: takes the items of a batch, returns as many results in their order; a result that is an exception is
    raised to its own caller alone. When `run_batch` itself raises, each item is tried alone, so that one bad item does
    not fail its neighbours; whatever it raises then is that item's own. Only what is no item's fault (the database does
    not answer, the disk is full) is raised to all at once: trying each alone would make the last wait for all others.
    It runs in a context of its own: a batch belongs to no request, and so to no request's trace.
    max_items: most items in one batch. max_waiting: most items that wait; one more raises Unavailable at once.
    """

    def __init__(
        self,
        run_batch: Callable[[Sequence[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        max_items: int = 256,
        max_waiting: int = 10_000,
    ) -> None:
        self._run_batch = run_batch
        self._max_items = max_items
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[Item, asyncio.Future[Result] | _Callback[Result]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """The result for `item`. Raises what its batch raised for it, or Unavailable when too many wait."""
        if len(self._waiting) >= self._max_waiting:
            raise Unavailable("Too much is waiting for the database; try again shortly.")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._enqueue(item, future)
        with span("batch") if is_recording() else UNRECORDED:
            return await future

    def call_back(self, item: Item, told: Callable[[Result | None], None]) -> bool:
        """Like `submit`, without a coroutine that waits: `told` is called with the result, or with None when there is none.

        False when too many wait: it is not called then. It must not raise.
        """
        if len(self._waiting) >= self._max_waiting:
            return False
        self._enqueue(item, _Callback(told))
        return True

    def _enqueue(self, item: Item, asker: "asyncio.Future[Result] | _Callback[Result]") -> None:
        self._waiting.append((item, asker))
        if self._worker is None:
            self._worker = asyncio.create_task(self._drain(), context=Context())

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_items))]
                # A caller that went away before its batch began wants nothing done.
                batch = [entry for entry in batch if not entry[1].done()]
                if batch:
                    await self._answer(batch)
        finally:
            self._worker = None
            # Only a worker that was cancelled leaves somebody waiting: nobody else would wake them.
            while self._waiting:
                self._waiting.popleft()[1].cancel()

    async def _answer(self, batch: "list[tuple[Item, asyncio.Future[Result] | _Callback[Result]]]") -> None:
        try:
            results = await self._run_batch([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError("a batch must have as many results as items")
        except (RetryLater, StorageFull) as error:
            for _, future in batch:
                _settle(future, error)
        except Exception as error:
            if len(batch) == 1:
                _settle(batch[0][1], error)
            else:
                await asyncio.gather(*(self._answer([entry]) for entry in batch))
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        else:
            for (_, future), result in zip(batch, results, strict=True):
                _settle(future, result)


def _settle(future: "asyncio.Future[Result] | _Callback[Result]", result: Result | BaseException) -> None:
    if future.done():  # its caller was cancelled; the work is done all the same
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
