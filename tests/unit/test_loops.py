"""Loops: kept running, stopped together, and never waiting past a signal."""

import asyncio

from banyan.infra import loops
from banyan.infra.loops import Loop, LoopRunner, wait_for


async def test_a_loop_that_fails_is_started_again():
    runs = 0
    third = asyncio.Event()
    stopped = asyncio.Event()

    async def run(stop: asyncio.Event) -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ValueError
        third.set()
        await stop.wait()
        stopped.set()

    runner = LoopRunner([Loop("shaky", run)])
    runner.start()
    await asyncio.wait_for(third.wait(), 10)
    await runner.stop()
    assert stopped.is_set()
    assert runner.failures == {"shaky": 2}


async def test_a_loop_that_does_not_stop_is_cancelled_and_the_others_are_not():
    ended: list[str] = []

    async def deaf(stop: asyncio.Event) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def polite(stop: asyncio.Event) -> None:
        await stop.wait()
        ended.append("polite")

    runner = LoopRunner([Loop("deaf", deaf), Loop("polite", polite)])
    runner.start()
    await asyncio.sleep(0)
    await runner.stop(timeout_seconds=0.05)
    assert ended == ["polite", "cancelled"]


async def test_a_pause_after_a_failure_ends_with_a_stop(monkeypatch):
    monkeypatch.setattr(loops, "FIRST_RESTART_SECONDS", 3600)
    failed = asyncio.Event()

    async def run(stop: asyncio.Event) -> None:
        failed.set()
        raise ValueError

    runner = LoopRunner([Loop("shaky", run)])
    runner.start()
    await failed.wait()
    await asyncio.wait_for(runner.stop(timeout_seconds=60), 5)


async def test_waiting_ends_with_either_signal_or_the_time():
    signal, stop = asyncio.Event(), asyncio.Event()
    assert await wait_for(signal, 0.01, stop=stop) is False
    asyncio.get_running_loop().call_soon(stop.set)
    assert await asyncio.wait_for(wait_for(signal, 3600, stop=stop), 5) is True
    stop.clear()
    asyncio.get_running_loop().call_soon(signal.set)
    assert await asyncio.wait_for(wait_for(signal, 3600, stop=stop), 5) is True
    assert await wait_for(signal, 3600) is True
