"""The lane: whoever needs a password hash waits for a place, and is refused when it could not be done in time."""

import asyncio

import pytest
from fastapi import APIRouter

from banyan.infra.auth.hashing_pool import HashingPool, PasswordQueueFull
from banyan.infra.http.lane import Lane, lane_routes, needs_a_hash


class Late(Exception):
    pass


def lane(refuse=lambda before: None, places: int = 5, patience_seconds: float = 10) -> Lane:
    return Lane(frozenset(), refuse, places=places, patience_seconds=patience_seconds, late=Late)


async def test_who_is_before_a_request_is_counted() -> None:
    asked: list[int] = []

    def refuse(before: int) -> None:
        asked.append(before)
        if before >= 2:
            raise PasswordQueueFull()

    one_lane = lane(refuse, places=1)
    async with one_lane.inside():
        waits = asyncio.create_task(one_lane.inside().__aenter__())
        await asyncio.sleep(0)
        with pytest.raises(PasswordQueueFull):
            await one_lane.inside().__aenter__()
        waits.cancel()
        await asyncio.wait([waits])
    with pytest.raises(ZeroDivisionError):
        async with one_lane.inside():
            raise ZeroDivisionError
    async with one_lane.inside():
        pass
    assert asked == [0, 1, 2, 0, 0]


async def test_who_is_about_to_come_is_counted_until_the_next_turn() -> None:
    asked: list[int] = []
    one_lane = lane(asked.append)
    for _ in range(3):
        one_lane.expect_one()
    async with one_lane.inside():
        one_lane.expect_one()
        await asyncio.sleep(0)
        one_lane.expect_one()
    assert asked == [0, 1, 2, 0, 4, 1]


async def test_no_more_are_inside_than_there_are_places_and_the_first_to_come_is_the_next() -> None:
    one_lane, inside, order, most = lane(places=2), 0, [], 0

    async def request(number: int) -> None:
        nonlocal inside, most
        async with one_lane.inside():
            inside += 1
            most = max(most, inside)
            order.append(number)
            for _ in range(3):
                await asyncio.sleep(0)
            inside -= 1

    async with asyncio.timeout(5):
        await asyncio.gather(*(request(number) for number in range(9)))
    assert most == 2
    assert order == list(range(9))


async def test_who_has_waited_too_long_is_told_and_leaves_no_gap() -> None:
    one_lane = lane(places=1, patience_seconds=0.01)
    async with one_lane.inside():
        with pytest.raises(Late):
            await one_lane.inside().__aenter__()
    async with asyncio.timeout(5), one_lane.inside():
        pass


async def test_a_place_given_to_one_who_just_left_goes_to_the_next() -> None:
    one_lane = lane(places=1)
    holder, leaver, heir = (one_lane.inside() for _ in range(3))
    await holder.__aenter__()
    leaving, inheriting = (asyncio.create_task(one.__aenter__()) for one in (leaver, heir))
    await asyncio.sleep(0)
    await holder.__aexit__(None, None, None)
    leaving.cancel()
    async with asyncio.timeout(5):
        await inheriting
    assert leaving.cancelled()


async def test_the_pool_refuses_what_it_could_not_do_in_time() -> None:
    pool = HashingPool(threads=2, max_waiting=100, max_wait_seconds=0.5, first_estimate_seconds=0.1)
    try:
        # Two run, and seven wait: the eighth waits for four times 0.1 s, and needs another.
        for jobs in (0, 1, 2, 9):
            pool.refuse_beyond(jobs)
        with pytest.raises(PasswordQueueFull) as refused:
            pool.refuse_beyond(10)
        assert refused.value.retry_after_seconds is not None
    finally:
        pool.close()


def test_only_what_is_marked_takes_the_lane() -> None:
    router = APIRouter()

    @router.post("/login")
    @needs_a_hash
    async def log_in() -> None: ...

    @router.post("/logout")
    async def log_out() -> None: ...

    assert lane_routes(router.routes) == {("POST", "/login"), ("POST", "/login/")}
