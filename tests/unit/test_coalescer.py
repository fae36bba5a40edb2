"""Coalescing: together when busy, at once when idle, and each with an answer of its own."""

import asyncio
from collections.abc import Sequence

import pytest

from banyan.infra.db.coalescer import ALONE_AT_ONCE, Coalescer
from banyan.infra.telemetry.trace import continue_trace, current_traceparent
from banyan.kernel.errors import StorageFull, Unavailable

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


class Batches:
    """A batch function that records what it was given, and waits for `go` when it is told to."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.go = asyncio.Event()
        self.go.set()
        self.started = asyncio.Event()

    async def run(self, items: Sequence[int]) -> list[int]:
        self.seen.append(list(items))
        self.started.set()
        await self.go.wait()
        return [item * 10 for item in items]


async def test_an_idle_one_runs_at_once_and_alone():
    batches = Batches()
    assert await Coalescer(batches.run).submit(1) == 10
    assert batches.seen == [[1]]


async def test_what_arrives_meanwhile_goes_together():
    batches = Batches()
    batches.go.clear()
    coalescer = Coalescer(batches.run, max_items=3)
    first = asyncio.create_task(coalescer.submit(0))
    await batches.started.wait()
    others = [asyncio.create_task(coalescer.submit(number)) for number in range(1, 6)]
    await asyncio.sleep(0)
    batches.go.set()
    assert await asyncio.gather(first, *others) == [0, 10, 20, 30, 40, 50]
    assert batches.seen == [[0], [1, 2, 3], [4, 5]]


async def test_a_result_that_is_an_error_is_raised_to_its_caller_alone():
    async def run(items: Sequence[int]) -> list[int | BaseException]:
        return [ValueError(item) if item == 2 else item for item in items]

    coalescer: Coalescer[int, int] = Coalescer(run)
    results = await asyncio.gather(*(coalescer.submit(item) for item in (1, 2, 3)), return_exceptions=True)
    assert [results[0], results[2]] == [1, 3]
    assert isinstance(results[1], ValueError)


async def test_one_bad_item_fails_alone_and_its_neighbours_succeed():
    calls: list[list[int]] = []

    async def run(items: Sequence[int]) -> list[int]:
        calls.append(list(items))
        if 2 in items:
            raise ValueError("two is bad")
        return list(items)

    coalescer = Coalescer(run)
    results = await asyncio.gather(*(coalescer.submit(item) for item in (1, 2, 3)), return_exceptions=True)
    assert [results[0], results[2]] == [1, 3]
    assert isinstance(results[1], ValueError)
    assert calls == [[1, 2, 3], [1], [2], [3]]


async def test_those_that_are_tried_alone_are_a_few_at_a_time():
    running, most = 0, 0

    async def run(items: Sequence[int]) -> list[int]:
        nonlocal running, most
        if len(items) > 1:
            raise ValueError("one of them is bad")
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return list(items)

    coalescer = Coalescer(run)
    assert await asyncio.gather(*(coalescer.submit(item) for item in range(50))) == list(range(50))
    assert most == ALONE_AT_ONCE


async def test_a_worker_that_is_cancelled_while_it_tries_each_alone_leaves_nobody_waiting():
    begun = asyncio.Event()

    async def run(items: Sequence[int]) -> list[int]:
        if len(items) > 1:
            raise ValueError("one of them is bad")
        begun.set()
        return await asyncio.get_running_loop().create_future()

    coalescer = Coalescer(run)
    asking = [asyncio.create_task(coalescer.submit(number)) for number in range(50)]
    await begun.wait()
    assert coalescer._worker is not None
    coalescer._worker.cancel()
    results = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 5)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)


@pytest.mark.parametrize("error", [Unavailable(), StorageFull()])
async def test_what_is_nobodys_fault_is_told_to_all_without_trying_each(error: Exception):
    calls = 0

    async def run(items: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        raise error

    coalescer = Coalescer(run)
    results = await asyncio.gather(*(coalescer.submit(item) for item in range(50)), return_exceptions=True)
    assert results == [error] * 50
    assert calls == 1


async def test_a_batch_function_that_loses_results_leaves_nobody_waiting():
    async def run(items: Sequence[int]) -> list[int]:
        return []

    coalescer = Coalescer(run)
    results = await asyncio.wait_for(
        asyncio.gather(*(coalescer.submit(item) for item in range(3)), return_exceptions=True), 5
    )
    assert all(isinstance(result, RuntimeError) for result in results)


async def test_a_caller_that_left_before_its_batch_wants_nothing_done():
    batches = Batches()
    batches.go.clear()
    coalescer = Coalescer(batches.run)
    first = asyncio.create_task(coalescer.submit(0))
    await batches.started.wait()
    gone, stays = (asyncio.create_task(coalescer.submit(number)) for number in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    batches.go.set()
    assert await asyncio.gather(first, stays) == [0, 20]
    assert batches.seen == [[0], [2]]


async def test_a_caller_that_leaves_during_its_batch_does_not_stop_it():
    batches = Batches()
    batches.go.clear()
    coalescer = Coalescer(batches.run)
    gone = asyncio.create_task(coalescer.submit(0))
    await batches.started.wait()
    gone.cancel()
    behind = asyncio.create_task(coalescer.submit(1))
    await asyncio.sleep(0)
    batches.go.set()
    assert await asyncio.wait_for(behind, 5) == 10


async def test_too_many_waiting_are_refused_at_once():
    batches = Batches()
    batches.go.clear()
    coalescer = Coalescer(batches.run, max_waiting=1)
    first = asyncio.create_task(coalescer.submit(0))
    await batches.started.wait()
    second = asyncio.create_task(coalescer.submit(1))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await coalescer.submit(2)
    batches.go.set()
    assert await asyncio.gather(first, second) == [0, 10]


async def test_a_cancelled_worker_cancels_those_who_wait_for_it():
    batches = Batches()
    batches.go.clear()
    coalescer = Coalescer(batches.run)
    first = asyncio.create_task(coalescer.submit(0))
    await batches.started.wait()
    second = asyncio.create_task(coalescer.submit(1))
    await asyncio.sleep(0)
    assert coalescer._worker is not None
    coalescer._worker.cancel()
    await asyncio.wait_for(asyncio.gather(first, second, return_exceptions=True), 5)
    assert first.cancelled()
    assert second.cancelled()
    batches.go.set()
    assert await coalescer.submit(2) == 20


async def test_a_batch_belongs_to_no_requests_trace():
    traces: list[str | None] = []

    async def run(items: Sequence[int]) -> list[int]:
        traces.append(current_traceparent())
        return list(items)

    continue_trace(TRACE)
    try:
        await Coalescer(run).submit(1)
    finally:
        continue_trace(None)
    assert traces == [None]


async def test_who_is_called_back_shares_the_batches_of_those_who_wait():
    batches = Batches()
    batches.go.clear()
    coalescer = Coalescer(batches.run, max_waiting=2)
    first = asyncio.create_task(coalescer.submit(0))
    await batches.started.wait()
    told: list[int | None] = []
    assert coalescer.call_back(1, told.append)
    second = asyncio.create_task(coalescer.submit(2))
    await asyncio.sleep(0)
    assert not coalescer.call_back(3, told.append), "too many wait"
    batches.go.set()
    assert [await first, await second] == [0, 20]
    assert told == [10]
    assert batches.seen == [[0], [1, 2]]


async def test_who_is_called_back_is_told_that_there_is_no_result():
    async def run(items: Sequence[int]) -> list[int]:
        raise ValueError("no")

    told: asyncio.Queue[int | None] = asyncio.Queue()
    assert Coalescer(run).call_back(1, told.put_nowait)
    assert await told.get() is None
