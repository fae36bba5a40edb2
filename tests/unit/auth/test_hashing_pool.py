import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from banyan.infra.auth.hashing_pool import HashingPool, PasswordQueueFull
from banyan.infra.auth.passwords import PasswordHasher
from banyan.kernel.errors import Unavailable


@pytest.fixture(autouse=True)
def close_pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ends the threads of every pool that a test has made."""
    pools: list[HashingPool] = []
    made = HashingPool.__init__

    def remembering(self: HashingPool, **options: Any) -> None:
        made(self, **options)
        pools.append(self)

    monkeypatch.setattr(HashingPool, "__init__", remembering)
    yield
    for pool in pools:
        pool.close()


@asynccontextmanager
async def blocked(pool: HashingPool, threads: int) -> AsyncIterator[Callable[[], None]]:
    """Every thread of the pool waits until the given function is called."""
    gate = threading.Event()
    jobs = [asyncio.create_task(pool.run(gate.wait)) for _ in range(threads)]
    await asyncio.sleep(0)  # Each task takes its place before it first waits.
    assert pool.running == threads
    try:
        yield gate.set
    finally:
        gate.set()
        await asyncio.gather(*jobs)


async def waiting(pool: HashingPool, count: int) -> None:
    """Let the tasks that were just started take their places; then so many wait."""
    await asyncio.sleep(0)
    assert pool.waiting == count


async def test_results_and_errors_come_through() -> None:
    pool = HashingPool()
    assert await pool.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 // 0)
    assert await pool.run(lambda: 8) == 8
    assert pool.running == 0


async def test_no_more_jobs_run_at_once_than_there_are_threads() -> None:
    pool = HashingPool(threads=2, max_wait_seconds=10)
    lock, running, most = threading.Lock(), 0, 0

    def job() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    await asyncio.gather(*(pool.run(job) for _ in range(20)))
    assert most == 2


async def test_a_full_queue_refuses_at_once_with_a_time_to_come_back() -> None:
    pool = HashingPool(threads=1, max_waiting=2, max_wait_seconds=10, first_estimate_seconds=0.001)
    async with blocked(pool, 1):
        patient = [asyncio.create_task(pool.run(lambda: "done")) for _ in range(2)]
        await waiting(pool, 2)
        with pytest.raises(PasswordQueueFull) as caught:
            await asyncio.wait_for(pool.run(lambda: "never"), timeout=0.1)
        assert isinstance(caught.value, Unavailable)
        assert 1 <= caught.value.retry_after_seconds <= 3
    assert await asyncio.gather(*patient) == ["done", "done"]


async def test_a_wait_that_would_be_too_long_by_the_average_is_refused_at_once() -> None:
    pool = HashingPool(threads=1, max_waiting=100, max_wait_seconds=0.7, first_estimate_seconds=0.2)
    async with blocked(pool, 1):
        patient = [asyncio.create_task(pool.run(lambda: "done")) for _ in range(2)]
        await waiting(pool, 2)
        with pytest.raises(PasswordQueueFull):
            await pool.run(lambda: "never")
    await asyncio.gather(*patient)


async def test_a_wait_that_turns_out_too_long_ends_in_a_refusal() -> None:
    pool = HashingPool(threads=1, max_wait_seconds=0.05, first_estimate_seconds=0.001)
    async with blocked(pool, 1):
        with pytest.raises(PasswordQueueFull):
            await pool.run(lambda: "never")
        assert pool.waiting == 0
    assert pool.running == 0


async def test_a_caller_who_leaves_the_queue_gives_the_place_to_the_next() -> None:
    pool = HashingPool(threads=1, max_wait_seconds=10, first_estimate_seconds=0.001)
    async with blocked(pool, 1) as release:
        leaving = asyncio.create_task(pool.run(lambda: "never"))
        await waiting(pool, 1)
        staying = asyncio.create_task(pool.run(lambda: "done"))
        await waiting(pool, 2)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        release()
        assert await asyncio.wait_for(staying, 5) == "done"
    assert pool.running == 0


async def test_a_caller_who_leaves_at_the_moment_of_the_turn_passes_it_on() -> None:
    pool = HashingPool(threads=1, max_wait_seconds=10, first_estimate_seconds=0.001)
    async with blocked(pool, 1) as release:
        leaving = asyncio.create_task(pool.run(lambda: "never"))
        staying = asyncio.create_task(pool.run(lambda: "done"))
        await waiting(pool, 2)
        pool._release()  # As if a job had ended: the first one's turn has come, but it has not run yet.
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert pool.waiting == 0
        release()
        assert await asyncio.wait_for(staying, 5) == "done"


async def test_a_thread_counts_as_busy_until_its_job_ends_though_the_caller_has_left() -> None:
    pool = HashingPool(threads=1, max_wait_seconds=10)
    gate = threading.Event()
    caller = asyncio.create_task(pool.run(gate.wait))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert pool.running == 1
    after = asyncio.create_task(pool.run(lambda: "done"))
    await waiting(pool, 1)
    gate.set()
    assert await asyncio.wait_for(after, 5) == "done"


async def test_who_still_queues_when_the_pool_closes_is_refused() -> None:
    pool = HashingPool(threads=1, max_wait_seconds=10)
    async with blocked(pool, 1) as release:
        late = asyncio.create_task(pool.run(lambda: "never"))
        await waiting(pool, 1)
        pool.close()
        release()
        with pytest.raises(PasswordQueueFull):
            await asyncio.wait_for(late, 5)
    with pytest.raises(PasswordQueueFull):
        await pool.run(lambda: "never")
    assert pool.running == 0


async def test_250_logins_at_once_are_each_answered_or_refused_in_time_and_others_are_served() -> None:
    pool = HashingPool()
    hasher = PasswordHasher(pool)
    stored = await hasher.hash("right password")
    longest = 0.0

    async def login() -> bool:
        nonlocal longest
        started = time.perf_counter()
        try:
            return (await hasher.verify("right password", stored)).ok
        except PasswordQueueFull:
            return False
        finally:
            longest = max(longest, time.perf_counter() - started)

    logins = asyncio.gather(*(login() for _ in range(250)))
    worst_turn = 0.0
    while not logins.done():
        started = time.perf_counter()
        await asyncio.sleep(0.001)
        worst_turn = max(worst_turn, time.perf_counter() - started)
    answered = sum(await logins)
    assert 2 <= answered < 250
    # The promise is one second; on a machine that runs other tests as well, leave it half as much again.
    assert longest < 1.5
    assert worst_turn < 0.25
    assert pool.waiting == pool.running == 0


async def test_one_hash_that_took_very_long_locks_nobody_out() -> None:
    pool = HashingPool(threads=2, first_estimate_seconds=3600)
    for jobs in range(2):
        pool.refuse_beyond(jobs)
    assert await pool.run(lambda: 7) == 7
    with pytest.raises(PasswordQueueFull):
        pool.refuse_beyond(2)
