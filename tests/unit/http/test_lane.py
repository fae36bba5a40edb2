"""The lane: whoever needs a password hash passes one by one, and is refused at the door when it could not be done in time."""

import asyncio
from itertools import pairwise

import pytest
from fastapi import APIRouter

from banyan.infra.auth.hashing_pool import HashingPool, PasswordQueueFull
from banyan.infra.http.lane import Lane, lane_routes, needs_a_hash


def lane(refuse=lambda inside: None) -> Lane:
    return Lane(frozenset(), refuse)


async def test_a_lone_request_passes_at_once() -> None:
    turns = []

    async def other() -> None:
        turns.append("other")

    task = asyncio.create_task(other())
    await lane().turn()
    turns.append("it")
    await task
    assert turns == ["it", "other"]


async def test_of_many_one_passes_in_a_turn_and_others_have_theirs_between() -> None:
    passed, one_lane, seen = 0, lane(), [0]

    async def request() -> None:
        nonlocal passed
        await one_lane.turn()
        passed += 1

    requests = [asyncio.create_task(request()) for _ in range(20)]
    while passed < 20:
        await asyncio.sleep(0)
        seen.append(passed)
    await asyncio.gather(*requests)
    assert all(after - before <= 1 for before, after in pairwise(seen))


async def test_one_that_left_while_it_waited_holds_up_nobody() -> None:
    one_lane = lane()
    requests = [asyncio.create_task(one_lane.turn()) for _ in range(5)]
    await asyncio.sleep(0)
    requests[2].cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*requests, return_exceptions=True)
        await one_lane.turn()


async def test_the_door_counts_who_is_inside() -> None:
    asked: list[int] = []

    def refuse(inside: int) -> None:
        asked.append(inside)
        if inside >= 2:
            raise PasswordQueueFull()

    one_lane = lane(refuse)
    with one_lane.inside(), one_lane.inside(), pytest.raises(PasswordQueueFull), one_lane.inside():
        pass
    with pytest.raises(ZeroDivisionError), one_lane.inside():
        raise ZeroDivisionError
    with one_lane.inside():
        pass
    assert asked == [0, 1, 2, 0, 0]


async def test_the_pool_refuses_what_it_could_not_do_in_time() -> None:
    pool = HashingPool(threads=2, max_waiting=100, max_wait_seconds=0.5, first_estimate_seconds=0.1)
    try:
        for jobs in (0, 1, 2, 11):  # two run, and nine wait: the tenth waits for five times 0.1 s
            pool.refuse_beyond(jobs)
        with pytest.raises(PasswordQueueFull) as refused:
            pool.refuse_beyond(12)
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
