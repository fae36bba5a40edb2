"""Coalescing: what arrives while a batch is under way goes together in the next one.

There is no timer. An idle system runs a batch of one at once; a busy one pays the fixed price of a statement, a round
trip or an fsync once for many requests.

Where one thread does all the work (SQLite), a batch is handed over ahead: it waits in that thread's queue, and who is in
it is settled when its turn comes. So the thread goes from one batch to the next without asking the event loop, which may be busy.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import Context
from typing import Any, Generic, TypeVar, overload

from banyan.infra.telemetry.trace import UNRECORDED, is_recording, span
from banyan.kernel.errors import RetryLater, StorageFull, Unavailable

# Items of a batch that failed, tried each by itself: so few at a time, that they do not crowd each other, and everybody else, out
# of the database's connections.
ALONE_AT_ONCE = 4

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


Asker = asyncio.Future[Any] | _Callback[Any]


class _Batch(Sequence[Item]):
    """Items that go together. Which these are is settled by the first look, on whatever thread."""

    __slots__ = ("_entries", "_take")

    def __init__(self, take: Callable[[], list[tuple[Item, Asker]]]) -> None:
        self._take = take
        self._entries: list[tuple[Item, Asker]] | None = None

    @property
    def entries(self) -> list[tuple[Item, Asker]]:
        if self._entries is None:
            self._entries = self._take()
        return self._entries

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Item]:
        return iter([item for item, _ in self.entries])

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        return [item for item, _ in self.entries][index]


def _never() -> bool:
    return False


class Coalescer(Generic[Item, Result]):
    """Answers each item by way of a batch.

    run_batch: takes the items of a batch, returns as many results in their order; a result that is an exception is
    raised to its own caller alone. When `run_batch` itself raises, each item is tried alone, so that one bad item does
    not fail its neighbours; whatever it raises then is that item's own. Only what is no item's fault (the database does
    not answer, the disk is full) is raised to all at once: trying each alone would make the last wait for all others.
    It runs in a context of its own: a batch belongs to no request, and so to no request's trace.
    max_items: most items in one batch. max_waiting: most items that wait; one more raises Unavailable at once.
    ahead: whether, at the moment, a batch is handed over before the one in front of it has ended. What it holds is settled
    when `run_batch` first looks at it, which may be on another thread; until then whatever arrives goes along. It may hold
    nothing then. For a store that does one thing after another: elsewhere the batches would be small.
    """

    def __init__(
        self,
        run_batch: Callable[[Sequence[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        max_items: int = 256,
        max_waiting: int = 10_000,
        ahead: Callable[[], bool] = _never,
    ) -> None:
        self._run_batch = run_batch
        self._max_items = max_items
        self._max_waiting = max_waiting
        self._ahead = ahead
        self._waiting: deque[tuple[Item, Asker]] = deque()
        self._worker: asyncio.Task[None] | None = None
        # Handed over, and not looked at yet: what arrives now will be in one of these.
        self._open = False
        self._handed_over: set[asyncio.Task[None]] = set()

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

    def _enqueue(self, item: Item, asker: Asker) -> None:
        self._waiting.append((item, asker))
        if self._ahead():
            self._hand_over()
        elif self._worker is None:
            self._worker = asyncio.create_task(self._drain(), context=Context())

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch = _Batch(self._take)
                if batch:
                    await self._answer(batch)
        finally:
            self._worker = None
            # Only a worker that was cancelled leaves somebody waiting: nobody else would wake them.
            while self._waiting:
                self._waiting.popleft()[1].cancel()

    def _hand_over(self) -> None:
        """See to it that there is an open batch. An item is put into `_waiting` before this is asked, and `_take_open` closes
        the batch before it looks there: so an item that a batch just misses finds it closed, and gets the next one."""
        if self._open:
            return
        self._open = True
        task = asyncio.create_task(self._answer_open(), context=Context())
        self._handed_over.add(task)
        task.add_done_callback(self._handed_over.discard)

    async def _answer_open(self) -> None:
        await self._answer(_Batch(self._take_open))
        if self._waiting:  # more than one batch may hold
            self._hand_over()

    def _take_open(self) -> list[tuple[Item, Asker]]:
        self._open = False
        return self._take()

    def _take(self) -> list[tuple[Item, Asker]]:
        taken: list[tuple[Item, Asker]] = []
        waiting = self._waiting
        while waiting and len(taken) < self._max_items:
            entry = waiting.popleft()
            # A caller that went away before its batch began wants nothing done.
            if not entry[1].done():
                taken.append(entry)
        return taken

    async def _answer(self, batch: _Batch[Item]) -> None:
        try:
            results = await self._run_batch(batch)
            if len(results) != len(batch):
                raise RuntimeError("a batch must have as many results as items")
        except (RetryLater, StorageFull) as error:
            for _, future in batch.entries:
                _settle(future, error)
        except Exception as error:
            if len(batch) == 1:
                _settle(batch.entries[0][1], error)
            else:
                left = iter(batch.entries)
                try:
                    await asyncio.gather(*(self._answer_each(left) for _ in range(ALONE_AT_ONCE)))
                finally:
                    # Only a worker that was cancelled leaves somebody.
                    for _, future in left:
                        future.cancel()
        except BaseException:
            for _, future in batch.entries:
                future.cancel()
            raise
        else:
            for (_, future), result in zip(batch.entries, results, strict=True):
                _settle(future, result)

    async def _answer_each(self, entries: Iterator[tuple[Item, Asker]]) -> None:
        for entry in entries:
            await self._answer(_Batch(lambda entry=entry: [entry]))


def _settle(future: Asker, result: object) -> None:
    if future.done():  # its caller was cancelled; the work is done all the same
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
