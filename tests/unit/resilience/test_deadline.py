"""Deadlines: what is nested never waits longer than what is around it."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from banyan.infra.resilience.deadline import (
    DeadlineExceeded,
    from_header,
    refuse_late,
    remaining,
    to_header,
    within,
)


async def test_nothing_is_bound_outside():
    assert remaining() is None
    assert remaining(3) == 3
    assert to_header() is None
    refuse_late()
    async with within(None):
        assert remaining() is None


async def test_the_inner_one_has_what_is_left_outside():
    async with within(10):
        async with within(60):
            assert 9 < (remaining() or 0) <= 10
        async with within(2):
            assert 1 < (remaining() or 0) <= 2
        assert 9 < (remaining() or 0) <= 10
        assert remaining(3) == 3
    assert remaining() is None


async def test_the_body_is_cancelled_when_the_time_is_over():
    ended: list[str] = []

    async def body() -> None:
        async with within(60):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await _within(0.05, body)
    assert ended == ["cancelled"]
    assert time.monotonic() - started < 1


async def test_what_nobody_waits_for_is_not_begun():
    begun: list[str] = []

    async def too_slow() -> None:
        time.sleep(0.02)  # noqa: ASYNC251 - a body that does not look at the clock
        refuse_late()
        begun.append("more")

    async def body() -> None:
        begun.append("anything")

    with pytest.raises(DeadlineExceeded):
        await _within(0.01, too_slow)
    with pytest.raises(DeadlineExceeded):
        await _within(0, body)
    assert begun == []


async def _within(seconds: float, body: Callable[[], Awaitable[None]]) -> None:
    async with within(seconds):
        await body()


async def test_a_time_out_of_the_body_stays_its_own():
    with pytest.raises(TimeoutError):
        async with within(10):
            raise TimeoutError


async def test_a_task_of_the_request_has_its_deadline():
    async def nested() -> float | None:
        return remaining()

    async with within(5):
        assert 4 < (await asyncio.create_task(nested()) or 0) <= 5


async def test_it_travels_as_a_duration():
    async with within(1.5):
        header = to_header()
    assert header is not None
    name, value = header
    assert name == b"banyan-deadline-ms"
    assert 1.4 < (from_header(value) or 0) <= 1.5


@pytest.mark.parametrize("value", [None, b"", b"-1", b"1.5", b"soon", b"9" * 50, b"\xff", "²".encode()])
def test_a_header_that_is_no_duration_says_nothing(value: bytes | None):
    assert from_header(value) is None


def test_a_header_cannot_ask_for_hours():
    assert from_header(b"999999999") == 600
