"""The circuit breaker: it opens, refuses at once, lets one probe through and closes."""

import asyncio
import random
import time

import pytest

from banyan.infra.resilience.breaker import Breaker, CircuitOpen
from banyan.kernel.errors import NotFound


class World:
    """A clock, a dependency that is well or not, and a breaker in front of it."""

    def __init__(self, **options: float) -> None:
        self.now = 100.0
        self.is_well = True
        self.calls = 0
        self.breaker = Breaker(
            "Dependency",
            monotonic=lambda: self.now,
            chance=random.Random(7),
            **options,  # type: ignore[arg-type]
        )

    async def dependency(self) -> str:
        self.calls += 1
        if not self.is_well:
            raise OSError("refused")
        return "fine"

    async def call(self) -> str:
        try:
            return await self.breaker.run(self.dependency)
        except CircuitOpen:
            return "open"
        except OSError:
            return "failed"

    async def open(self) -> None:
        self.is_well = False
        for _ in range(50):
            if await self.call() == "open":
                return
        raise AssertionError("it does not open")


async def test_failures_in_a_row_open_it():
    world = World(most_in_a_row=5)
    world.is_well = False
    assert [await world.call() for _ in range(7)] == ["failed"] * 5 + ["open"] * 2
    assert (world.calls, world.breaker.times_opened, world.breaker.refused) == (5, 1, 2)
    assert world.breaker.state == "open"


async def test_a_success_between_failures_keeps_it_closed():
    world = World(most_in_a_row=5, least_calls=1000)
    for number in range(100):
        world.is_well = number % 5 == 4
        assert await world.call() != "open"


async def test_a_share_of_failures_opens_it():
    world = World(most_in_a_row=1000, most_share=0.5, least_calls=20)
    answers = []
    for number in range(30):
        world.is_well = number % 2 == 0
        answers.append(await world.call())
    assert answers.index("open") == 20


async def test_failures_of_a_former_window_are_forgotten():
    world = World(most_in_a_row=1000, least_calls=20, window_seconds=10)
    for number in range(100):
        world.is_well = number % 2 == 0
        world.now += 0.6  # at most 17 calls in one window
        assert await world.call() != "open"


async def test_what_the_dependency_answers_is_no_failure():
    world = World(most_in_a_row=3)

    async def answers_no() -> None:
        raise NotFound()

    for _ in range(10):
        with pytest.raises(NotFound):
            await world.breaker.run(answers_no)
    assert world.breaker.state == "closed"


async def test_one_probe_after_the_pause_and_the_others_are_refused():
    world = World()
    await world.open()
    asked = world.calls
    world.now += 5
    assert world.breaker.state == "half_open"
    back = asyncio.Event()

    async def slow() -> str:
        world.calls += 1
        await back.wait()
        return "fine"

    probe = asyncio.create_task(world.breaker.run(slow))
    await asyncio.sleep(0)
    assert [await world.call() for _ in range(5)] == ["open"] * 5
    back.set()
    assert await probe == "fine"
    assert world.calls == asked + 1
    world.is_well = True
    assert await world.call() == "fine"
    assert world.breaker.state == "closed"


async def test_probes_that_fail_come_1_to_5_seconds_apart():
    world = World()
    await world.open()
    pauses = []
    for _ in range(200):
        with pytest.raises(CircuitOpen) as refused:
            world.breaker.admit()
        pauses.append(refused.value.retry_after_seconds)
        world.now += pauses[-1]
        assert await world.call() == "failed"
    assert all(1 <= pause <= 5 for pause in pauses)
    assert pauses[0] <= 2
    assert len({round(pause, 2) for pause in pauses}) > 100


async def test_a_cancelled_probe_leaves_its_place_to_the_next_caller():
    world = World()
    await world.open()
    world.now += 5
    probe = asyncio.create_task(world.breaker.run(asyncio.Event().wait))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    world.is_well = True
    assert await world.call() == "fine"


async def test_calls_that_hang_until_their_deadline_open_it_and_calls_in_a_hurry_do_not():
    for waited, state in ((0.1, "closed"), (0.6, "open")):
        world = World(most_in_a_row=5, patience_seconds=0.5)
        for _ in range(5):
            call = asyncio.create_task(world.breaker.run(asyncio.Event().wait))
            await asyncio.sleep(0)
            world.now += waited
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        assert world.breaker.state == state


async def test_a_probe_that_never_comes_back_is_given_up():
    world = World()
    await world.open()
    world.now += 5
    world.breaker.admit()  # never told how it went
    assert world.breaker.state == "open"
    world.now += 5
    world.is_well = True
    assert await world.call() == "fine"


async def test_a_call_from_before_the_change_changes_nothing():
    world = World()
    early = world.breaker.admit()
    await world.open()
    world.breaker.succeeded(early)
    assert world.breaker.state == "open"
    world.breaker.abandoned(early)
    assert world.breaker.state == "open"


async def test_a_refusal_takes_microseconds():
    world = World()
    await world.open()
    started = time.perf_counter()
    for _ in range(1000):
        with pytest.raises(CircuitOpen):
            world.breaker.admit()
    assert (time.perf_counter() - started) / 1000 < 100e-6
