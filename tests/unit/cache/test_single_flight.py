import asyncio

import pytest

from banyan.infra.cache.single_flight import SingleFlight


class Fetches:
    """A fetch that goes on only when it is told to, and counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()
        self.fails = False

    async def __call__(self) -> int:
        self.begun += 1
        await self.may_end.wait()
        if self.fails:
            raise ConnectionError("gone")
        return self.begun


async def test_many_at_once_share_one_fetch():
    flight, fetch = SingleFlight[int](), Fetches()
    callers = [asyncio.create_task(flight.do("list", fetch)) for _ in range(50)]
    await asyncio.sleep(0)
    fetch.may_end.set()
    assert await asyncio.gather(*callers) == [1] * 50
    assert fetch.begun == 1


async def test_whoever_comes_after_it_has_ended_fetches_anew():
    flight, fetch = SingleFlight[int](), Fetches()
    fetch.may_end.set()
    assert [await flight.do("list", fetch), await flight.do("list", fetch)] == [1, 2]


async def test_other_keys_do_not_share():
    flight, fetch = SingleFlight[int](), Fetches()
    fetch.may_end.set()
    await asyncio.gather(flight.do("list", fetch), flight.do("count", fetch))
    assert fetch.begun == 2


async def test_a_failure_reaches_all_and_is_not_kept():
    flight, fetch = SingleFlight[int](), Fetches()
    fetch.fails = True
    callers = [asyncio.create_task(flight.do("list", fetch)) for _ in range(3)]
    await asyncio.sleep(0)
    fetch.may_end.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(result, ConnectionError) for result in results)
    fetch.fails = False
    assert await flight.do("list", fetch) == 2


async def test_a_caller_that_goes_away_leaves_the_others_their_answer():
    flight, fetch = SingleFlight[int](), Fetches()
    first = asyncio.create_task(flight.do("list", fetch))
    second = asyncio.create_task(flight.do("list", fetch))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    fetch.may_end.set()
    assert await second == 1
