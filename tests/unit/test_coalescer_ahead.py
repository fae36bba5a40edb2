"""Batches that are handed over ahead: who is in one is settled when it is looked at."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from banyan.infra.db.coalescer import Coalescer
from banyan.kernel.errors import Unavailable


def always() -> bool:
    return True


class OneAfterAnother:
    """A store that does one batch after another, and looks at each when its turn has come: `next` lets it have one turn."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.handed_over = asyncio.Event()
        self._turns = asyncio.Semaphore(0)

    def next(self) -> None:
        self._turns.release()

    async def run(self, items: Sequence[int]) -> list[int]:
        self.handed_over.set()
        await self._turns.acquire()
        self.seen.append(list(items))
        return [item * 10 for item in items]


async def test_what_arrives_before_its_turn_goes_along():
    store = OneAfterAnother()
    coalescer = Coalescer(store.run, ahead=always)
    first = asyncio.create_task(coalescer.submit(1))
    await asyncio.wait_for(store.handed_over.wait(), 5)
    later = [asyncio.create_task(coalescer.submit(number)) for number in (2, 3)]
    await asyncio.sleep(0)
    store.next()
    assert await asyncio.wait_for(asyncio.gather(first, *later), 5) == [10, 20, 30]
    assert store.seen == [[1, 2, 3]]


async def test_the_next_batch_is_handed_over_while_one_is_under_way():
    looked_at, go = asyncio.Event(), asyncio.Event()
    seen: list[list[int]] = []

    async def run(items: Sequence[int]) -> list[int]:
        seen.append(list(items))
        looked_at.set()
        await go.wait()
        return list(items)

    coalescer = Coalescer(run, ahead=always)
    first = asyncio.create_task(coalescer.submit(1))
    await asyncio.wait_for(looked_at.wait(), 5)
    looked_at.clear()
    second = asyncio.create_task(coalescer.submit(2))
    await asyncio.wait_for(looked_at.wait(), 5)
    assert not first.done()
    go.set()
    assert await asyncio.gather(first, second) == [1, 2]
    assert seen == [[1], [2]]


async def test_what_one_batch_cannot_hold_goes_in_the_next():
    store = OneAfterAnother()
    coalescer = Coalescer(store.run, max_items=2, ahead=always)
    asked = [asyncio.create_task(coalescer.submit(number)) for number in range(5)]
    for _ in range(3):
        store.next()
    assert await asyncio.wait_for(asyncio.gather(*asked), 5) == [0, 10, 20, 30, 40]
    assert store.seen == [[0, 1], [2, 3], [4]]


async def test_who_left_before_the_turn_wants_nothing_done():
    store = OneAfterAnother()
    coalescer = Coalescer(store.run, ahead=always)
    gone, stays = (asyncio.create_task(coalescer.submit(number)) for number in (1, 2))
    await asyncio.wait_for(store.handed_over.wait(), 5)
    gone.cancel()
    await asyncio.sleep(0)
    store.next()
    assert await asyncio.wait_for(stays, 5) == 20
    assert store.seen == [[2]]


async def test_a_batch_that_is_refused_unseen_is_told_to_all_who_wait():
    calls = 0
    refuse = asyncio.Event()

    async def run(items: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        await refuse.wait()
        raise Unavailable()

    coalescer: Coalescer[int, int] = Coalescer(run, ahead=always)
    asked = [asyncio.create_task(coalescer.submit(number)) for number in range(5)]
    await asyncio.sleep(0)
    refuse.set()
    results = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
    assert [type(result) for result in results] == [Unavailable] * 5
    assert calls == 1


async def test_one_bad_item_fails_alone():
    async def run(items: Sequence[int]) -> list[int]:
        if 2 in items:
            raise ValueError("two is bad")
        return list(items)

    coalescer = Coalescer(run, ahead=always)
    asked = [coalescer.submit(item) for item in (1, 2, 3)]
    results = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
    assert [results[0], results[2]] == [1, 3]
    assert isinstance(results[1], ValueError)


async def test_it_follows_a_store_that_is_exchanged():
    store = OneAfterAnother()
    has_one_writer = True
    coalescer = Coalescer(store.run, ahead=lambda: has_one_writer)
    before = asyncio.create_task(coalescer.submit(1))
    await asyncio.wait_for(store.handed_over.wait(), 5)
    has_one_writer = False
    after = [asyncio.create_task(coalescer.submit(number)) for number in (2, 3)]
    await asyncio.sleep(0)
    for _ in range(3):
        store.next()
    assert await asyncio.wait_for(asyncio.gather(before, *after), 5) == [10, 20, 30]
    assert Counter(item for batch in store.seen for item in batch) == Counter((1, 2, 3))


async def test_what_a_batch_just_misses_need_not_wait_for_its_end():
    class Waiting(deque[Any]):
        """Lets an item arrive at the moment at which the batch has seen that there is no more."""

        def __bool__(self) -> bool:
            if len(self) or late:
                return len(self) > 0
            late.append(asyncio.get_running_loop().create_future())
            coalescer.call_back(2, late[0].set_result)
            return False

    late: list[asyncio.Future[int | None]] = []

    async def run(items: Sequence[int]) -> list[int]:
        found = list(items)
        if 1 in found:
            await late[0]
        return found

    coalescer = Coalescer(run, ahead=always)
    coalescer._waiting = Waiting()
    assert await asyncio.wait_for(coalescer.submit(1), 5) == 1
    assert await asyncio.wait_for(late[0], 5) == 2


@pytest.mark.parametrize("max_items", [3, 256])
async def test_looked_at_on_another_thread_each_item_is_in_one_batch(max_items: int):
    seen: list[int] = []
    with ThreadPoolExecutor(1) as thread:

        def work(items: Sequence[int]) -> list[int]:
            seen.extend(items)
            return list(items)

        async def run(items: Sequence[int]) -> list[int]:
            return await asyncio.get_running_loop().run_in_executor(thread, work, items)

        coalescer = Coalescer(run, max_items=max_items, ahead=always)

        async def one_by_one(start: int) -> None:
            for number in range(start, start + 50):
                assert await coalescer.submit(number) == number

        await asyncio.wait_for(asyncio.gather(*(one_by_one(start * 50) for start in range(20))), 20)
    assert Counter(seen) == Counter(range(1000))
